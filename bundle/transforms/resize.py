# SPDX-License-Identifier: Apache-2.0
"""Bringing every frame of a cine to one square size."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from torch.nn.functional import interpolate

from ..errors import InputError
from .cine_array import cine_array, cine_tensor

_FRAMES_AT_ONCE = 16  # bounds the memory of long cines; a multiple of 4, see `resize_frames`


def resize_frames(frames: np.ndarray, size: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Frames ``(C, T, H, W)`` uint8 padded with 0 to a centred square, then resampled to ``(C, T, size, size)`` uint8.

    Shrinking averages over the area of each new pixel (a triangle as wide as the scale, so nothing aliases), growing is
    bilinear; grey levels are rounded, within one level of the same in floating point. T is never resampled. Also
    returns the padding ``(left, top, right, bottom)`` in pixels before resampling.
    """
    channels, n_frames, height, width = frames.shape
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    resized = np.empty((channels, n_frames, size, size), np.uint8)
    square = np.zeros((_FRAMES_AT_ONCE, side, side), np.uint8)
    for channel in range(channels):
        for start in range(0, n_frames, _FRAMES_AT_ONCE):
            count = min(_FRAMES_AT_ONCE, n_frames - start)
            square[:count, top : top + height, left : left + width] = frames[channel, start : start + count]
            # four frames as the channels of one image: torch resamples up to four uint8 channels in one pass
            fours = torch.from_numpy(square[: -(-count // 4) * 4]).view(-1, 4, side, side)
            small = interpolate(fours, (size, size), mode="bilinear", antialias=True)
            resized[channel, start : start + count] = small.reshape(-1, size, size)[:count].numpy()
    return resized, (left, top, side - width - left, side - height - top)


class ResizeFrames(Transform):
    """Cine ``(C, T, H, W)`` uint8 -> ``(C, T, size, size)`` uint8 by `resize_frames`.

    Meta gains ``resize_scale`` (new pixels for each old one, the same in both directions) and ``resize_padding``
    ``(left, top, right, bottom)`` in old pixels; ``spacing`` and ``regions`` follow. A point of the result lies at
    ``(x / resize_scale - left, y / resize_scale - top)`` of the frame before.

    Args:
        size: side in pixels.

    Raises:
        InputError: the size is below 1, or not a cine (`cine_array`).
    """

    def __init__(self, size: int) -> None:
        if int(size) != size or size < 1:
            raise InputError(f"image size: found {size}; expected a whole number of pixels, at least 1")
        self.size = int(size)

    def __call__(self, cine: Any) -> MetaTensor:
        frames, meta = cine_array(cine)
        resized, padding = resize_frames(frames, self.size)
        scale = self.size / max(frames.shape[2:])
        meta.update(resize_scale=scale, resize_padding=padding)
        if meta.get("spacing") is not None:
            meta["spacing"] = _finer(meta["spacing"], scale)
        if meta.get("regions"):
            meta["regions"] = [_scaled_region(region, scale, padding) for region in meta["regions"]]
        return cine_tensor(resized, meta)


class ResizeFramesd(MapTransform):
    """`ResizeFrames` on the cines named by ``keys``."""

    def __init__(self, keys: KeysCollection, size: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self._resize = ResizeFrames(size)
        self.size = self._resize.size

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[key] = self._resize(sample[key])
        return sample


def _finer(spacing: Any, scale: float) -> tuple[float, ...]:
    return tuple(float(mm) / scale for mm in spacing)


def _scaled_region(region: dict[str, Any], scale: float, padding: tuple[int, int, int, int]) -> dict[str, Any]:
    left, top = padding[:2]
    x0, y0, x1, y1 = region["box"]
    scaled = {**region, "box": [round((v + p) * scale) for v, p in ((x0, left), (y0, top), (x1, left), (y1, top))]}
    if region.get("spacing") is not None:
        scaled["spacing"] = _finer(region["spacing"], scale)
    return scaled
