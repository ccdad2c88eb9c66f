# SPDX-License-Identifier: Apache-2.0
"""Two processes train one network, as torchrun starts them; the losses of two are compared in tests/losses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bundle.handlers import join_ranks, share_of_batch
from bundle.networks import load_encoder

ROOT = Path(__file__).parents[2]
SAVE_WHAT_EACH_RANK_HAS = """
finalize:
  - "$torch.save({'weights': dict(@network.named_parameters()), 'items': list(@train#sampler),
    'batch': @train#dataloader.batch_size, 'seed': torch.initial_seed()}, f'{idist.get_rank()}.pt')"
  - $handlers.leave_ranks()
"""


@pytest.fixture
def two_ranks(tiny, tmp_path):
    (tmp_path / "save.yaml").write_text(SAVE_WHAT_EACH_RANK_HAS)
    recipes = [ROOT / "configs/train.yaml", ROOT / "configs/multi_gpu_train.yaml", tmp_path / "save.yaml"]
    settings = {**tiny, "max_epochs": 1, "keep_best": False}

    def run(**more):
        given = [part for name, value in {**settings, **more}.items() for part in (f"--{name}", str(value))]
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        return subprocess.run(
            [*launch, "-m", "monai.bundle", "run", "--config_file", str([str(path) for path in recipes]), *given],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )

    return run


def test_two_ranks_train_one_network(two_ranks, tiny, tmp_path):
    done = two_ranks()
    assert done.returncode == 0, done.stderr
    folder = Path(tiny["output_dir"])
    written = {path.name for path in folder.iterdir()}
    assert {"encoder.safetensors", "last.pt", "metrics.csv", "model.pt", "pairs.png", "probe.json"} <= written
    assert done.stderr.count("k-NN probe on") == 1 and done.stderr.count("epoch 1/1 ") == 1
    assert json.loads((folder / "run.json").read_text())["ranks"] == 2

    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2))
    datalist = json.loads((folder / "datalist.json").read_text())
    assert sorted(first["items"] + second["items"]) == list(range(len(datalist["training"])))
    assert (first["batch"], second["batch"]) == (4, 4)
    assert first["seed"] != second["seed"]
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), name
    kept, _ = load_encoder(folder)
    for name, value in kept.named_parameters():
        assert torch.equal(value, first["weights"][f"encoder.{name}"]), name

    refused = two_ranks(max_epoch=3)  # what is told before the ranks know of each other
    assert refused.returncode != 0
    [error] = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert error.endswith("did you mean --max_epochs?")


def test_what_needs_ranks_is_refused_without(monkeypatch, refused, tiny):
    for name in ("LOCAL_RANK", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    assert "torchrun --nproc_per_node 2" in refused("train.yaml", "multi_gpu_train.yaml", **tiny)
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="--nproc_per_node 2$"):
        join_ranks()
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 4)
    assert share_of_batch(11) == 2
    with pytest.raises(ValueError, match="found 3 for 4 ranks"):
        share_of_batch(3)
