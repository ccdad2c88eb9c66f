# SPDX-License-Identifier: Apache-2.0
"""Colour cines to grey."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from .cine_array import cine_array, cine_tensor

_RED, _GREEN, _BLUE = 19595, 38470, 7471  # 0.299, 0.587, 0.114 in 1/65536; they add up to 65536
_PIXELS_AT_ONCE = 65536  # small enough for the cache of one core


def luma(rgb: np.ndarray) -> np.ndarray:
    """Luma ``(...)`` uint8 of ``(3, ...)`` uint8.

    ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B, in integers of 1/65536 and rounded to the nearest level, so grey stored
    as RGB comes out exactly as it was. Doppler colours and coloured marks become their luma like everything else.
    """
    flat = rgb.reshape(3, -1)
    grey = np.empty(flat.shape[1], np.uint8)
    for start in range(0, flat.shape[1], _PIXELS_AT_ONCE):
        part = flat[:, start : start + _PIXELS_AT_ONCE]
        total = np.multiply(part[0], _RED, dtype=np.uint32)
        total += np.multiply(part[1], _GREEN, dtype=np.uint32)
        total += np.multiply(part[2], _BLUE, dtype=np.uint32)
        total += np.uint32(1 << 15)
        grey[start : start + _PIXELS_AT_ONCE] = total >> np.uint32(16)
    return grey.reshape(rgb.shape[1:])


class ToGrey(Transform):
    """Cine ``(C, T, H, W)`` uint8 -> ``(1, T, H, W)`` uint8 by `luma`; one that is grey already stays as it is.

    Meta is kept.

    Raises:
        InputError: not a cine (`cine_array`).
    """

    def __call__(self, cine: Any) -> MetaTensor:
        frames, meta = cine_array(cine)
        return cine_tensor(luma(frames)[None] if frames.shape[0] == 3 else frames, meta)


class ToGreyd(MapTransform):
    """`ToGrey` on the cines named by ``keys``."""

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self._grey = ToGrey()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[key] = self._grey(sample[key])
        return sample
