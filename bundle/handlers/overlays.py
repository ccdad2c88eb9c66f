# SPDX-License-Identifier: Apache-2.0
"""Frames of the tested clips with what is true and what the network says drawn over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files import written_beside
from ..keys import Keys
from ..readers.cine import read_cine
from ..transforms.grey import luma

TRUE_COLOUR, FOUND_COLOUR = "lime", "orange"

GROUPS = ("best", "median", "worst")


@dataclass(frozen=True)
class Overlay:
    """A frame as it is shown.

    Attributes:
        picture: grey ``(H, W)``, the original.
        title: above it.
        true, found: masks ``(H, W)``, whose outlines are drawn, or boxes ``(K, 4)`` xyxy.
        scores: of the found boxes.
    """

    picture: np.ndarray
    title: str
    true: np.ndarray
    found: np.ndarray
    scores: Sequence[float] = ()


def best_median_worst(items: Sequence[Mapping[str, Any]], figure: str, each: int = 3) -> dict[str, list[int]]:
    """Of items that have a figure, the indices of the best, those in the middle and the worst, by `GROUPS`.

    One frame a clip takes part, the one in the middle of its clip, and each is shown once.
    """
    clips: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        if item.get(figure) is not None:
            clips.setdefault(item[Keys.VIDEO_ID], []).append(index)
    frames = [sorted(of_clip, key=lambda k: items[k][figure])[len(of_clip) // 2] for of_clip in clips.values()]
    frames.sort(key=lambda k: -items[k][figure])
    each = min(each, -(-len(frames) // 3))
    start = max(each, (len(frames) - each) // 2)
    chosen = {"best": frames[:each], "median": frames[start : start + each], "worst": frames[start + each :][-each:]}
    return {group: indices for group, indices in chosen.items() if indices}


def original_frame(path: str, frame: int) -> np.ndarray:
    """A frame of a file in grey, ``(H, W)`` uint8."""
    picture = read_cine(path, frames=[frame]).frames
    return luma(picture.transpose(3, 0, 1, 2))[0] if picture.shape[-1] == 3 else picture[0, ..., 0]


def draw_overlays(path: Path, groups: Mapping[str, Sequence[Overlay]], title: str) -> None:
    """A row a group, as a PNG; truth in one colour, what was found in another."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = max(len(row) for row in groups.values())
    figure = Figure(figsize=(3.6 * columns, 3.1 * len(groups) + 0.6), layout="constrained")
    figure.suptitle(title, fontsize=9)
    grid = figure.subplots(len(groups), columns, squeeze=False)
    for line, (group, overlays) in zip(grid, groups.items(), strict=True):
        for axes in line:
            axes.set(xticks=[], yticks=[])
            axes.set_frame_on(False)
        line[0].set_ylabel(group)
        for axes, overlay in zip(line, overlays, strict=False):
            axes.imshow(overlay.picture, cmap="gray", vmin=0, vmax=255)
            axes.set_title(overlay.title, fontsize=7)
            _draw(axes, overlay.true, TRUE_COLOUR, ())
            _draw(axes, overlay.found, FOUND_COLOUR, overlay.scores)
    lines = [Line2D([], [], color=colour) for colour in (TRUE_COLOUR, FOUND_COLOUR)]
    figure.legend(lines, ["true", "found"], loc="outside lower right", fontsize=8, ncols=2)
    with written_beside(path) as beside:
        figure.savefig(beside, dpi=90)


def _draw(axes: Any, what: np.ndarray, colour: str, scores: Sequence[float]) -> None:
    from matplotlib.patches import Rectangle

    if what.shape[1:] != (4,):  # a mask
        if what.any():
            axes.contour(what, levels=[0.5], colors=colour, linewidths=1)
        return
    for k, (x0, y0, x1, y1) in enumerate(what):
        # a picture's pixel 0 is drawn from -0.5 to 0.5
        axes.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.2))
        if k < len(scores):
            axes.text(x0, y0 - 2, f"{scores[k]:.2f}", color=colour, fontsize=6, va="bottom")
