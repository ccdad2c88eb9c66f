# SPDX-License-Identifier: Apache-2.0
"""From a cine to the sample of order and geometry pretraining: a shuffled clip, as it is and transformed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform
from monai.transforms.transform import Randomizable

from ..errors import InputError
from ..keys import Keys
from .clip_geometry import ClipGeometry, round_window
from .clip_motion import MOTION_THRESHOLD, even_brightness, least_difference
from .clip_sampling import ClipDraw, ClipSampling
from .frame_order import FrameOrders
from .frames import check_normalisation, network_input
from .view_intensity import RandViewIntensity


def frame_jitter() -> RandViewIntensity:
    """What by default keeps sharpness, noise and what `even_brightness` leaves of a drift from telling a frame's time.

    Brightness changes little: frames of a clip differ by one or two grey levels in what they show, and a gain of
    10 % a frame, drawn anew for each, buries that.
    """
    return RandViewIntensity(
        gain=0.02,
        contrast=0.02,
        jitter_prob=1.0,
        gamma=(0.98, 1.02),
        time_gain=0.02,
        speckle=0.1,
        shadow_prob=0.0,
        blur_prob=0.5,
        blur_sigma=(0.5, 3.0),
    )


@dataclass(frozen=True)
class ShuffledDraw:
    """What was drawn for one sample: the clip, the order ``(n,)`` it is shown in, the geometry label ``(P,)``."""

    clip: ClipDraw
    order: np.ndarray
    geometry: torch.Tensor


class RandShuffledClipd(MapTransform, Randomizable):
    """Makes the sample of order and geometry pretraining from the cine under ``keys``.

    After Jiao et al. (ISBI 2020, arXiv 2003.00105). A clip is drawn (`ClipSampling`), its frames are put into a random
    order (`FrameOrders`), and the shuffled clip is shown twice: as it is, and under one affine map for all its frames
    (`ClipGeometry`). One sample serves both ways of combining the tasks, see `OrderGeometryHeads`: *parallel* reads the
    order from the clip as it is, *sequential* from the transformed one.

    What would give the answers away without looking at tissue is removed, each frame of both clips on its own:

    - drift of brightness and contrast: frames get one mean and spread, and then a random gain, contrast, gamma and
      depth gain each (`even_brightness`, ``jitter``);
    - noise, sharpness and blocks of compression, which tell a frame's place between two key frames: blur and noise
      (``jitter``), and no order is asked where nothing else differs (``moving``);
    - edges that come with the map: one round window for both clips (`ClipGeometry`), and one resampling for both;
    - clocks and sweep bars: the preprocessing sets to 0 what lies outside the sector. What is drawn onto tissue stays.

    Input: cine ``(C, T, H, W)`` uint8, a tensor or (memory-mapped) array, of which only the drawn frames are read, and
    ``frame_times`` (T,) seconds or None. The record gains

    - ``clips`` ``(2, n, C, H, W)`` float32, normalised: the clip as it is and the transformed one, as shown;
    - ``order``: class index of the shown order;
    - ``geometry`` ``(P,)`` float32: the map's parameters, mean 0 and unit variance each;
    - ``moving``: whether the frames differ enough for their order to mean anything (`least_difference`), bool;
    - ``clip_frames`` ``(n,)``: frame indices as shown; ``shortened``: whether the cine was too short for the stride.

    The cine stays in the record, so that other samples can be made of it too; take it out before batching.

    Everything comes from ``self.R``; the last draw is in ``drawn``. The sample of a record with a ``draw`` (k, K) does
    not depend on the random state, but is a function of its ``video_id`` and of k, which is also the place of the clip
    among K evenly spaced ones: evaluation asks the same in every epoch (`fixed_draws`).

    Args:
        keys: the cine's key.
        sampling: which frames.
        merge_reversal: of `FrameOrders`.
        geometry: which maps.
        jitter: images ``(N, C, H, W)`` in 0 to 1 -> the same, each by its own draw; `frame_jitter` when not given.
        motion_threshold: grey levels, see `least_difference`; 0 takes every clip as moving.
        mean, std: the clips are normalised to ``(x - mean) / std`` at the end.
        channels: grey frames are repeated to this many channels.

    Raises:
        InputError: at the start, two frames with merged reversal, which have one class; for a sample, a cine that is
            too short (the message names the video).
    """

    def __init__(
        self,
        keys: str = Keys.IMAGE,
        sampling: ClipSampling | None = None,
        merge_reversal: bool = True,
        geometry: ClipGeometry | None = None,
        jitter: Callable | None = None,
        motion_threshold: float = MOTION_THRESHOLD,
        mean: float = 0.5,
        std: float = 0.25,
        channels: int = 1,
    ) -> None:
        super().__init__(keys)
        self.sampling = sampling if sampling is not None else ClipSampling()
        self.orders = FrameOrders(self.sampling.n_frames, merge_reversal)
        if len(self.orders) < 2:
            raise InputError(
                "n_frames: found 2 with merge_reversal; expected 3 or more (two frames and their reverse are one "
                "class, which teaches nothing), or merge_reversal off"
            )
        self.geometry = geometry if geometry is not None else ClipGeometry()
        self.jitter = jitter if jitter is not None else frame_jitter()
        self.motion_threshold = motion_threshold
        check_normalisation(mean, std, channels)
        self.mean = mean
        self.std = std
        self.channels = channels
        self.drawn: ShuffledDraw | None = None

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> RandShuffledClipd:
        super().set_random_state(seed, state)
        if isinstance(self.jitter, Randomizable):
            self.jitter.set_random_state(seed=self.R.randint(2**31 - 1))
        return self

    def randomize(self, data: Mapping[Hashable, Any]) -> None:
        """Draws clip, order and geometry for a record into ``drawn``."""
        n_frames, times = data[self.keys[0]].shape[1], data.get(Keys.FRAME_TIMES)
        if Keys.DRAW in data:
            place, draws = data[Keys.DRAW]
            self.set_random_state(seed=_seed(f"{data[Keys.VIDEO_ID]} {place}"))
            clip = self.sampling.even(place, draws, n_frames, times)
        else:
            clip = self.sampling.draw(self.R, n_frames, times)
        self.drawn = ShuffledDraw(clip, self.orders.draw(self.R), self.geometry.draw(self.R))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        try:
            self.randomize(data)
        except InputError as error:
            raise InputError(f"video {data.get(Keys.VIDEO_ID, '?')}: {error}") from error
        draw = self.drawn
        assert draw is not None
        cine = sample[self.keys[0]]
        shown = draw.clip.frames[draw.order]
        read = torch.as_tensor(np.asarray(cine[:, shown]), dtype=torch.float32)
        seen = self.geometry.seen(*read.shape[-2:])
        frames = even_brightness(read.movedim(1, 0) / 255, seen)
        sample[Keys.CLIPS] = self._clips(frames, draw.geometry)
        sample[Keys.ORDER] = self.orders.index(draw.order)
        sample[Keys.GEOMETRY] = draw.geometry
        sample[Keys.MOVING] = least_difference(frames * seen) >= self.motion_threshold
        sample[Keys.CLIP_FRAMES] = torch.as_tensor(shown)
        sample[Keys.SHORTENED] = draw.clip.shortened
        return sample

    def _clips(self, frames: torch.Tensor, geometry: torch.Tensor) -> torch.Tensor:
        both = self.jitter(self.geometry.show(frames, geometry).flatten(0, 1))
        clips = network_input(round_window(both), self.mean, self.std, self.channels)
        return clips.unflatten(0, (2, len(frames)))


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big")
