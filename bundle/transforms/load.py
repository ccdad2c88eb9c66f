# SPDX-License-Identifier: Apache-2.0
"""Loading cines in a MONAI transform chain."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import ImageReader
from monai.transforms import LoadImaged

from ..readers import CineReader


class LoadCined(LoadImaged):
    """Load each key's path (or folder of frames) as a ``(C, T, H, W)`` uint8 `MetaTensor`, by `CineReader` alone.

    ``LoadImaged(reader=CineReader)`` tries MONAI's own readers when ours refuses a file; naming the reader at the call
    does not, so an `InputError` comes through as itself.

    Args:
        keys: where the paths are and the cines go.
        time_axis: which axis of MetaImage, NRRD, NIfTI and ``.npy`` files is time, see `read_cine`.
        allow_missing_keys: whether a key may be missing.

    Raises:
        InputError: when a file cannot be used.
    """

    def __init__(self, keys: KeysCollection, time_axis: int | None = None, allow_missing_keys: bool = False) -> None:
        super().__init__(
            keys, reader=CineReader, dtype=np.uint8, image_only=True, allow_missing_keys=allow_missing_keys
        )
        self.reader = CineReader(time_axis)

    def __call__(self, data: Mapping[Hashable, Any], reader: ImageReader | None = None) -> dict[Hashable, Any]:
        """``reader`` is there for the base class's sake and not used."""
        return super().__call__(data, self.reader)
