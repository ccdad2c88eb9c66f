# SPDX-License-Identifier: Apache-2.0
"""NIfTI cines (.nii, .nii.gz)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .axes import as_frames, axis_roles
from .base import Cine, chosen_frames
from .grey_levels import to_uint8

_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
_BEST_GZIP = 1032
"""Bytes that one byte of gzip stands for at most."""


def read_nifti(path: Path, frames: Sequence[int] | None = None, time_axis: int | None = None) -> Cine:
    """A NIfTI file whose voxel axes are (column, row, time), or (column, row, 1, time), as echo sets store them.

    The first voxel axis runs to the right of the picture, the second down, without any flip: with CAMUS the apex of the
    sector is then at the top. Which axis is time: see `axes`. Colour is the RGB voxel type, or a fifth axis of 3.
    Spacing is the pixdim of column and row; times come from the pixdim of the time axis, only when the header gives a
    unit of time.

    An uncompressed file without a scale factor is memory-mapped, so that chosen frames of uint8 are the only ones read;
    ``.nii.gz`` is inflated whole, and a scale factor is applied to the whole. Grey levels by `to_uint8`, whose one look
    at types other than uint8 goes over the whole file.

    Raises:
        InputError: when the file cannot be read, has several slices and several times, or ``time_axis`` is no axis of
            it.
    """
    import nibabel

    try:
        image: Any = nibabel.load(path)
        need, there = prod(image.shape) * image.get_data_dtype().itemsize, path.stat().st_size
        if need > there * (_BEST_GZIP if path.suffix.lower() == ".gz" else 1):
            raise ValueError(f"{there} bytes for the {need} that its header says")  # nibabel makes room for them first
        values = np.asanyarray(image.dataobj)
    except Exception as error:  # of many kinds, of nibabel, numpy and zlib
        raise InputError(f"{path}: cannot be read as NIfTI ({error}), expected a whole file; copy it again") from error
    stored = values.shape
    vectors = len(stored) == 5 and time_axis != 4  # their parts live on the fifth axis
    roles = axis_roles(stored, path, time_axis, "????c" if vectors else "")
    count = stored[roles.index("t")] if "t" in roles else 1
    wanted = chosen_frames(count, frames, path)
    values = as_frames(values, roles)
    if values.shape[-1] not in (1, 3):
        raise InputError(f"{path}: found {values.shape[-1]} values a voxel, expected grey or RGB; export it as such")
    if values.dtype.names:  # the RGB voxel type
        chosen = values[wanted][..., 0]
        picked = np.stack([chosen[name] for name in ("R", "G", "B")], axis=-1)
    else:
        picked = np.ascontiguousarray(to_uint8(values, path, wanted))

    zooms = [float(zoom) for zoom in image.header.get_zooms()]
    space_unit, time_unit = _units(image.header)
    meta: dict[str, Any] = {"filename_or_obj": str(path), "source_kind": "nifti", "n_frames": count}
    across, down = (zooms[roles.index(name)] * _MM[space_unit] for name in "xy")
    if 0 < min(across, down) and max(across, down) < np.inf:
        meta["spacing"] = (down, across)
    if time_unit in _SECONDS and "t" in roles and 0 < zooms[roles.index("t")] < np.inf:
        meta["frame_times"] = np.asarray(wanted, np.float64) * zooms[roles.index("t")] * _SECONDS[time_unit]
    return Cine(picked, meta)


def _units(header: Any) -> tuple[str, str]:
    try:
        return header.get_xyzt_units()
    except KeyError:  # a number that stands for none
        return "unknown", "unknown"
