# SPDX-License-Identifier: Apache-2.0
"""A picture of what the network is shown: source frames and the two views made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine, Events
from monai.transforms.transform import Randomizable

from ..files import written_beside
from ..keys import UNLABELLED, Keys


class PairMontage:
    """Writes ``pairs.png`` before training: a row a clip, its source frames, then its two views.

    Above each frame stands its index, above each view which frames it mixes and how much of each. Clips are spread
    evenly over the data. The montage draws with a seed of its own; `EpochSeed` sets the random state of training.

    Args:
        output_dir: folder of the run.
        dataset: training dataset whose items carry ``views``, ``pair_frames`` and ``pair_mixing``; its records and
            cached frames are read from ``dataset.data`` and ``dataset.cache``.
        mean, std: the normalisation of the views, undone for the picture.
        n_clips: rows.
    """

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
        from matplotlib.figure import Figure

        if isinstance(self.dataset.transform, Randomizable):
            self.dataset.transform.set_random_state(seed=0)
        chosen = np.linspace(0, len(self.dataset) - 1, min(self.n_clips, len(self.dataset))).astype(int)
        rows = [self._row(int(index)) for index in chosen]
        columns = max(len(images) for _, images in rows)
        figure = Figure(figsize=(1.9 * columns + 0.4, 2.0 * len(rows)), layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes in grid.flat:
            axes.set(xticks=[], yticks=[])
            axes.set_frame_on(False)
        for line, (name, images) in zip(grid, rows, strict=True):
            line[0].set_ylabel(name, fontsize=7)
            places = [*range(len(images) - 2), columns - 2, columns - 1]  # views below each other
            for place, (title, image) in zip(places, images, strict=True):
                line[place].imshow(image, cmap="gray", vmin=0, vmax=1)
                line[place].set_title(title, fontsize=7)
        with written_beside(self.folder / "pairs.png") as path:
            figure.savefig(path, dpi=100)

    def _row(self, index: int) -> tuple[str, list[tuple[str, np.ndarray]]]:
        """The clip's name and class, and its titled pictures."""
        record = self.dataset.data[index]
        sample = self.dataset[index]
        cine = self.dataset.cache.frames(record)
        frames, mixing = np.asarray(sample[Keys.PAIR_FRAMES]), np.asarray(sample[Keys.PAIR_MIXING])
        label = record[Keys.LABEL_NAME] if record[Keys.LABEL] != UNLABELLED else "label not used"
        sources = [(f"frame {k}", cine[:, k].mean(axis=0) / 255.0) for k in np.unique(frames)]
        views = np.clip(np.asarray(sample[Keys.VIEWS]).mean(axis=1) * self.std + self.mean, 0, 1)
        titles = [
            f"view {v + 1}: " + " + ".join(f"{w:.2f} x {k}" for k, w in zip(frames[v], mixing[v], strict=True) if w > 0)
            for v in range(len(views))
        ]
        return f"{record[Keys.VIDEO_ID]}\n{label}", sources + list(zip(titles, views, strict=True))
