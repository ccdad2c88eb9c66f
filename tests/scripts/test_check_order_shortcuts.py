# SPDX-License-Identifier: Apache-2.0
"""The program that asks a run the order of frozen clips."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bundle.data import make_phantom

ROOT = Path(__file__).parents[2]
RECIPES = ["train.yaml", "pretrain_order_geometry.yaml"]


def python(*words: Any) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learned next to nothing, which is enough to be asked."""
    folder = tmp_path_factory.mktemp("order")
    make_phantom(folder / "phantom", patients_per_class=3, clips_per_patient=1, n_frames=6)
    settings = {
        "bundle_root": ROOT,
        "dataset_dir": folder / "phantom",
        "cache_dir": folder / "cache",
        "output_dir": folder / "run",
        "tasks": "['order']",
        "image_size": 32,
        "max_epochs": 1,
        "keep_best": False,
        "parts": {"training": 0.5, "validation": 0.25, "testing": 0.25},
    }
    given = [word for name, value in settings.items() for word in (f"--{name}", value)]
    configs = [str(ROOT / "configs" / name) for name in RECIPES]
    ran = python("-m", "monai.bundle", "run", "--config_file", configs, *given)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return folder / "run"


def test_clips_are_asked_as_they_are_and_frozen(run_dir):
    asked = python(ROOT / "scripts" / "check_order_shortcuts.py", run_dir)
    assert asked.returncode == 0, asked.stderr[-2000:]
    as_they_are, frozen = (line for line in asked.stdout.splitlines() if "chance" in line)
    tested = 5  # patients of one clip each
    assert as_they_are.startswith("as they are")
    assert f" of {tested * 8} clips (chance 0.083" in frozen, "a frozen clip is asked, too, though nothing moves"
    assert not run_dir.with_name("run.unused").exists()


def test_what_is_no_run_or_learned_no_order_is_refused(run_dir, tmp_path):
    script = ROOT / "scripts" / "check_order_shortcuts.py"
    refused = python(script, tmp_path)
    assert refused.returncode == 1 and refused.stderr.strip().splitlines()[-1].startswith(
        f"error: {tmp_path}: no run.json"
    )
    command = json.loads((run_dir / "run.json").read_text())["command"]
    other = [word.replace("['order']", "['geometry']") for word in command]
    (tmp_path / "run.json").write_text(json.dumps({"command": other}))
    refused = python(script, tmp_path)
    assert refused.stderr.strip().splitlines()[-1] == (
        f"error: {tmp_path}: a run that did not learn the order: expected order among its tasks"
    )
