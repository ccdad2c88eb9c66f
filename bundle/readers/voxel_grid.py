# SPDX-License-Identifier: Apache-2.0
"""Where a viewer puts the voxels of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def voxel_grid(path: str | Path, columns: int, rows: int, frames: int) -> np.ndarray:
    """The matrix ``(4, 4)`` from (column, row, frame) to mm in ITK's directions (left, posterior, superior).

    As ITK reads it from the header alone, so that results lie on the picture in the viewers built on ITK. The identity
    where ITK does not know the file (video, ``.npy``) or takes its axes for others than columns, rows and frames.
    """
    import itk

    grid = np.eye(4)
    try:
        header = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
        if header is None:
            return grid
        header.SetFileName(str(path))
        header.ReadImageInformation()
    except RuntimeError:  # ITK's word for all that it cannot read
        return grid
    axes = range(header.GetNumberOfDimensions())
    sizes = [header.GetDimensions(k) for k in axes]
    if [*sizes, 1][:3] != [columns, rows, frames] or any(size != 1 for size in sizes[3:]):
        return grid
    space = len(sizes[:3])
    for k in range(space):
        grid[:space, k] = np.asarray(header.GetDirection(k))[:space] * header.GetSpacing(k)
        grid[k, 3] = header.GetOrigin(k)
    return grid
