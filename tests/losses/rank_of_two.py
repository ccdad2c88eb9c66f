# SPDX-License-Identifier: Apache-2.0
"""One rank of the two-process test: python rank_of_two.py RANK WORLD STORE JOB RESULT."""

from __future__ import annotations

import os
import sys
from datetime import timedelta

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from bundle.errors import InputError
from bundle.losses import NTXentLoss, PretextLoss, SemiSupervisedContrastiveLoss
from bundle.losses.across_ranks import of_all_ranks


def main(rank: int, world: int, store: str, job_file: str, result: str) -> None:
    torch.set_num_threads(1)
    job = torch.load(job_file, weights_only=True)
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    network = torch.nn.Linear(job["weight"].shape[1], job["weight"].shape[0], bias=False).double()
    network.load_state_dict({"weight": job["weight"]})
    parallel = DistributedDataParallel(network)
    batch = len(job["x"]) // world
    mine = {key: rows[rank * batch : (rank + 1) * batch] for key, rows in job.items() if key != "weight"}
    out: dict[str, torch.Tensor | str] = {}

    def run(name, loss_of, views="x") -> None:
        network.zero_grad()
        loss = loss_of(parallel(mine[views]))
        loss.backward()
        mean = loss.detach().clone()
        distributed.all_reduce(mean)
        out[f"{name}.loss"], out[f"{name}.grad"] = mean / world, network.weight.grad.clone()

    run("plain", NTXentLoss(0.2))
    masked = NTXentLoss(0.2, mask_same_video=True)
    run("masked", lambda z: masked(z, video=mine["video"], weights=mine["weights"]))
    run("extra", lambda z: masked(z, video=mine["video"], negatives=mine["there"]), views="three")
    run("alone", NTXentLoss(0.2, gather=False))
    semi = SemiSupervisedContrastiveLoss(0.2)
    run("semi", lambda z: semi({"projection": z, "logits": z[..., :3]}, {"label": mine["label"]}))
    learned = PretextLoss({"contrast": semi}, learned=True).double()
    run("learned", lambda z: learned({"projection": z, "logits": z[..., :3]}, {"label": mine["label"]}))
    out["log_variance.grad"] = learned.log_variances["contrast"].grad
    out["told"] = str(of_all_ranks({"rank": rank}))
    try:
        NTXentLoss()(torch.ones(2 + rank, 2, 4))
    except InputError as error:
        out["unequal"] = str(error)
    torch.save(out, result)
    sys.stderr.flush()
    os._exit(0)  # taking gloo and DDP down in order hangs now and then, and is not what is tested


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
