# SPDX-License-Identifier: Apache-2.0
"""A picture of what the network is shown: source frames and the views made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.frame_times import ASSUMED_FRAME_RATE, frame_seconds, known_times
from ..keys import Keys
from .montage import Montage, label_text, video_text

NEGATIVE_COLOUR = "tab:red"


@dataclass(frozen=True)
class PairRow:
    """One line of the picture: the lines of text at its left, and titled pictures (None: there is none to show)."""

    told: list[str]
    sources: list[tuple[str, np.ndarray]]
    views: list[tuple[str, np.ndarray | None]]


class PairMontage(Montage):
    """Writes ``pairs.png``: a row a clip, its source frames, then its views (see `pair_row`).

    The data set's transform makes pairs (`RandPairViewsd`). Arguments are those of `Montage`.
    """

    file_name = "pairs.png"

    def figure(self, indices: Sequence[int]) -> Any:
        return pairs_figure([pair_row(self.dataset, index, self.mean, self.std) for index in indices])


def pair_row(dataset: Any, index: int, mean: float, std: float) -> PairRow:
    """Draws a pair of the item ``index`` and says what was drawn.

    Above each source frame stands its index and its time, and of which video it is where there are two; above each
    view which frames it mixes and how much of each, or that it is an extra negative; at the left the clip, its class,
    how far apart the frames of the pair are, and the pair's weight.

    Args:
        dataset: a `CineDataset` with a transform that gives ``views``, ``pair_frames`` and ``pair_mixing``.
        index: of the clip.
        mean, std: the normalisation of the views.
    """
    sample = dataset[index]
    frames, mixing = np.asarray(sample[Keys.PAIR_FRAMES]), np.asarray(sample[Keys.PAIR_MIXING])
    items = np.asarray(sample.get(Keys.PAIR_INDEX, [index] * len(frames)))
    used = {(item, frame) for item, row, w in zip(items, frames, mixing, strict=True) for frame in row[w > 0]}
    two_videos = len(set(items)) > 1
    sources = [_source(dataset, item, frame, two_videos) for item, frame in sorted(used, key=_by_item(index))]

    pictures = np.clip(np.asarray(sample[Keys.VIEWS]).mean(axis=1) * std + mean, 0, 1)
    there = [True, True, *np.asarray(sample.get(Keys.NEGATIVE_MASK, [])).tolist()]
    views: list[tuple[str, np.ndarray | None]] = [
        (f"{'view ' + str(v + 1) if v < 2 else 'negative'}\n{_mixture(frames[v], mixing[v])}", pictures[v])
        if there[v]
        else ("negative\nno far frame", None)
        for v in range(len(pictures))
    ]
    labels = list(dict.fromkeys(label_text(dataset.data[item]) for item in items))
    told = [video_text(dataset.data[index]), " and ".join(labels)]
    if not two_videos:
        told += _gap(dataset.item(index), frames[:2][mixing[:2] > 0])
    if Keys.PAIR_WEIGHT in sample:
        told.append(f"weight {float(sample[Keys.PAIR_WEIGHT]):.2f}")
    return PairRow(told, sources, views)


def pairs_figure(rows: Sequence[PairRow]) -> Any:
    """The rows below each other as a matplotlib `Figure`, views below views."""
    from matplotlib.figure import Figure

    n_sources, n_views = max(len(row.sources) for row in rows), max(len(row.views) for row in rows)
    widths = [0.9] + [1.0] * n_sources + [0.15] + [1.0] * n_views
    figure = Figure(figsize=(1.8 * sum(widths), 2.1 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(widths), squeeze=False, width_ratios=widths)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.set_frame_on(False)
    for line, row in zip(grid, rows, strict=True):
        line[0].text(0, 0.5, "\n".join(row.told), fontsize=8, va="center", linespacing=1.5, transform=line[0].transAxes)
        for axes, (title, image) in zip(line[1:], row.sources, strict=False):
            axes.set_title(title, fontsize=7)
            axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        for place, (title, picture) in enumerate(row.views):
            axes = line[n_sources + 2 + place]
            axes.set_title(title, fontsize=7, color=NEGATIVE_COLOUR if place > 1 else "black")
            if picture is None:
                continue
            axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
            if place > 1:
                axes.set_frame_on(True)
                for spine in axes.spines.values():
                    spine.set(color=NEGATIVE_COLOUR, linewidth=2)
    return figure


def _by_item(first: int) -> Any:
    """Sorts (item, frame): the item ``first`` before others, then by frame."""
    return lambda pair: (pair[0] != first, pair)


def _source(dataset: Any, index: int, frame: int, name_video: bool) -> tuple[str, np.ndarray]:
    item = dataset.item(int(index))
    cine = item[Keys.IMAGE]
    time = frame_seconds(item[Keys.FRAME_TIMES], cine.shape[1])[frame]
    told = f"frame {frame}, {time:.2f} s"
    return f"{video_text(item)}\n{told}" if name_video else told, cine[:, frame].mean(axis=0) / 255.0


def _mixture(frames: np.ndarray, weights: np.ndarray) -> str:
    parts = [(weight, frame) for frame, weight in zip(frames, weights, strict=True) if weight > 0]
    if len(parts) == 1:
        return f"frame {parts[0][1]}"
    return " + ".join(f"{weight:.2f} x {frame}" for weight, frame in parts)


def _gap(item: dict[str, Any], frames: np.ndarray) -> list[str]:
    """How far apart the frames of the pair are, and whether that is assumed."""
    if len(set(frames)) == 1:
        return []
    n_frames = item[Keys.IMAGE].shape[1]
    gap = np.ptp(frame_seconds(item[Keys.FRAME_TIMES], n_frames)[frames])
    unknown = known_times(item[Keys.FRAME_TIMES], n_frames) is None
    return [f"gap {gap:.2f} s", *([f"if {ASSUMED_FRAME_RATE:g} frames a second"] if unknown else [])]
