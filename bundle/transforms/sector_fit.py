# SPDX-License-Identifier: Apache-2.0
"""Finding the scan sector in frames: pure functions on arrays.

The sector is what moves and what is lit. Text, grey bars, logos and scales around it are thin or do not move.
All work is done on at most `MAX_FRAMES` frames, reduced so that the longer side has at most `WORKING_SIDE` pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

FIT_VERSION = 2  # goes up with every change that can move a box, so that cached frames are cropped anew
MAX_FRAMES = 24  # evenly spaced frames that are looked at
WORKING_SIDE = 256  # pixels of the longer side while looking; twice that for stills, where shape is all there is
FEWEST_MOVING = 3  # frames from which movement counts
LIT_CINE = 3.5  # grey levels off the background that count as lit in the brightest frame of a cine
LIT_STILL = 5.0  # the same in a still: a single frame shows more of the halo that lossy coding puts around text
MOVING = 0.75  # standard deviation over time, in grey levels, that counts as moving
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
        source: ``region`` (the box comes from the DICOM region), ``frames``, or ``whole`` (nothing trustworthy found).
    """

    box: Box
    mask: np.ndarray
    source: str


def find_sector(frames: np.ndarray, regions: Sequence[Mapping[str, Any]] | None = None) -> SectorFit:
    """Finds the scan sector.

    Args:
        frames: ``(T, H, W)`` uint8; T = 1 for a still.
        regions: ultrasound regions, each with ``box`` (xyxy pixels) and ``kind`` (``"2d"`` counts).

    The box is the 2-D region's when there is one that lies in the frame, holds something lit and does not contradict
    the frames; otherwise the box around the largest moving (in a still: lit) area. The mask is the convex hull of that
    area: for a convex probe it fills the shallow arc at the skin. When in doubt the whole frame is kept, box and mask.
    """
    _, height, width = frames.shape
    frames = frames[looked_at(len(frames))]
    found = _fit(frames)
    box = _region_box(frames, regions or (), found)
    if box is not None:
        x0, y0, x1, y1 = box
        inside = _fit(frames[:, y0:y1, x0:x1])
        mask = np.ones((y1 - y0, x1 - x0), bool) if inside is None else inside
        return SectorFit(box, mask, "region")
    if found is None:
        return SectorFit((0, 0, width, height), np.ones((height, width), bool), "whole")
    box = _bounds(found)
    return SectorFit(box, found[box[1] : box[3], box[0] : box[2]].copy(), "frames")


def looked_at(n_frames: int) -> np.ndarray:
    """Indices of the frames that `find_sector` looks at: at most `MAX_FRAMES`, evenly spaced.

    First and last are among them. Choosing from the chosen changes nothing.
    """
    return np.unique(np.linspace(0, n_frames - 1, min(n_frames, MAX_FRAMES)).round().astype(int))


def _bounds(mask: np.ndarray) -> Box:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _region_box(frames: np.ndarray, regions: Sequence[Mapping[str, Any]], found: np.ndarray | None) -> Box | None:
    """The box of the 2-D region to trust, clipped to the frame, or None."""
    n_frames, height, width = frames.shape
    boxes: list[Box] = []
    for region in regions:
        x0, y0, x1, y1 = (round(float(v)) for v in region["box"])
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        if region.get("kind") == "2d" and x1 - x0 >= 0.05 * width and y1 - y0 >= 0.05 * height:
            boxes.append((x0, y0, x1, y1))
    if not boxes:
        return None
    if n_frames >= FEWEST_MOVING and found is not None:
        # bounds that were not adapted when the frame was shrunk or cut show a region beside the picture
        outside = found.copy()
        for x0, y0, x1, y1 in boxes:
            outside[y0:y1, x0:x1] = False
        if outside.sum() > 0.05 * found.sum():
            return None
    brightest = frames.max(0)
    lit = np.abs(brightest - _background(brightest)) > LIT_CINE
    count = {(x0, y0, x1, y1): int(np.count_nonzero(lit[y0:y1, x0:x1])) for x0, y0, x1, y1 in boxes}
    x0, y0, x1, y1 = best = max(boxes, key=lambda box: count[box])
    empty = count[best] < 0.01 * (x1 - x0) * (y1 - y0)
    everything = x1 - x0 >= FULL * width and y1 - y0 >= FULL * height
    return None if empty or everything else best


