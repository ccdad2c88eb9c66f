# SPDX-License-Identifier: Apache-2.0
"""Which frames of a cine make a clip: a few frames at a stride in seconds."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..data.datalist import Datalist
from ..data.frame_cache import FrameCache
from ..data.frame_times import known_times
from ..errors import InputError
from ..keys import Keys

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClipDraw:
    """A clip drawn from a cine.

    Attributes:
        frames: ``(n,)`` strictly increasing frame indices.
        stride: the wished distance of two frames: seconds, or frames where the cine's times are unknown.
        shortened: the cine is too short for the asked stride, and this is the largest that fits.
    """

    frames: np.ndarray
    stride: float
    shortened: bool


@dataclass(frozen=True)
class ClipSampling:
    """Clips of ``n_frames`` frames, neighbours a stride apart in time.

    Jiao et al. (ISBI 2020, arXiv 2003.00105) take 4 frames; their stride is not known to us. 0.05 to 0.15 seconds is
    our choice: over 0.1 to 0.3 seconds the order of lung and simulated clips is harder to see. A stride is drawn evenly
    from what of the range fits into the cine, then a start from what that stride leaves room for. Each wished time gets
    the nearest frame, so a varying frame rate is handled; indices strictly increase, so a stride below the frame
    interval gives neighbouring frames. Where the times are unknown (`known_times`) strides are in frames: no frame rate
    is assumed.

    A cine too short for the smallest stride is sampled at the largest that fits, from its first to its last frame, and
    the draw says so; with ``shorten=False`` it is refused. One with fewer than ``n_frames`` frames is always refused.
    `keep_long_enough` leaves out before training what would be refused.

    Args:
        n_frames: n, 2 or more.
        stride: range in seconds.
        stride_frames: range in frames, for cines whose times are unknown.
        shorten: see above.

    Raises:
        InputError: fewer than two frames, or a range that is not two numbers above 0 in order.
    """

    n_frames: int = 4
    stride: Sequence[float] = (0.05, 0.15)
    stride_frames: Sequence[float] = (1, 4)
    shorten: bool = True

    def __post_init__(self) -> None:
        if self.n_frames < 2:
            raise InputError(f"n_frames: found {self.n_frames}; expected 2 or more frames a clip")
        for name, given in (("stride", self.stride), ("stride_frames", self.stride_frames)):
            if len(given) != 2 or not 0 < given[0] <= given[1] < np.inf:
                raise InputError(f"{name}: found {given}; expected two numbers above 0, the smaller first")

    def draw(self, random: np.random.RandomState, n_frames: int, frame_times: np.ndarray | None) -> ClipDraw:
        """A random clip of a cine of ``n_frames`` frames at ``frame_times`` (T,) seconds.

        Raises:
            InputError: the cine is too short.
        """
        return self._at(random.uniform(), random.uniform(), n_frames, frame_times)

    def even(self, k: int, n_clips: int, n_frames: int, frame_times: np.ndarray | None) -> ClipDraw:
        """Clip ``k`` of ``n_clips`` evenly placed ones, all at the middle of the strides that fit.

        Raises:
            InputError: the cine is too short.
        """
        return self._at(0.5, (k + 0.5) / n_clips, n_frames, frame_times)

    def largest_stride(self, n_frames: int, frame_times: np.ndarray | None) -> tuple[float, bool]:
        """The largest stride that fits into a cine, and whether it is below the asked range.

        Raises:
            InputError: the cine is too short.
        """
        if n_frames < self.n_frames:
            raise InputError(
                f"found {n_frames} frames; expected at least {self.n_frames} to make a clip; leave it out of the "
                "datalist or ask for fewer"
            )
        times, strides, unit = self._timing(n_frames, frame_times)
        largest = (times[-1] - times[0]) / (self.n_frames - 1)
        # rounding of the times must not count
        shortened = bool(largest < strides[0] * (1 - 1e-6))
        if shortened and not self.shorten:
            least = strides[0] * (self.n_frames - 1)
            raise InputError(
                f"found {times[-1] - times[0]:.3g} {unit}; expected at least {least:.3g} for "
                f"{self.n_frames} frames {strides[0]:g} apart; leave it out, ask for a smaller stride, or set shorten"
            )
        return float(largest), shortened

    def _at(self, stride_share: float, start_share: float, n_frames: int, frame_times: np.ndarray | None) -> ClipDraw:
        """The clip whose stride and start lie at these shares (0 to 1) of what is possible."""
        largest, shortened = self.largest_stride(n_frames, frame_times)
        times, strides, _ = self._timing(n_frames, frame_times)
        low, high = min(strides[0], largest), min(strides[1], largest)
        stride = low + stride_share * (high - low)
        span = stride * (self.n_frames - 1)
        start = times[0] + start_share * max(times[-1] - times[0] - span, 0.0)
        return ClipDraw(_nearest(times, start + stride * np.arange(self.n_frames)), stride, shortened)

    def _timing(self, n_frames: int, frame_times: np.ndarray | None) -> tuple[np.ndarray, Sequence[float], str]:
        """Times ``(T,)``, the range of strides in their unit, and the unit."""
        times = known_times(frame_times, n_frames)
        if times is not None:
            return times, self.stride, "seconds"
        return np.arange(n_frames, dtype=np.float64), self.stride_frames, "frames"


def keep_long_enough(datalist: Datalist, cache: FrameCache, sampling: ClipSampling) -> Datalist:
    """Leaves out clips that are too short for ``sampling`` (the log names each) and counts those that are shortened.

    Raises:
        InputError: no training clip is long enough.
    """
    shortened = 0

    def long_enough(record: dict[str, Any]) -> bool:
        nonlocal shortened
        try:
            _, short = sampling.largest_stride(cache.frames(record).shape[1], cache.meta(record).get(Keys.FRAME_TIMES))
        except InputError as error:
            logger.warning("left out: video %s: %s", record.get(Keys.VIDEO_ID, "?"), error)
            return False
        shortened += short
        return True

    training, validation, testing = (
        [record for record in records if long_enough(record)] for records in datalist.parts.values()
    )
    count, left = sum(map(len, datalist.parts.values())), len(training) + len(validation) + len(testing)
    if not training:
        raise InputError(f"{datalist.name}: none of {len(datalist.training)} training clips is long enough; see above")
    logger.info(
        "clips of %d frames: %d of %d cines are sampled at a smaller stride than asked, %d are left out as too short",
        *(sampling.n_frames, shortened, left, count - left),
    )
    return replace(datalist, training=training, validation=validation, testing=testing)


def _nearest(times: np.ndarray, wished: np.ndarray) -> np.ndarray:
    """Strictly increasing indices of the frames nearest to the wished times; there are at least as many frames."""
    after = np.clip(np.searchsorted(times, wished), 1, len(times) - 1)
    nearest = after - (wished - times[after - 1] <= times[after] - wished)
    steps = np.arange(len(wished))
    # what two wished times share is pushed on to the next frame, and back from the end
    pushed = np.maximum.accumulate(nearest - steps) + steps
    return np.minimum(pushed, len(times) - len(wished) + steps)
