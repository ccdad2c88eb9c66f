# SPDX-License-Identifier: Apache-2.0
"""Whole workflows at tiny size, shared by the tests of all recipes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from monai.bundle import ConfigWorkflow

from bundle.data import make_phantom
from bundle.errors import InputError, input_error_in

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pictures() -> None:
    """For tests that look at the pictures of a run."""


@pytest.fixture(autouse=True)
def drawing_takes_no_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not drawn, which takes half of the time of a tiny run; tests with `pictures` draw them."""
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: Path(path).touch())


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small phantom: 5 classes of 6 patients, one clip of 6 frames each."""
    folder = tmp_path_factory.mktemp("data") / "phantom"
    return make_phantom(folder, patients_per_class=6, clips_per_patient=1, n_frames=6)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One frame cache for all runs of the session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def tiny(phantom: Path, cache_dir: Path, tmp_path: Path) -> dict[str, Any]:
    """Overrides that make a run take seconds."""
    return {
        "bundle_root": str(ROOT),
        "dataset_dir": str(phantom),
        "cache_dir": str(cache_dir),
        "output_dir": str(tmp_path / "run"),
        "image_size": 32,
        "batch_size": 8,
        "max_epochs": 2,
        "val_interval": 1,
    }


@pytest.fixture(scope="session")
def workflow() -> Callable[..., ConfigWorkflow]:
    """``workflow("train.yaml", "paper.yaml", **overrides)``: an initialized workflow."""

    def make(*configs: str, **overrides: Any) -> ConfigWorkflow:
        made = ConfigWorkflow([str(ROOT / "configs" / name) for name in configs], logging_file=False, **overrides)
        made.initialize()
        return made

    return make


@pytest.fixture(scope="session")
def refused(workflow: Callable[..., ConfigWorkflow]) -> Callable[..., str]:
    """``refused("train.yaml", **overrides)``: the one line that a run ends with; ``train.yaml`` when none is named."""

    def message(*configs: str, **overrides: Any) -> str:
        with pytest.raises(Exception) as caught:
            workflow(*(configs or ("train.yaml",)), **overrides).run()
        error = input_error_in(caught.value)
        assert isinstance(error, InputError), repr(caught.value)
        assert "\n" not in str(error)
        return str(error)

    return message


@pytest.fixture(scope="session")
def command_line() -> Callable[..., subprocess.CompletedProcess]:
    """``command_line("train.yaml", cwd, **overrides)``, one recipe or several: ``python -m monai.bundle run``."""

    def run(config: str | tuple[str, ...], cwd: Path, **overrides: Any) -> subprocess.CompletedProcess:
        paths = [str(ROOT / "configs" / name) for name in ((config,) if isinstance(config, str) else config)]
        given = [part for name, value in overrides.items() for part in (f"--{name}", str(value))]
        return subprocess.run(
            [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(paths), *given],
            cwd=cwd,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "2"},
        )

    return run
