# SPDX-License-Identifier: Apache-2.0
"""From a cine to the augmented views of a contrastive pair."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, MapTransform, RandomizableTransform
from monai.transforms.transform import Randomizable

from ..data.frame_times import frame_seconds
from ..errors import InputError
from ..keys import Keys
from .frames import check_normalisation, network_input
from .pair_presets import PairPreset, pair_preset
from .pair_rules import PairDraw


class RandPairViews(RandomizableTransform):
    """Draws frames of a cine, mixes them, and augments the views independently.

    Args:
        preset: how pairs are made, a name of `PAIR_PRESETS` or what `pair_preset` gives.
        augment: stack of images ``(N, C, H, W)`` in 0 to 1 -> the same, each image by its own draw
            (`RandViewGeometry`, `RandViewIntensity`, or a `Compose` of such).
        mean, std: the views are normalised to ``(x - mean) / std`` at the end.
        channels: grey frames are repeated to this many channels.

    Input: cine ``(C, T, H, W)`` uint8, a tensor or (memory-mapped) array, of which only the drawn frames are read; the
    times of its frames, ``(T,)`` seconds (see `frame_seconds` where they are not known); for a preset that takes its
    second view from another video, that cine and its times.
    Result: views ``(V, C, h, w)`` float32, the pair first. The draw stays in ``self.drawn``.

    Raises:
        InputError: the cine has no frame.
    """

    def __init__(
        self,
        preset: str | PairPreset = "uscl",
        augment: Callable | None = None,
        mean: float = 0.5,
        std: float = 0.25,
        channels: int = 1,
    ) -> None:
        super().__init__()
        check_normalisation(mean, std, channels)
        self.channels = channels
        self.preset = pair_preset(preset) if isinstance(preset, str) else preset
        self.augment = augment if augment is not None else Compose([])
        self.mean = mean
        self.std = std
        self.drawn: PairDraw | None = None

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandPairViews:
        super().set_random_state(seed, state)
        if isinstance(self.augment, Randomizable):
            self.augment.set_random_state(seed=self.R.randint(2**31 - 1))
        return self

    def randomize(self, times: np.ndarray, partner_times: np.ndarray | None = None) -> None:
        self.drawn = self.preset.rule.draw(self.R, times, partner_times)

    def __call__(
        self, cine: Any, times: Any = None, partner: tuple[Any, Any] | None = None, randomize: bool = True
    ) -> torch.Tensor:
        cines = [(cine, times)] if partner is None else [(cine, times), partner]
        if any(one.shape[1] == 0 for one, _ in cines):
            raise InputError("a cine without frames cannot make a pair; leave it out of the datalist")
        if randomize:
            self.randomize(*(frame_seconds(when, one.shape[1]) for one, when in cines))
        if self.drawn is None:
            raise RuntimeError("call randomize() before randomize=False")
        frames, mixing = self._sources([one for one, _ in cines], self.drawn)
        if self.preset.mix_first:
            views = self.augment(torch.einsum("vk,kchw->vchw", mixing, frames))
        else:
            views = torch.einsum("vk,kchw->vchw", mixing, self.augment(frames))
        return network_input(views, self.mean, self.std, self.channels)

    @staticmethod
    def _sources(cines: list[Any], draw: PairDraw) -> tuple[torch.Tensor, torch.Tensor]:
        """The drawn frames, each once, ``(K, C, H, W)`` in 0 to 1, and what of each is in each view ``(V, K)``."""
        of_partner = np.zeros_like(draw.frames)
        of_partner[1] = draw.partner
        parts: list[torch.Tensor] = []
        places = np.zeros_like(draw.frames)
        for cine, here in zip(cines, (of_partner == 0, of_partner == 1), strict=False):
            unique, position = np.unique(draw.frames[here], return_inverse=True)
            places[here] = position + sum(len(part) for part in parts)
            parts.append(torch.as_tensor(np.asarray(cine[:, unique]), dtype=torch.float32).movedim(1, 0))
        frames = torch.cat(parts) / 255
        mixing = torch.zeros(len(places), len(frames))
        mixing.scatter_add_(1, torch.as_tensor(places), torch.as_tensor(draw.weights, dtype=torch.float32))
        return frames, mixing


class RandPairViewsd(MapTransform, Randomizable):
    """`RandPairViews` on the cine of a record: adds ``views``.

    The record keeps what was drawn: ``pair_frames`` ``(V, K)`` and ``pair_mixing`` ``(V, K)``, so that a picture can
    show it; and as far as the preset has them, for the loss, ``pair_weight`` (a scalar) and ``negative_mask``
    ``(V - 2,)``.

    For a preset of same-patient pairs one of the record's ``partners`` is drawn (see `CineDataset`), ``label`` becomes
    ``(2,)``, one for each view, and ``pair_index`` ``(2,)`` says which items the views are of.

    An `InputError` names the record's video.
    """

    def __init__(
        self,
        keys: str = Keys.IMAGE,
        preset: str | PairPreset = "uscl",
        augment: Callable | None = None,
        mean: float = 0.5,
        std: float = 0.25,
        channels: int = 1,
    ) -> None:
        super().__init__(keys)
        self.pairs = RandPairViews(preset, augment, mean, std, channels)
        self.partner: int | None = None

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandPairViewsd:
        super().set_random_state(seed, state)
        self.pairs.set_random_state(seed=self.R.randint(2**31 - 1))
        return self

    def randomize(self, n_partners: int) -> None:
        """Draws which of the partners, if any, gives the second view."""
        self.partner = self.R.randint(n_partners) if n_partners else None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        cine, times = data[self.keys[0]], data.get(Keys.FRAME_TIMES)
        partners, partner = data.get(Keys.PARTNERS), None
        if self.pairs.preset.same_patient and partners is not None:
            self.randomize(len(partners))
            other = data
            if self.partner is not None:
                other = partners[self.partner]()
                partner = (other[self.keys[0]], other[Keys.FRAME_TIMES])
            sample[Keys.LABEL] = torch.tensor([data[Keys.LABEL], other[Keys.LABEL]])
            sample[Keys.PAIR_INDEX] = torch.tensor([data[Keys.INDEX], other[Keys.INDEX]])
        try:
            sample[Keys.VIEWS] = self.pairs(cine, times, partner)
        except InputError as error:
            raise InputError(f"video {data.get(Keys.VIDEO_ID, '?')}: {error}") from error
        draw = self.pairs.drawn
        assert draw is not None
        sample[Keys.PAIR_FRAMES] = torch.as_tensor(draw.frames)
        sample[Keys.PAIR_MIXING] = torch.as_tensor(draw.weights, dtype=torch.float32)
        if draw.pair_weight is not None:
            sample[Keys.PAIR_WEIGHT] = torch.tensor(draw.pair_weight, dtype=torch.float32)
        if len(draw.negatives):
            sample[Keys.NEGATIVE_MASK] = torch.as_tensor(draw.negatives)
        return sample
