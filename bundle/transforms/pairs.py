# SPDX-License-Identifier: Apache-2.0
"""From a cine to the two augmented views of a contrastive pair."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, MapTransform, RandomizableTransform
from monai.transforms.transform import Randomizable

from ..errors import InputError
from ..keys import Keys
from .pair_rules import PairDraw, pair_preset


class RandPairViews(RandomizableTransform):
    """Draws frames of a cine, mixes them, and augments the two views independently.

    Args:
        preset: how pairs are made, a name of `PAIR_PRESETS`.
        augment: stack of images ``(N, C, H, W)`` in 0 to 1 -> the same, each image by its own draw
            (`RandViewGeometry`, `RandViewIntensity`, or a `Compose` of such).
        mean, std: the views are normalised to ``(x - mean) / std`` at the end.
        channels: grey frames are repeated to this many channels.

    Input: cine ``(C, T, H, W)`` uint8, a tensor or (memory-mapped) array; only the drawn frames are read.
    Result: views ``(2, C, h, w)`` float32. The draw stays in ``self.drawn``.

    Raises:
        InputError: the cine has no frame.
    """

    def __init__(
        self,
        preset: str = "uscl",
        augment: Callable | None = None,
        mean: float = 0.5,
        std: float = 0.25,
        channels: int = 1,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.preset = pair_preset(preset)
        self.augment = augment if augment is not None else Compose([])
        self.mean = mean
        self.std = std
        self.drawn: PairDraw | None = None

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandPairViews:
        super().set_random_state(seed, state)
        if isinstance(self.augment, Randomizable):
            self.augment.set_random_state(seed=self.R.randint(2**31 - 1))
        return self

    def randomize(self, n_frames: int) -> None:
        self.drawn = self.preset.rule.draw(self.R, n_frames)

    def __call__(self, cine: Any, randomize: bool = True) -> torch.Tensor:
        if cine.shape[1] == 0:
            raise InputError("a cine without frames cannot make a pair; leave it out of the datalist")
        if randomize:
            self.randomize(cine.shape[1])
        if self.drawn is None:
            raise RuntimeError("call randomize() before randomize=False")
        draw = self.drawn
        unique, position = np.unique(draw.frames, return_inverse=True)
        frames = torch.as_tensor(np.asarray(cine[:, unique]), dtype=torch.float32).movedim(1, 0) / 255
        mixing = torch.zeros(len(draw.frames), len(unique))
        mixing.scatter_add_(
            1, torch.as_tensor(position.reshape(draw.frames.shape)), torch.as_tensor(draw.weights, dtype=torch.float32)
        )
        if self.preset.mix_first:
            views = self.augment(torch.einsum("vk,kchw->vchw", mixing, frames))
        else:
            views = torch.einsum("vk,kchw->vchw", mixing, self.augment(frames))
        views = (views - self.mean) / self.std
        return views.expand(-1, self.channels, -1, -1) if views.shape[1] == 1 else views


class RandPairViewsd(MapTransform, Randomizable):
    """`RandPairViews` on the cine of a record: adds ``views`` and takes the cine out.

    The record keeps ``pair_frames`` ``(2, K)`` and ``pair_mixing`` ``(2, K)``, so that a picture can show what was
    drawn. An `InputError` names the record's video.
    """

    def __init__(
        self,
        keys: str = Keys.IMAGE,
        preset: str = "uscl",
        augment: Callable | None = None,
        mean: float = 0.5,
        std: float = 0.25,
        channels: int = 1,
    ) -> None:
        super().__init__(keys)
        self.pairs = RandPairViews(preset, augment, mean, std, channels)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandPairViewsd:
        super().set_random_state(seed, state)
        self.pairs.set_random_state(seed=self.R.randint(2**31 - 1))
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        cine = sample.pop(self.keys[0])
        try:
            sample[Keys.VIEWS] = self.pairs(cine)
        except InputError as error:
            raise InputError(f"video {data.get(Keys.VIDEO_ID, '?')}: {error}") from error
        draw = self.pairs.drawn
        assert draw is not None
        sample[Keys.PAIR_FRAMES] = torch.as_tensor(draw.frames)
        sample[Keys.PAIR_MIXING] = torch.as_tensor(draw.weights, dtype=torch.float32)
        return sample
