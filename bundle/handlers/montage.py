# SPDX-License-Identifier: Apache-2.0
"""Pictures of what the network is shown, written before training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine, Events
from monai.transforms.transform import Randomizable

from ..files import written_beside
from ..keys import UNLABELLED, Keys

_NAME_LENGTH = 22


class Montage(ABC):
    """Writes a picture of a row a clip before training.

    Clips are spread evenly over the data. The montage draws with a seed of its own; `EpochSeed` sets the random state
    of training.

    Args:
        output_dir: folder of the run.
        dataset: the training `CineDataset`, with its transform.
        mean, std: the normalisation of what is shown, undone for the picture.
        n_clips: rows.
    """

    file_name: str

    def __init__(self, output_dir: str | Path, dataset: Any, mean: float, std: float, n_clips: int = 8) -> None:
        self.folder = Path(output_dir)
        self.dataset = dataset
        self.mean = mean
        self.std = std
        self.n_clips = n_clips

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if idist.get_rank() != 0 or engine.state.epoch > 0:  # resumed
            return
        if isinstance(self.dataset.transform, Randomizable):
            self.dataset.transform.set_random_state(seed=0)
        chosen = np.linspace(0, len(self.dataset) - 1, min(self.n_clips, len(self.dataset))).astype(int)
        with written_beside(self.folder / self.file_name) as path:
            self.figure(chosen.tolist()).savefig(path, dpi=100)

    @abstractmethod
    def figure(self, indices: Sequence[int]) -> Any:
        """The items of the data set as a matplotlib `Figure`."""


def label_text(record: dict[str, Any]) -> str:
    """The class of a clip in words."""
    return record[Keys.LABEL_NAME] if record[Keys.LABEL] != UNLABELLED else "no label in use"


def video_text(record: dict[str, Any]) -> str:
    """The video without its data set's name, shortened from the left."""
    name = record[Keys.VIDEO_ID].rpartition("/")[2]
    return name if len(name) <= _NAME_LENGTH else "..." + name[3 - _NAME_LENGTH :]
