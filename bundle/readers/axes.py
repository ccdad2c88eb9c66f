# SPDX-License-Identifier: Apache-2.0
"""Which axis of a file is time: one rule for all formats whose files are plain arrays.

Axes count from 0 in the order of the format: fastest first in MetaImage (DimSize), NRRD (sizes) and NIfTI (dim 1 is
axis 0), numpy's order, slowest first, in ``.npy``.

1. The axis the caller tells (``time_axis``).
2. Else the one the file names: NRRD and MetaImage kinds ``list`` (Slicer, PLUS) or ``time``.
3. Else the last axis of more than one entry past the first two of space (so NIfTI's axis 3, or 2 when axis 3 has one
   entry), or the first past them when all have one. In a ``.npy`` array it is the first of three or four axes.

Of the others the first two are the columns and rows of the picture; a third axis of space must have one entry, since a
volume over time is no cine: write the slice you want as a file of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError


def axis_roles(sizes: Sequence[int], path: Path, time_axis: int | None = None, said: str = "") -> str:
    """The role of each axis, fastest first, as one letter: x, y, t (may be missing), c (channels), z (one entry).

    Args:
        sizes: entries of each axis.
        path: for messages.
        time_axis: the axis the caller tells.
        said: what the file says of each axis: t, c, or ? for nothing; blank when it says nothing at all.

    Raises:
        InputError: when ``time_axis`` is no axis of the file, or there is more than one picture at a time.
    """
    roles = list(said or "?" * len(sizes))
    if time_axis is not None:
        check_time_axis(time_axis, [k for k, role in enumerate(roles) if role != "c"], sizes, path)
        roles = ["?" if role == "t" else role for role in roles]
        roles[time_axis] = "t"
    space = [k for k, role in enumerate(roles) if role == "?"]
    if "t" not in roles and len(space) > 2:
        time = next((k for k in reversed(space[2:]) if sizes[k] > 1), space[2])
        roles[time] = "t"
        space.remove(time)
    if roles.count("t") > 1 or roles.count("c") > 1 or len(space) < 2 or min(sizes) < 1:
        raise InputError(
            f"{path}: found axes of sizes {list(sizes)}, expected columns, rows and frames; "
            "tell which axis is time with time_axis"
        )
    if any(sizes[k] > 1 for k in space[2:]):
        raise InputError(
            f"{path}: found volumes over time (sizes {list(sizes)}, time on axis {roles.index('t')}), expected frames; "
            "write the slice you want as a file of its own, or tell which axis is time with time_axis"
        )
    for k, role in zip(space, "xy" + "z" * len(space), strict=False):
        roles[k] = role
    return "".join(roles)


def check_time_axis(time_axis: int, axes: Sequence[int], sizes: Sequence[int], path: Path) -> None:
    """Raise an InputError unless ``time_axis`` is one of ``axes``."""
    if time_axis not in axes:
        raise InputError(
            f"{path}: time_axis is {time_axis}, the file has sizes {list(sizes)}, expected one of the axes "
            f"{list(axes)}; leave it out to have it found"
        )


def as_frames(values: np.ndarray, roles: str) -> np.ndarray:
    """A view ``(T, H, W, C)`` of an array whose axes have these roles, in numpy's order; T, C are 1 where missing."""
    values = np.squeeze(values, axis=tuple(k for k, role in enumerate(roles) if role == "z"))
    roles = roles.replace("z", "")
    for missing in (role for role in "tc" if role not in roles):
        values, roles = values[..., None], roles + missing
    return values.transpose([roles.index(role) for role in "tyxc"])
