# SPDX-License-Identifier: Apache-2.0
"""The outline of a sector: a convex shape as rows ``(y, left, right)`` of pixel coordinates, straight in between.

Coordinates run from edge to edge: pixel (row, column) has its centre at ``y = row + 0.5``, ``x = column + 0.5``. So a
few numbers say exactly which pixels lie inside, and travel where a mask could not.
"""

from __future__ import annotations

import numpy as np


def convex_outline(area: np.ndarray, factor: int) -> np.ndarray:
    """Convex hull of ``area``, bool ``(h, w)`` whose pixels are blocks of ``factor``, as an outline ``(n, 3)``."""
    rows = np.flatnonzero(area.any(1))
    first = area.argmax(1)[rows]
    last = area.shape[1] - area[:, ::-1].argmax(1)[rows]
    # corners of the blocks: both edges of every row
    y = np.concatenate([rows, rows + 1]) * factor
    left_y, left = _lower_envelope(y, np.concatenate([first, first]) * factor)
    right_y, right = _lower_envelope(y, -np.concatenate([last, last]) * factor)
    nodes = np.union1d(left_y, right_y)
    return np.stack([nodes, np.interp(nodes, left_y, left), -np.interp(nodes, right_y, right)], axis=1)


def fill_outline(outline: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bool ``(height, width)``: the pixels whose centre lies in the outline ``(n, 3)``."""
    y, left, right = np.asarray(outline, dtype=float).T
    centres = np.arange(height) + 0.5
    inside = ((centres >= y[0]) & (centres <= y[-1]))[:, None]
    begin, end = np.interp(centres, y, left)[:, None], np.interp(centres, y, right)[:, None]
    x = np.arange(width)[None] + 0.5
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
