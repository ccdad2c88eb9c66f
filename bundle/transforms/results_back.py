# SPDX-License-Identifier: Apache-2.0
"""A chunk's maps and boxes on its original frames: the last step of inference."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from ..keys import Keys
from .put_back import put_back, put_points_back
from .square import known


class MapsBackd(MapTransform):
    """Maps ``(n, 1, h, w)`` of the network's square -> ``(n, H, W)`` of the original frames (`put_back`).

    Args:
        keys: of the maps; the geometry is in the sample's ``meta``.
        density: each map is divided by its sum, so that it stays a density over the pixels of the frame.
    """

    def __init__(self, keys: KeysCollection, density: bool = False) -> None:
        super().__init__(keys)
        self.density = density

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        for key in self.key_iterator(sample):
            maps = put_back(torch.as_tensor(sample[key]).float().movedim(1, 0), sample[Keys.META])[0]
            if self.density:
                maps /= maps.sum(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
            sample[key] = maps
        return sample


class BoxesBackd(MapTransform):
    """Boxes ``(n, K, 5)`` (xyxy, score) of the network's square -> the same in pixels of the original frame, clipped.

    Args:
        keys: of the boxes; the geometry is in the sample's ``meta``.
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        for key in self.key_iterator(sample):
            found = torch.as_tensor(sample[key]).float().cpu()
            height, width = known(sample[Keys.META], "original_size")
            boxes = put_points_back(found[..., :4], sample[Keys.META])
            limits = torch.tensor([width, height, width, height], dtype=boxes.dtype)
            sample[key] = torch.cat([boxes.clamp(min=0).minimum(limits), found[..., 4:]], dim=-1)
        return sample
