# SPDX-License-Identifier: Apache-2.0
"""Two processes with half a batch each give the loss and gradient of one process with the whole batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bundle.losses import NTXentLoss, PretextLoss, SemiSupervisedContrastiveLoss
from bundle.losses.across_ranks import check_equal_batches, gather, of_all_ranks, rank, total, world_size

WORKER = Path(__file__).with_name("rank_of_two.py")


@pytest.fixture(scope="module")
def job() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {
        "x": torch.randn(6, 2, 5, generator=random, dtype=torch.float64),
        "three": torch.randn(6, 3, 5, generator=random, dtype=torch.float64),
        "there": torch.tensor([[True], [False], [True], [True], [False], [True]]),
        "weight": torch.randn(4, 5, generator=random, dtype=torch.float64),
        "video": torch.tensor([0, 1, 2, 0, -1, 2]),  # videos shared across the ranks
        "label": torch.tensor([0, -1, -1, 2, 1, 0]),  # one labelled item on the first rank, three on the second
        "weights": torch.tensor([1.0, 0.0, 0.5, 2.0, 2.0, 0.1], dtype=torch.float64),
    }


@pytest.fixture(scope="module")
def ranks(job, tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("ranks")
    torch.save(job, folder / "job.pt")
    results = [folder / f"{i}.pt" for i in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(i), "2", str(folder / "store"), str(folder / "job.pt"), str(results[i])],
            stderr=subprocess.PIPE,
        )
        for i in range(2)
    ]
    errors = [process.communicate(timeout=120)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return [torch.load(result, weights_only=True) for result in results]


def whole(job, loss_of, views="x") -> tuple[torch.Tensor, torch.Tensor]:
    weight = job["weight"].clone().requires_grad_()
    loss = loss_of(job[views] @ weight.T)
    loss.backward()
    return loss.detach(), weight.grad


def whole_plain(z, job):
    return NTXentLoss(0.2)(z)


def whole_masked(z, job):
    return NTXentLoss(0.2, mask_same_video=True)(z, video=job["video"], weights=job["weights"])


def whole_extra(z, job):
    return NTXentLoss(0.2, mask_same_video=True)(z, video=job["video"], negatives=job["there"])


def whole_alone(z, job):
    return (NTXentLoss(0.2)(z[:3]) + NTXentLoss(0.2)(z[3:])) / 2


def whole_semi(z, job):
    outputs = {"projection": z, "logits": z[..., :3]}
    return SemiSupervisedContrastiveLoss(0.2)(outputs, {"label": job["label"]})


def learned_weights() -> PretextLoss:
    return PretextLoss({"contrast": SemiSupervisedContrastiveLoss(0.2)}, learned=True).double()


def whole_learned(z, job, weigh=None):
    outputs = {"projection": z, "logits": z[..., :3]}
    return (weigh or learned_weights())(outputs, {"label": job["label"]})


@pytest.mark.parametrize(
    ("name", "loss_of"),
    [
        ("plain", whole_plain),
        ("masked", whole_masked),
        ("extra", whole_extra),
        ("alone", whole_alone),
        ("semi", whole_semi),
        ("learned", whole_learned),
    ],
)
def test_two_ranks_equal_one_process(job, ranks, name, loss_of):
    loss, gradient = whole(job, lambda z: loss_of(z, job), views="three" if name == "extra" else "x")
    assert gradient.abs().max() > 1e-3
    for one in ranks:
        torch.testing.assert_close(one[f"{name}.loss"], loss, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(one[f"{name}.grad"], gradient, rtol=1e-9, atol=1e-12)


def test_learned_task_weights_are_the_same_on_all_ranks(job, ranks):
    weigh = learned_weights()
    whole(job, lambda z: whole_learned(z, job, weigh))
    for one in ranks:
        expected = weigh.log_variances["contrast"].grad
        torch.testing.assert_close(one["log_variance.grad"], expected, rtol=1e-10, atol=1e-12)


def test_each_rank_is_told_what_all_have(ranks):
    assert [one["told"] for one in ranks] == ["[{'rank': 0}, {'rank': 1}]"] * 2
    assert of_all_ranks(3) == [3]


def test_gathering_matters_here(job):
    """Else the comparison above would hold without any gathering."""
    gathered, alone = (whole(job, lambda z, f=f: f(z, job))[1] for f in (whole_plain, whole_alone))
    assert not torch.allclose(gathered, alone, rtol=1e-2)


def test_unequal_batches_are_refused_on_every_rank(ranks):
    for one in ranks:
        assert "[2, 3]" in one["unequal"]


def test_outside_a_distributed_run_nothing_is_done():
    rows = torch.ones(3, 2)
    assert (world_size(), rank()) == (1, 0)
    assert gather(rows) is rows
    assert total(rows.sum()) == 6
    check_equal_batches(3, rows.device)
