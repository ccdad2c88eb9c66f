# SPDX-License-Identifier: Apache-2.0
"""A fixed number of evenly spaced frames of a cine, as a network takes them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform

from ..errors import InputError
from ..keys import Keys


def even_indices(count: int, n_frames: int) -> np.ndarray:
    """``n_frames`` indices into ``count`` frames: the centres of as many equal intervals.

    With fewer frames than asked for, frames repeat (still in order and evenly), so that every item of a batch has the
    same length.
    """
    return ((np.arange(n_frames) + 0.5) * count / n_frames).astype(int)


def chosen_frames(cine: Any, indices: np.ndarray) -> torch.Tensor:
    """Frames ``(n, C, H, W)`` float32, 0 to 1, of a cine ``(C, T, H, W)`` uint8; nothing else of it is read."""
    return torch.as_tensor(np.asarray(cine[:, indices]), dtype=torch.float32).movedim(1, 0) / 255


def network_input(
    images: torch.Tensor, mean: float | Sequence[float], std: float | Sequence[float], channels: int
) -> torch.Tensor:
    """Images ``(N, C, H, W)`` of 0 to 1 as ``(x - mean) / std``, grey ones repeated to ``channels``.

    ``mean`` and ``std`` are numbers, or one number for each of the channels.
    """
    shift, scale = (torch.as_tensor(value, dtype=images.dtype).reshape(-1, 1, 1) for value in (mean, std))
    images = (images - shift) / scale
    return images.expand(-1, channels, -1, -1) if images.shape[1] == 1 else images


def check_normalisation(mean: float | Sequence[float], std: float | Sequence[float], channels: int) -> None:
    """Refuse what `network_input` cannot use.

    Raises:
        InputError: not one number, or one for each channel; or a ``std`` that is not above 0.
    """
    for name, value in (("mean", mean), ("std", std)):
        try:
            numbers = np.asarray(value, dtype=float).reshape(-1)
        except (TypeError, ValueError):
            numbers = np.array([np.nan])
        if len(numbers) not in (1, channels) or not np.isfinite(numbers).all():
            each = f", or {channels} numbers, one for each of its channels" if channels > 1 else ""
            raise InputError(
                f"{name}: found {value!r}, expected one number for an encoder of {channels} channels{each}"
            )
        if name == "std" and not (numbers > 0).all():
            raise InputError(f"{name}: found {value!r}, expected a number above 0, which the input is divided by")


class EvenFramesd(MapTransform):
    """Evenly spaced frames of the cine under ``keys``: adds ``frames`` and ``frame_index``, and takes the cine out.

    Input: cine ``(C, T, H, W)`` uint8, a tensor or (memory-mapped) array; only the chosen frames are read.
    Result: ``frames`` ``(n_frames, C, H, W)`` float32, 0 to 1 and then ``(x - mean) / std``, and which they are,
    ``frame_index`` ``(n_frames,)``. Deterministic; a cine with fewer frames than ``n_frames`` repeats some
    (`even_indices`). Of a record with a ``draw`` (k, K) it is frame k of K evenly spaced ones instead.

    Args:
        keys: the cine's key.
        n_frames: how many.
        mean, std: normalisation, see `network_input`.
        channels: grey frames are repeated to this many channels.

    Raises:
        InputError: ``n_frames`` below 1, another normalisation than for the channels, or the cine has no frame.
    """

    def __init__(
        self,
        keys: str = Keys.IMAGE,
        n_frames: int = 8,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.25,
        channels: int = 1,
    ) -> None:
        super().__init__(keys)
        self.channels = channels
        if n_frames < 1:
            raise InputError(f"n_frames: found {n_frames}; expected at least 1")
        check_normalisation(mean, std, channels)
        self.n_frames = n_frames
        self.mean = mean
        self.std = std

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        cine = sample.pop(self.keys[0])
        if cine.shape[1] == 0:
            raise InputError(
                f"video {data.get(Keys.VIDEO_ID, '?')}: the cine has no frame; leave it out of the datalist"
            )
        if Keys.DRAW in sample:
            place, count = sample[Keys.DRAW]
            indices = even_indices(cine.shape[1], count)[place : place + 1]
        else:
            indices = even_indices(cine.shape[1], self.n_frames)
        sample[Keys.FRAMES] = network_input(chosen_frames(cine, indices), self.mean, self.std, self.channels)
        sample[Keys.FRAME_INDEX] = torch.as_tensor(indices)
        return sample