def _fit(frames: np.ndarray) -> np.ndarray | None:
    """Convex mask ``(H, W)`` of the sector, or None when there is nothing to trust."""
    n_frames, height, width = frames.shape
    side = WORKING_SIDE if n_frames >= FEWEST_MOVING else 2 * WORKING_SIDE
    factor = max(1, -(-max(height, width) // side))
    small = _reduce(frames, factor)
    area = _sector_area(small, -(-_header(frames[0]) // factor))
    if area is None:
        return None
    mask = _convex_fill(area, factor, (height, width))
    x0, y0, x1, y1 = _bounds(mask)
    ratio = (x1 - x0) / (y1 - y0)
    if np.count_nonzero(mask) < FEWEST_LIT * mask.size or not 1 / LONGEST <= ratio <= LONGEST:
        return None
    return mask


def _reduce(frames: np.ndarray, factor: int) -> np.ndarray:
    """Block means ``(T, ceil(H / f), ceil(W / f))`` float32; the last row and column are repeated to fill blocks."""
    if factor == 1:
        return frames.astype(np.float32)
    _, height, width = frames.shape
    rows, columns = -(-height // factor), -(-width // factor)
    reduced = np.empty((len(frames), rows, columns), np.float32)
    for frame, small in zip(frames, reduced, strict=True):
        padded = np.pad(frame, ((0, rows * factor - height), (0, columns * factor - width)), mode="edge")
        sums = padded.reshape(rows, factor, -1).sum(1, dtype=np.uint32)
        small[:] = sums.reshape(rows, columns, factor).sum(2)
    return reduced / np.float32(factor**2)


def _header(frame: np.ndarray) -> int:
    """Rows at the top that belong to a screen header: 0 without one.

    A header is a bright panel that spans most of the width and is the same along the row, as speckle never is.
    """
    from scipy import ndimage

    top = frame[: max(1, len(frame) // 8)]
    low = ndimage.minimum_filter1d(top, 9, axis=1, mode="nearest")
    high = ndimage.maximum_filter1d(top, 9, axis=1, mode="nearest")
    panel = (high - low <= 2) & (low > 16) & (np.abs(low - _background(frame)) > LIT_CINE)
    share = panel.mean(1)
    return int(np.flatnonzero(share > 0.25)[-1]) + 1 if share.max() > 0.7 else 0


def _background(brightest: np.ndarray) -> float:
    """Grey level of the surroundings: the most common one if it is common along the border too, otherwise 0."""
    step = max(1, max(brightest.shape) // WORKING_SIDE)
    levels = np.rint(brightest[::step, ::step]).astype(int)
    level = int(np.bincount(levels.ravel()).argmax())
    border = np.concatenate([brightest[0], brightest[-1], brightest[:, 0], brightest[:, -1]]).astype(np.float32)
    common = np.mean(np.abs(levels - level) <= 1) > 0.05 and np.mean(np.abs(border - level) <= 1.5) > 0.25
    return float(level) if common else 0.0


def _sector_area(small: np.ndarray, first_row: int) -> np.ndarray | None:
    """The lit and moving pieces that make up the sector: bool ``(h, w)``, or None.

    Args:
        small: reduced frames ``(T, h, w)``.
        first_row: what lies above is a screen header.
    """
    from scipy import ndimage

    cine = len(small) >= FEWEST_MOVING
    brightest = small.max(0)
    moving = (small.std(0) > MOVING) if cine else np.zeros(brightest.shape, bool)
    lit = np.abs(brightest - _background(brightest)) > (LIT_CINE if cine else LIT_STILL)
    signal = lit | moving
    signal[:first_row] = False
    radius = max(1, round(0.014 * max(lit.shape)))
    solid = ndimage.binary_fill_holes(_close(signal, 1))
    core = _open(solid, radius)
    labels, count = ndimage.label(core)
    if count == 0:
        return None
    size = np.bincount(labels.ravel(), minlength=count + 1).astype(float)
    size[0] = 0
    moved = np.bincount(labels.ravel(), weights=moving.ravel(), minlength=count + 1)
    moved[0] = 0
    if moved.sum() > FEWEST_LIT / 2 * moving.size:  # what stays the same is furniture
        keep = (moved >= 0.05 * moved.max()) & (moved >= 0.25 * size)
        solid &= _close(moving, 1)
    else:  # a still, or a frozen cine
        keep = size >= 0.15 * size.max()
    keep[0] = False
    chosen = keep[labels]
    # give back the corners and the apex that the opening took
    return ndimage.binary_dilation(chosen, np.ones((3, 3)), iterations=radius + 1, mask=solid | chosen)


def _close(mask: np.ndarray, radius: int) -> np.ndarray:
    from scipy import ndimage

    side = 2 * radius + 1
    return ndimage.minimum_filter(ndimage.maximum_filter(mask, side, mode="nearest"), side, mode="nearest")


def _open(mask: np.ndarray, radius: int) -> np.ndarray:
    """Opening by a square; beyond the frame counts as its edge, so that a sector cut by the frame keeps its side."""
    from scipy import ndimage

    side = 2 * radius + 1
    return ndimage.maximum_filter(ndimage.minimum_filter(mask, side, mode="nearest"), side, mode="nearest")


def _convex_fill(area: np.ndarray, factor: int, shape: tuple[int, int]) -> np.ndarray:
    """Convex hull of ``area``, whose pixels are blocks of ``factor``, drawn at ``shape`` (H, W)."""
    rows = np.flatnonzero(area.any(1))
    first = area.argmax(1)[rows]
    last = area.shape[1] - area[:, ::-1].argmax(1)[rows]
    # corners of the blocks: both edges of every row
    y = np.concatenate([rows, rows + 1]) * factor
    left = _lower_envelope(y, np.concatenate([first, first]) * factor)
    right = _lower_envelope(y, -np.concatenate([last, last]) * factor)
    centres = np.arange(shape[0]) + 0.5
    begin = np.interp(centres, *left)[:, None]
    end = -np.interp(centres, *right)[:, None]
    inside = ((centres >= y.min()) & (centres <= y.max()))[:, None]
    x = np.arange(shape[1])[None] + 0.5
    return inside & (x >= begin) & (x <= end)


def _lower_envelope(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convex lower envelope of the points (y, x) as a function of y (Andrew's monotone chain)."""
    chain: list[tuple[float, float]] = []
    for point in sorted(zip(y.tolist(), x.tolist(), strict=True)):
        if chain and chain[-1][0] == point[0]:
            continue  # same row edge: the smaller x came first
        while len(chain) > 1:
            (y1, x1), (y2, x2) = chain[-2:]
            if (y2 - y1) * (point[1] - x1) - (x2 - x1) * (point[0] - y1) > 0:
                break
            chain.pop()
        chain.append(point)
    nodes = np.asarray(chain, dtype=float)
    return nodes[:, 0], nodes[:, 1]
