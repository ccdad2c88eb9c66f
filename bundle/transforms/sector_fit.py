# SPDX-License-Identifier: Apache-2.0
"""Finding the scan sector: box and mask, from the ultrasound regions and the frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .sector_area import FEWEST_MOVING, LIT_CINE, background, header, reduce_frames, sector_area
from .sector_outline import convex_outline, fill_outline

FIT_VERSION = 2  # goes up with every change that can move a box or a mask, so that cached frames are cropped anew
MAX_FRAMES = 24  # evenly spaced frames that are looked at
WORKING_SIDE = 256  # pixels, about, of the longer side while looking; twice that for stills: shape is all they have
FEWEST_LIT = 0.03  # a fit with a smaller share of the frame is not trusted
LONGEST = 4.0  # a fit with a more extreme side ratio is a bar, not a sector
FULL = 0.92  # a region that spans this share of both sides says nothing

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class SectorFit:
    """Where the sector is.

    Attributes:
        box: ``(x0, y0, x1, y1)`` pixels, x the column, the upper bounds exclusive.
        mask: bool ``(y1 - y0, x1 - x0)``, True inside the sector.
        outline: the same sector as rows ``(y, left, right)`` in pixels of the frame (`sector_outline`).
        source: ``region`` (the box comes from the DICOM region), ``frames``, or ``whole`` (nothing trustworthy found).
    """

    box: Box
    mask: np.ndarray
    outline: np.ndarray
    source: str


def find_sector(frames: np.ndarray, regions: Sequence[Mapping[str, Any]] | None = None) -> SectorFit:
    """Finds the scan sector.

    Args:
        frames: ``(T, H, W)`` uint8; T = 1 for a still.
        regions: ultrasound regions, each with ``box`` (xyxy pixels) and ``kind`` ("2d" for a picture of tissue).

    The box is the 2-D region's when there is one that lies in the frame, holds something lit and does not contradict
    the frames; otherwise the box around the largest moving (in a still: lit) area. The mask is the convex hull of that
    area: for a convex probe it fills the shallow arc at the skin. When in doubt the whole frame is kept, box and mask.

    All work is done on at most `MAX_FRAMES` frames (`looked_at`), reduced so that the longer side has about
    `WORKING_SIDE` pixels.
    """
    _, height, width = frames.shape
    frames = frames[looked_at(len(frames))]
    boxes = _flat_boxes(regions or (), height, width)
    region = _best_lit(frames, boxes)
    # only movement can contradict a region
    found = _fit(frames) if region is None or len(frames) >= FEWEST_MOVING else None
    if region is not None and (found is None or not _lies_beside(fill_outline(found, height, width), boxes)):
        x0, y0, x1, y1 = region
        inside = _fit(frames[:, y0:y1, x0:x1])
        outline = _rectangle(region) if inside is None else inside + (y0, x0, x0)
        return _sector_fit(outline, height, width, "region", region)
    if found is None:
        return _sector_fit(_rectangle((0, 0, width, height)), height, width, "whole")
    return _sector_fit(found, height, width, "frames")


def _sector_fit(outline: np.ndarray, height: int, width: int, source: str, box: Box | None = None) -> SectorFit:
    mask = fill_outline(outline, height, width)
    box = _bounds(mask) if box is None else box
    return SectorFit(box, mask[box[1] : box[3], box[0] : box[2]].copy(), outline, source)


def _rectangle(box: Box) -> np.ndarray:
    """A box as an outline."""
    x0, y0, x1, y1 = box
    return np.array([[y0, x0, x1], [y1, x0, x1]], dtype=float)


def looked_at(n_frames: int) -> np.ndarray:
    """Indices of the frames that `find_sector` looks at: at most `MAX_FRAMES`, evenly spaced.

    First and last are among them. Choosing from the chosen changes nothing.
    """
    return np.unique(np.linspace(0, n_frames - 1, min(n_frames, MAX_FRAMES)).round().astype(int))


def _bounds(mask: np.ndarray) -> Box:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _flat_boxes(regions: Sequence[Mapping[str, Any]], height: int, width: int) -> list[Box]:
    """The boxes of the 2-D regions, clipped to the frame, without slivers."""
    boxes: list[Box] = []
    for region in regions:
        x0, y0, x1, y1 = (round(float(v)) for v in region["box"])
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        if region.get("kind") == "2d" and x1 - x0 >= 0.05 * width and y1 - y0 >= 0.05 * height:
            boxes.append((x0, y0, x1, y1))
    return boxes


def _best_lit(frames: np.ndarray, boxes: Sequence[Box]) -> Box | None:
    """The box with the most lit pixels, unless it is empty or spans the whole frame."""
    if not boxes:
        return None
    brightest = frames.max(0)
    height, width = brightest.shape
    lit = np.abs(brightest - background(brightest)) > LIT_CINE
    count = {(x0, y0, x1, y1): int(np.count_nonzero(lit[y0:y1, x0:x1])) for x0, y0, x1, y1 in boxes}
    x0, y0, x1, y1 = best = max(boxes, key=lambda box: count[box])
    empty = count[best] < 0.01 * (x1 - x0) * (y1 - y0)
    everything = x1 - x0 >= FULL * width and y1 - y0 >= FULL * height
    return None if empty or everything else best


def _lies_beside(found: np.ndarray, boxes: Sequence[Box]) -> bool:
    """Whether what moves reaches out of the regions, as it does when a frame was shrunk or cut but its bounds not."""
    outside = found.copy()
    for x0, y0, x1, y1 in boxes:
        outside[y0:y1, x0:x1] = False
    return bool(outside.sum() > 0.05 * found.sum())


def _fit(frames: np.ndarray) -> np.ndarray | None:
    """Convex outline ``(n, 3)`` of the sector, or None when there is nothing to trust."""
    n_frames, height, width = frames.shape
    side = WORKING_SIDE if n_frames >= FEWEST_MOVING else 2 * WORKING_SIDE
    factor = max(1, round(max(height, width) / side))
    area = sector_area(reduce_frames(frames, factor), -(-header(frames[0]) // factor))
    if area is None:
        return None
    outline = convex_outline(area, factor)
    mask = fill_outline(outline, height, width)
    x0, y0, x1, y1 = _bounds(mask)
    ratio = (x1 - x0) / (y1 - y0)
    if np.count_nonzero(mask) < FEWEST_LIT * mask.size or not 1 / LONGEST <= ratio <= LONGEST:
        return None
    return outline
