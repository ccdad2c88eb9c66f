# SPDX-License-Identifier: Apache-2.0
"""Cropping a cine to its scan sector."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from .cine_array import cine_array, cine_tensor
from .grey import luma
from .sector_fit import FIT_VERSION, Box, SectorFit, find_sector, looked_at

__all__ = ["CropToSector", "CropToSectord", "SectorFit", "find_sector"]


class CropToSector(Transform):
    """Crops a cine ``(C, T, H, W)`` uint8 to the box of its scan sector and sets what lies outside the sector to 0.

    What surrounds the sector (text, scales, logos) is the same in every frame of a cine and differs between cines; a
    network that is to tell cines apart would read it instead of the tissue. Text drawn onto the tissue stays.
    `find_sector` says how the sector is found; without a trustworthy one the whole frame is kept.

    Meta gains, as plain numbers and in pixels of the uncropped frame: ``sector_box`` (xyxy), ``sector_outline`` (rows
    ``[y, left, right]`` that draw the mask, see `sector_outline`), ``original_size`` ``(H, W)``, and ``sector_source``
    (``region``, ``frames`` or ``whole``). Boxes in ``regions`` move along and are clipped, empty ones go. ``spacing``
    does not change. A point of the result lies at ``(x + sector_box[0], y + sector_box[1])`` of the original;
    `put_back` brings results there.

    Raises:
        InputError: not a cine (`cine_array`).
    """

    def __call__(self, cine: Any, fit: SectorFit | None = None) -> MetaTensor:
        """``fit`` is the sector of the whole cine, where this is a part of it."""
        frames, meta = cine_array(cine)
        if fit is None:
            fit = self.find(cine)
        x0, y0, x1, y1 = fit.box
        cropped = frames[:, :, y0:y1, x0:x1] * fit.mask.astype(np.uint8)
        meta.update(
            sector_box=fit.box,
            sector_outline=fit.outline.tolist(),
            original_size=frames.shape[2:],
            sector_source=fit.source,
        )
        if meta.get("regions"):
            meta["regions"] = _moved_regions(meta["regions"], fit.box)
        return cine_tensor(cropped, meta)

    def find(self, cine: Any) -> SectorFit:
        """The sector; of a cine, or of those of its frames that `looked_at` names."""
        frames, meta = cine_array(cine)
        return find_sector(_looked_at(frames), meta.get("regions"))


class CropToSectord(MapTransform):
    """`CropToSector` on the cines named by ``keys``."""

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self._crop = CropToSector()
        self.fit_version = FIT_VERSION  # part of the key of cached frames

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[key] = self._crop(sample[key])
        return sample


def _looked_at(frames: np.ndarray) -> np.ndarray:
    """The frames `find_sector` looks at, in grey: ``(T', H, W)``."""
    few = frames[:, looked_at(frames.shape[1])]
    return few[0] if len(few) == 1 else luma(few)


def _moved_regions(regions: list[dict[str, Any]], box: Box) -> list[dict[str, Any]]:
    x0, y0, x1, y1 = box
    moved = []
    for region in regions:
        left, right = (min(max(v, x0), x1) - x0 for v in region["box"][0::2])
        top, bottom = (min(max(v, y0), y1) - y0 for v in region["box"][1::2])
        if left < right and top < bottom:
            moved.append({**region, "box": [left, top, right, bottom]})
    return moved
