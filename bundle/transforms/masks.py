# SPDX-License-Identifier: Apache-2.0
"""Masks that stand beside clips: as files, and as targets of the frames that a network sees."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform

from ..keys import Keys
from .bring_along import bring_along
from .cine_array import cine_array, cine_tensor
from .load import LoadCined


class ToMaskd(MapTransform):
    """A mask as it is read, ``(C, T, H, W)`` uint8 -> ``(1, T, H, W)`` uint8: 1 where any channel is above 0.

    So a colour for each kind of lesion, 0 and 255, or 0 and 1 all say the same.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[key] = self._mask(sample[key])
        return sample

    def _mask(self, cine: Any) -> MetaTensor:
        values, meta = cine_array(cine)
        return cine_tensor((values.max(axis=0, keepdims=True) > 0).astype(np.uint8), meta)


def mask_preprocessing(key: str = Keys.IMAGE) -> Compose:
    """From a mask's file to ``(1, T, H, W)`` uint8, 0 and 1, in the pixels of its image; for a `FrameCache` of masks.

    Any file that our reader takes as a cine or still: PNG beside stills, NIfTI beside cines.
    """
    return Compose([LoadCined(key), ToMaskd(key)])


class MaskAlongd(MapTransform):
    """The mask of the chosen frames, in the network's square: adds ``mask`` ``(T, 1, h, w)`` float32, 0 and 1.

    Of an item of `bundle.data.MaskedDataset` whose frames were chosen (``frames``, ``frame_index``). Its ``mask`` of
    the original frames and its ``meta`` go.
    """

    def __init__(self, keys: str = Keys.MASK) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        meta = sample.pop(Keys.META)
        for key in self.key_iterator(sample):
            places, index = np.unique(np.asarray(sample[Keys.FRAME_INDEX]), return_inverse=True)
            original = np.asarray(sample[key][places]) > 0
            along = bring_along(original[None], meta, sample[Keys.FRAMES].shape[-1])[0]
            sample[key] = along[torch.as_tensor(index)][:, None].float()
        return sample
