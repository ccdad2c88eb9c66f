# SPDX-License-Identifier: Apache-2.0
"""The folder a run writes to: opened once, never overwritten unasked."""

from __future__ import annotations

import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import ignite.distributed as idist
import monai
import numpy as np
import torch

from .. import __version__
from ..data.leakage import LEAKAGE_FILES
from ..errors import InputError
from ..files import cannot_write, made_folder, written_beside
from ..networks.trained_model import DESCRIPTION_FILE, WEIGHTS_FILE

LAST_CHECKPOINT = "last.pt"
BEST_WEIGHTS = WEIGHTS_FILE
OUTPUTS = (
    *(LAST_CHECKPOINT, BEST_WEIGHTS, DESCRIPTION_FILE, "encoder.json", "encoder.safetensors", "encoder.clips.npz"),
    *("probe.json", "curves.png", "metrics.csv", "metrics.json", "pairs.png", "clips.png", *LEAKAGE_FILES),
    *("pretext.json", "orders.png"),
    *("predictions.json", "embeddings.npz", "confusion.png", "overlays.png", "overlay.mp4"),
)
"""What a run leaves besides ``run.json`` and ``datalist.json``; replacing a run removes these."""


def check_run_folder(output_dir: str | Path, resume: bool = False, overwrite: bool = False) -> None:
    """Refuses early, and without touching anything, what `open_run_folder` would refuse.

    Raises:
        InputError: there is a run already and neither ``resume`` nor ``overwrite`` was asked for; or ``resume`` was
            asked for and there is nothing to resume.
    """
    folder = Path(output_dir)
    checkpoint = folder / LAST_CHECKPOINT
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, a folder for the run was expected; name another with --output_dir")
    if resume and not checkpoint.is_file():
        raise InputError(f"{checkpoint} is not there, so there is nothing to resume; leave out --resume")
    if not resume and not overwrite and (checkpoint.exists() or (folder / BEST_WEIGHTS).exists()):
        go_on = "go on with it (--resume True), " if checkpoint.exists() else ""
        raise InputError(
            f"{folder} already holds a run; {go_on}replace it (--overwrite True) or name another folder (--output_dir)"
        )


def open_run_folder(output_dir: str | Path, resume: bool = False, overwrite: bool = False) -> Path:
    """Makes ``output_dir`` ready for a run and notes in ``run.json`` which command, releases and machine made it.

    Call it when all that was given is known to be usable: unless ``resume`` is asked for, what an earlier run left is
    removed here.

    Raises:
        InputError: see `check_run_folder`; or the folder cannot be made or written to.
    """
    check_run_folder(output_dir, resume, overwrite)
    folder = made_folder(output_dir)
    with written_beside(folder / "run.json") as path:  # first, so that nothing is lost where nothing can be written
        path.write_text(json.dumps(_circumstances(), indent=2) + "\n")
    for name in () if resume else OUTPUTS:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(folder / name, error) from error
    return folder


def _circumstances() -> dict:
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "releases": {
            "ultrasound-video-ssl": __version__,
            "monai": monai.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"CPU, {torch.get_num_threads()} threads",
        "ranks": idist.get_world_size(),
    }
