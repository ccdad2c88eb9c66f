# SPDX-License-Identifier: Apache-2.0
"""Grey levels of any number type as uint8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError


def to_uint8(values: np.ndarray, path: Path, wanted: Sequence[int] | None = None) -> np.ndarray:
    """The wanted frames (all when None) as uint8, by one rule for the whole file.

    uint8 stays; False and True become 0 and 255; other values stay (rounded) when all lie within 0 to 255, except that
    fractions within 0 to 1 are multiplied by 255; anything else is mapped linearly, its least value to 0 and its
    largest to 255. Values that are not finite count as the least.

    The range is that of all frames, so a frame comes out the same whichever others are wanted. For types other than
    uint8 and bool that costs one pass over all of them, a frame at a time: memory-mapped values never lie in memory as
    a whole.

    Args:
        values: all frames of a file, frames first.
        path: for messages.
        wanted: indices of frames.

    Raises:
        InputError: when the values are no real numbers (complex, text, objects).
    """
    picked = values if wanted is None else values[list(wanted)]
    if values.dtype == np.uint8:
        return picked
    if values.dtype == bool:
        return picked.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "iuf":
        raise InputError(
            f"{path}: found values of type {values.dtype}, expected real grey levels; "
            "convert to B-mode (log-compressed) images first"
        )
    low, high = _range(values)
    offset, scale = 0.0, 1.0
    if low < 0 or high > 255:
        offset, scale = low, 255.0 / (high - low) if high > low else 0.0
    elif values.dtype.kind == "f" and high <= 1:
        scale = 255.0
    levels = np.empty(picked.shape, np.uint8)
    for k, part in enumerate(picked):
        levels[k] = np.rint((np.where(np.isfinite(part), part, low).astype(np.float64) - offset) * scale)
    return levels


def _range(values: np.ndarray) -> tuple[float, float]:
    """Least and largest finite value, (0, 0) when there is none."""
    low, high = np.inf, -np.inf
    for part in values:
        finite = part[np.isfinite(part)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 0.0)
