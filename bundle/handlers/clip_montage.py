# SPDX-License-Identifier: Apache-2.0
"""A picture of what order and geometry are asked of: shuffled clips, as they are and transformed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..keys import Keys
from ..transforms.clip_geometry import UNITS, ClipGeometry
from ..transforms.frame_order import FrameOrders
from .montage import Montage, video_text


class ClipMontage(Montage):
    """Writes ``clips.png``: two rows a clip, as it is and transformed, each with its frames as shown.

    Above each frame stands its index in the cine, at the left the clip, the class of its order with the order that the
    class stands for, and the parameters of the map in the units of `UNITS` (pixels are those of the clip as shown). A
    clip in which nothing moves, which the order's loss leaves out, and one sampled at a smaller stride say so.

    The data set's transform makes shuffled clips (`RandShuffledClipd`).

    Args:
        output_dir, dataset, mean, std, n_clips: of `Montage`.
        orders: the order classes, as in the transform.
        geometry: the maps, as in the transform.
    """

    file_name = "clips.png"

    def __init__(
        self,
        output_dir: str | Path,
        dataset: Any,
        mean: float,
        std: float,
        orders: FrameOrders,
        geometry: ClipGeometry,
        n_clips: int = 4,
    ) -> None:
        super().__init__(output_dir, dataset, mean, std, n_clips)
        self.orders = orders
        self.geometry = geometry

    def figure(self, indices: Sequence[int]) -> Any:
        from matplotlib.figure import Figure

        n_frames = self.orders.n_frames
        figure = Figure(figsize=(1.8 * (n_frames + 1.3), 3.7 * len(indices)), layout="constrained")
        grid = figure.subplots(2 * len(indices), n_frames + 1, squeeze=False, width_ratios=[1.3] + [1.0] * n_frames)
        for axes in grid.flat:
            axes.set(xticks=[], yticks=[])
            axes.set_frame_on(False)
        for row, index in enumerate(indices):
            sample = self.dataset[index]
            clips = np.clip(np.asarray(sample[Keys.CLIPS]).mean(axis=2) * self.std + self.mean, 0, 1)
            told = (self._order(self.dataset.data[index], sample), self._map(sample[Keys.GEOMETRY], clips.shape[-1]))
            for line, lines, clip in zip(grid[2 * row : 2 * row + 2], told, clips, strict=True):
                line[0].text(0, 0.5, "\n".join(lines), fontsize=8, va="center", transform=line[0].transAxes)
                for axes, frame, picture in zip(line[1:], sample[Keys.CLIP_FRAMES].tolist(), clip, strict=True):
                    axes.set_title(f"frame {frame}", fontsize=7)
                    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        return figure

    def _order(self, record: dict[str, Any], sample: dict[str, Any]) -> list[str]:
        order = self.orders.table[int(sample[Keys.ORDER])]
        told = [video_text(record), f"order {int(sample[Keys.ORDER])}: {' '.join(map(str, order))}"]
        told += [] if sample[Keys.MOVING] else ["nothing moves: not asked"]
        return told + (["smaller stride than asked"] if sample[Keys.SHORTENED] else [])

    def _map(self, label: torch.Tensor, side: int) -> list[str]:
        told = []
        for name, value in zip(self.geometry.names, self.geometry.values(label).tolist(), strict=True):
            if name == "flip":
                told.append("flipped" if value > 0.5 else "not flipped")
            else:
                shown = {"percent": 100 * math.expm1(value), "pixels": side * value}.get(UNITS[name], value)
                told.append(f"{name} {shown:+.1f} {UNITS[name]}")
        return told
