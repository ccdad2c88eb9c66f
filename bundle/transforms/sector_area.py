# SPDX-License-Identifier: Apache-2.0
"""The area of a scan sector among text, grey bars, logos and scales: what moves and is lit, and is not thin.

Pure functions on arrays.
"""

from __future__ import annotations

import numpy as np

FEWEST_MOVING = 3  # frames from which movement counts
LIT_CINE = 3.5  # grey levels off the background that count as lit in the brightest frame of a cine: above coding noise
LIT_STILL = 0.75  # the same in a still, which has one frame of noise only and no movement to show dark tissue by
MOVING = 0.75  # standard deviation over time, in grey levels, that counts as moving
THIN = 0.014  # half the thickness of a stroke, as a share of the longer side: thinner things are no tissue
FEWEST_MOVED = 0.015  # with a smaller share of the frame moving, a cine is a still
FROZEN = 0.25  # a piece of which a smaller share moves is furniture
SMALLEST_THIN = 0.05  # a line of text may change; a piece as thin moves at least this share of what the largest moves
SMALLEST_STILL = 0.15  # smallest piece of a still, as a share of the largest: logos and bars are large, too


def reduce_frames(frames: np.ndarray, factor: int) -> np.ndarray:
    """Block means ``(T, ceil(H / f), ceil(W / f))`` float32; the last row and column are repeated to fill blocks."""
    if factor == 1:
        return frames.astype(np.float32)
    _, height, width = frames.shape
    padded = np.pad(frames, ((0, 0), (0, -height % factor), (0, -width % factor)), mode="edge")
    total = np.zeros_like(padded[:, ::factor, ::factor], dtype=np.uint32)
    for row in range(factor):
        for column in range(factor):
            total += padded[:, row::factor, column::factor]
    return total / np.float32(factor**2)


def header(frame: np.ndarray) -> int:
    """Rows at the top that belong to a screen header: 0 without one.

    A header is a bright panel that spans most of the width and is the same along the row, as speckle never is.
    """
    from scipy import ndimage

    top = frame[: max(1, len(frame) // 8)]
    low = ndimage.minimum_filter1d(top, 9, axis=1, mode="nearest")
    high = ndimage.maximum_filter1d(top, 9, axis=1, mode="nearest")
    panel = (high - low <= 2) & (low > 16) & (np.abs(low - background(frame)) > LIT_CINE)
    share = panel.mean(1)
    return int(np.flatnonzero(share > 0.25)[-1]) + 1 if share.max() > 0.7 else 0


def background(brightest: np.ndarray) -> float:
    """Grey level of the surroundings: the most common one along the border if it is common enough, otherwise 0."""
    border = np.concatenate([brightest[0], brightest[-1], brightest[:, 0], brightest[:, -1]]).astype(np.float32)
    level = float(np.bincount(np.rint(border).astype(int)).argmax())
    step = max(1, max(brightest.shape) // 256)
    everywhere = brightest[::step, ::step].astype(np.float32)
    common = np.mean(np.abs(border - level) <= 1.5) > 0.25 and np.mean(np.abs(everywhere - level) <= 1.5) > 0.05
    return level if common else 0.0


def sector_area(frames: np.ndarray, first_row: int) -> np.ndarray | None:
    """The lit and moving pieces that make up the sector: bool ``(h, w)``, or None.

    Args:
        frames: reduced frames ``(T, h, w)`` float.
        first_row: what lies above is a screen header.
    """
    from scipy import ndimage

    cine = len(frames) >= FEWEST_MOVING
    brightest = frames.max(0)
    moving = (frames.std(0) > MOVING) if cine else np.zeros(brightest.shape, bool)
    signal = moving | (np.abs(brightest - background(brightest)) > (LIT_CINE if cine else LIT_STILL))
    moving[:first_row] = signal[:first_row] = False
    # only what moves is closed: text near the sector must not be joined to it
    solid = ndimage.binary_fill_holes(signal | _close(moving, 1))
    radius = max(1, round(THIN * max(signal.shape)))
    labels, count = ndimage.label(_open(solid, radius))
    if count == 0:
        return None
    size = np.bincount(labels.ravel(), minlength=count + 1).astype(float)
    size[0] = 0
    moved = np.bincount(labels.ravel(), weights=moving.ravel(), minlength=count + 1)
    moved[0] = 0
    thick = np.bincount(labels[_open(solid, round(1.5 * radius))], minlength=count + 1) > 0
    keep = (thick | (moved >= SMALLEST_THIN * moved.max())) & (moved >= FROZEN * size)
    keep[0] = False
    if moved.sum() > FEWEST_MOVED * moving.size and keep.any():  # what stays the same is furniture
        signal = moving
    else:  # a still, a frozen cine, or one of which little moves
        keep = size >= SMALLEST_STILL * size.max()
        keep[0] = False
    chosen = keep[labels]
    # give back the corners and the apex that the opening took
    return ndimage.binary_dilation(chosen, np.ones((3, 3)), iterations=radius + 1, mask=signal | chosen)


def _close(mask: np.ndarray, radius: int) -> np.ndarray:
    from scipy import ndimage

    side = 2 * radius + 1
    return ndimage.minimum_filter(ndimage.maximum_filter(mask, side, mode="nearest"), side, mode="nearest")


def _open(mask: np.ndarray, radius: int) -> np.ndarray:
    """Opening by a square; beyond the frame counts as its edge, so that a sector cut by the frame keeps its side."""
    from scipy import ndimage

    side = 2 * radius + 1
    return ndimage.maximum_filter(ndimage.minimum_filter(mask, side, mode="nearest"), side, mode="nearest")
