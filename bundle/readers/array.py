# SPDX-License-Identifier: Apache-2.0
"""Arrays saved by numpy (.npy)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .axes import check_time_axis
from .base import Cine, chosen_frames
from .grey_levels import to_uint8

MIN_SIDE = 8
"""Rows and columns an array needs to pass for frames; fewer means that its axes are something else."""


def read_array(path: Path, frames: Sequence[int] | None = None, time_axis: int | None = None) -> Cine:
    """A ``.npy`` array ``(H, W)``, ``(T, H, W)`` or ``(T, H, W, C)``, C 1 or 3, memory-mapped.

    ``time_axis`` says where T stands if not in front; the other axes keep their order. Chosen frames of uint8 are the
    only ones read. Grey levels by `to_uint8`, whose one look at other types goes over the whole file.

    Raises:
        InputError: when the array has another shape, no real numbers, or is a pickle, or lacks the axis told.
    """
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # of many kinds: numpy has Python read the header
        raise InputError(
            f"{path}: cannot be read as an array ({error}), expected plain numbers saved by numpy.save; save it again"
        ) from error
    shape = values.shape
    if time_axis is not None:
        check_time_axis(time_axis, range(len(shape)), shape, path)
        values = np.moveaxis(values, time_axis, 0)
    elif values.ndim == 2:
        values = values[None]
    if values.ndim == 3:
        values = values[..., None]
    if values.ndim != 4 or values.shape[-1] not in (1, 3) or min(values.shape[1:3]) < MIN_SIDE or len(values) == 0:
        raise InputError(
            f"{path}: found an array of shape {shape}, expected (H, W), (T, H, W) or (T, H, W, C) with C 1 or 3 and "
            f"frames of at least {MIN_SIDE} x {MIN_SIDE} pixels; transpose it, or tell its time_axis"
        )
    wanted = chosen_frames(len(values), frames, path)
    meta: dict[str, Any] = {"filename_or_obj": str(path), "source_kind": "array", "n_frames": len(values)}
    return Cine(np.ascontiguousarray(to_uint8(values, path, wanted)), meta)
