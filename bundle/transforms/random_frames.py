# SPDX-License-Identifier: Apache-2.0
"""Frames to train on: drawn at random from a cine, then augmented together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable

from ..errors import InputError
from ..keys import Keys
from .frames import check_normalisation, chosen_frames, even_indices, network_input
from .view_geometry import RandViewGeometry, resample


class RandFramesd(Randomizable, MapTransform):
    """Random frames of the cine under ``keys``: adds ``frames`` and ``frame_index``, and takes the cine out.

    The cine is cut into ``n_frames`` equal intervals and a frame is drawn from each, so they are in order and spread
    over the clip, and together an epoch's draws are even (as the segments of Wang et al., ECCV 2016). With fewer frames
    than asked for some repeat. Of a record with a ``draw`` (k, K) it is frame k of K evenly spaced ones instead, as in
    `EvenFramesd`.

    Result: ``frames`` ``(n_frames, C, H, W)`` float32, 0 to 1, and ``frame_index`` ``(n_frames,)``.

    Args:
        keys: the cine's key.
        n_frames: how many.

    Raises:
        InputError: ``n_frames`` below 1.
    """

    def __init__(self, keys: str = Keys.IMAGE, n_frames: int = 4) -> None:
        super().__init__(keys)
        if n_frames < 1:
            raise InputError(f"n_frames: found {n_frames}; expected at least 1")
        self.n_frames = n_frames
        self.places = np.zeros(0)

    def randomize(self, data: Any = None) -> None:
        """Draws ``places``: where in the cine each frame lies, 0 to 1."""
        self.places = (np.arange(self.n_frames) + self.R.uniform(size=self.n_frames)) / self.n_frames

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        cine = sample.pop(self.keys[0])
        if Keys.DRAW in sample:
            place, count = sample[Keys.DRAW]
            indices = even_indices(cine.shape[1], count)[place : place + 1]
        else:
            self.randomize()
            indices = (self.places * cine.shape[1]).astype(int)
        sample[Keys.FRAMES] = chosen_frames(cine, indices)
        sample[Keys.FRAME_INDEX] = torch.as_tensor(indices)
        return sample


class RandAugmentFramesd(Randomizable, MapTransform):
    """One geometry for all frames of a clip and what goes with them, then each frame's own change of intensity.

    ``frames`` ``(T, C, H, W)`` 0 to 1 and what else ``keys`` names, ``(T, c, H, W)``, go through the same matrix, drawn
    once, each in one resampling; intensity, clipping and ``(x - mean) / std`` are for ``frames`` alone.

    Args:
        keys: what goes through the geometry, ``frames`` among it.
        geometry: where the matrix comes from.
        intensity: images ``(N, C, H, W)`` in 0 to 1 -> the same, each by its own draw; None for none.
        mean, std, channels: see `network_input`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        geometry: RandViewGeometry,
        intensity: Callable | None = None,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.25,
        channels: int = 1,
    ) -> None:
        super().__init__(keys)
        check_normalisation(mean, std, channels)
        self.geometry = geometry
        self.intensity = intensity
        self.mean = mean
        self.std = std
        self.channels = channels

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> RandAugmentFramesd:
        super().set_random_state(seed, state)
        for part in (self.geometry, self.intensity):
            if isinstance(part, Randomizable):
                part.set_random_state(seed=self.R.randint(2**31 - 1))
        return self

    def randomize(self, data: Any = None) -> None:
        """Draws the matrix, into ``geometry.theta`` ``(1, 2, 3)``."""
        self.geometry.randomize(1)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        self.randomize()
        for key in self.key_iterator(sample):
            theta = self.geometry.theta.expand(len(sample[key]), -1, -1)
            sample[key] = resample(sample[key], theta, self.geometry.size)
        frames = sample[Keys.FRAMES].clamp(0, 1)
        frames = frames if self.intensity is None else self.intensity(frames)
        sample[Keys.FRAMES] = network_input(frames, self.mean, self.std, self.channels)
        return sample
