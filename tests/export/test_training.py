# SPDX-License-Identifier: Apache-2.0
"""Training and testing by an exported bundle's own configs, on a small phantom."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bundle.data import make_phantom
from bundle.files import sha256_of

TINY = {"max_epochs": 1, "val_interval": 1, "batch_size": 4, "frames_per_clip": 1, "test_frames_per_clip": 1}


@pytest.fixture(scope="session")
def small_phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "phantom"
    return make_phantom(folder, patients_per_class=5, clips_per_patient=1, n_frames=4)


@pytest.fixture
def run_in(tmp_path: Path, small_phantom: Path) -> Callable[..., str]:
    """``run_in(root, "train", publish=True)``: runs it from elsewhere; what it said, or the line of its error."""

    def run(root: Path, job: str, **settings: Any) -> str:
        config = json.loads((root / "configs" / f"{job}.json").read_text())
        given = {name: value for name, value in TINY.items() if name in config}
        given |= {"bundle_root": root, "dataset_dir": small_phantom, "cache_dir": small_phantom.parent / "cache"}
        words = [word for name, value in (given | settings).items() for word in (f"--{name}", str(value))]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "monai.bundle",
                "run",
                "--config_file",
                str(root / "configs" / f"{job}.json"),
                *words,
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"},
        )
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert errors or done.returncode == 0, done.stderr[-3000:]
        return errors[0] if errors else done.stderr

    return run


def test_training_keeps_the_weights_unless_asked(exported: Any, copied: Any, run_in: Any) -> None:
    root = copied(exported("us_plane_classification"))
    before = sha256_of(root / "models" / "model.pt")
    given = {"class_names": ["heart", "fetal_head"], "where": {"label": ["heart", "fetal_head"]}}
    run_in(root, "train", **given)
    assert sha256_of(root / "models" / "model.pt") == before
    assert (root / "eval" / "train" / "model.pt").is_file()


def test_other_frames_than_the_weights_take_are_refused(exported: Any, run_in: Any) -> None:
    root = exported("us_lesion_segmentation")
    assert "found frames (C, H, W) of (1, 64, 64), expected (1, 32, 32)" in run_in(root, "evaluate", image_size=64)
    assert "found frames (C, H, W) of (3, 32, 32), expected (1, 32, 32)" in run_in(root, "evaluate", in_channels=3)


def test_pretraining_goes_on_from_the_weights_and_remembers_their_clips(
    exported: Any, copied: Any, run_in: Any
) -> None:
    root = copied(exported("us_video_representation"))
    before = torch.load(root / "models" / "model.pt", weights_only=True)
    told = run_in(root, "train", learning_rate=1e-12, publish=True)
    assert "models/model.pt: no list of the clips it was pretrained on lies beside it" in told
    after = torch.load(root / "models" / "model.pt", weights_only=True)
    torch.testing.assert_close(after["conv1.weight"], before["conv1.weight"], rtol=0, atol=1e-8)
    assert json.loads((root / "models" / "model.json").read_text())["trained"]["encoder"] == {"data": "phantom"}
    known = "the pretraining of models/model.pt"
    assert f"leakage: {known} and the clips to judge share" in run_in(root, "evaluate", split_seed=1)
    assert f"leakage: nothing is shared between the clips of {known}" in run_in(root, "evaluate")
