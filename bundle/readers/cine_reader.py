# SPDX-License-Identifier: Apache-2.0
"""`read_cine` as a MONAI image reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import ensure_tuple

from ..errors import InputError
from .cine import Cine, read_cine


class CineReader(ImageReader):
    """Reads any ultrasound file as ``(C, T, H, W)`` uint8, C = 1 (grey) or 3 (RGB), for MONAI's ``LoadImage``.

    The axis order differs from that of MONAI's own readers, which give ``(W, H, T)`` or ``(H, T, W)``. The meta is that
    of :mod:`bundle.readers.base`, with ``original_channel_dim`` 0 and ``spatial_shape`` ``(T, H, W)``.

    ``LoadImage(reader=CineReader)`` converts to float32 unless ``dtype=np.uint8`` is given, and goes on to MONAI's own
    readers when this one refuses a file, which may give other axes or an error that hides the reason.
    `bundle.transforms.LoadCined` does neither.

    Args:
        time_axis: see `read_cine`.
    """

    def __init__(self, time_axis: int | None = None) -> None:
        super().__init__()
        self.time_axis = time_axis

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """True: what a file is, its content says."""
        return True

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> Cine:
        """Read one file or folder of frames.

        Raises:
            InputError: when it cannot be read, or more than one path is given.
        """
        paths = ensure_tuple(data)
        if len(paths) != 1:
            raise InputError(
                f"{paths[0] if paths else 'no file'}: found {len(paths)} paths, expected one cine; list each"
            )
        return read_cine(str(paths[0]), time_axis=self.time_axis)

    def get_data(self, img: Cine) -> tuple[np.ndarray, dict[str, Any]]:
        """``(C, T, H, W)`` and the meta."""
        pixels = np.ascontiguousarray(img.frames.transpose(3, 0, 1, 2))
        return pixels, {**img.meta, "original_channel_dim": 0, "spatial_shape": np.array(pixels.shape[1:])}
