# SPDX-License-Identifier: Apache-2.0
"""NIfTI cines (.nii, .nii.gz)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .base import Cine, chosen_frames, to_uint8

_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}


def read_nifti(path: Path, frames: Sequence[int] | None = None) -> Cine:
    """A NIfTI file whose voxel axes are (column, row, time), or (column, row, 1, time), as echo sets store them.

    The first voxel axis runs to the right of the picture, the second down, without any flip: with CAMUS the apex of the
    sector is then at the top. Colour is the RGB voxel type, or a fifth axis of 3. Spacing is pixdim 1 and 2; times come
    from the pixdim of the time axis, only when the header gives a unit of time. Grey levels by `to_uint8`.

    Raises:
        InputError: when the file cannot be read or has several slices and several times.
    """
    import nibabel

    try:
        image: Any = nibabel.load(path)
        values = np.asarray(image.dataobj)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as NIfTI ({error}), expected a whole file; copy it again") from error
    stored, time_axis = values.shape, 3 if values.ndim > 3 and values.shape[3] > 1 else 2
    if values.dtype.names:  # the RGB voxel type
        values = np.stack([values[name] for name in ("R", "G", "B")], axis=-1)
    elif values.ndim == 5:  # vector voxels live on the fifth axis
        values = values.reshape(*values.shape[:2], -1, values.shape[4])
    else:
        values = values[..., None]
    if min(stored) == 0 or len(stored) < 2 or sum(n > 1 for n in stored[2:4]) > 1 or values.shape[-1] not in (1, 3):
        raise InputError(
            f"{path}: found voxels of shape {stored}, expected (columns, rows, frames); split the volumes into slices"
        )
    # (column, row, time..., channel) -> (time, row, column, channel)
    values = values.reshape(*stored[:2], -1, values.shape[-1]).transpose(2, 1, 0, 3)
    wanted = chosen_frames(len(values), frames, path)
    picked = np.ascontiguousarray(to_uint8(values, path)[wanted])

    zooms = [float(zoom) for zoom in image.header.get_zooms()]
    space_unit, time_unit = image.header.get_xyzt_units()
    meta: dict[str, Any] = {"filename_or_obj": str(path), "source_kind": "nifti", "n_frames": len(values)}
    if min(zooms[:2]) > 0:
        meta["spacing"] = (zooms[1] * _MM[space_unit], zooms[0] * _MM[space_unit])
    if time_unit in _SECONDS and len(zooms) > time_axis and zooms[time_axis] > 0:
        meta["frame_times"] = np.asarray(wanted, np.float64) * zooms[time_axis] * _SECONDS[time_unit]
    return Cine(picked, meta)
