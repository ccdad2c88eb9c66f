# SPDX-License-Identifier: Apache-2.0
"""The times of a DICOM cine's frames (PS3.3 C.7.6.5, the Cine module)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .dicom_values import numbers, value

if TYPE_CHECKING:
    from pydicom import Dataset

TIME_ATTRIBUTES = ["FrameIncrementPointer", "FrameTimeVector", "FrameTime", "CineRate", "RecommendedDisplayFrameRate"]
SLOWEST, FASTEST = 0.5, 2000.0  # frames a second; what lies outside was not written in the unit it should be
AGREEING = 0.01  # share by which two sources may differ
_RATES = TIME_ATTRIBUTES[-2:]
_FRAME_TIME, _FRAME_TIME_VECTOR = 0x00181063, 0x00181065


def frame_times(dataset: Dataset, count: int, path: Path) -> np.ndarray | None:
    """Seconds since the first frame for each of ``count`` frames; None for a still and when no attribute can be true.

    In order of trust:

    1. FrameTimeVector (0018,1065): the time from each frame to the next, in ms.
    2. FrameTime (0018,1063): the nominal time from frame to frame, in ms. It comes first when FrameIncrementPointer
       (0028,0009) names it before the vector or alone.
    3. CineRate (0018,0040), frames a second.
    4. RecommendedDisplayFrameRate (0008,2144), frames a second.

    The two rates come last because they say how fast to play: writers fill in whole numbers, the rate of their screen
    or a slow motion, where the times say what passed while scanning. The time stamps of a video stream inside the file
    are for the caller to use when this gives None: a bare H.264 stream has none and its decoder makes them up.

    A source is passed over, with a warning, when it gives less than `SLOWEST` or more than `FASTEST` frames a second
    (a time of 0, seconds where ms are due; nothing is rescaled by guess), when it has several values that differ where
    one is due, or is a vector with a step that is not positive or with a wrong number of entries. The first entry of
    the vector stands before the first frame and does not count, whatever it is. One entry may be missing, when the
    first is not 0: then it is that one. One may be too many: the last is left out. When NumberOfFrames (0028,0008) says
    more frames than the pixels hold, the vector may have as many and its first entries count.

    A warning says so when a further source differs from the one that counts by more than `AGREEING`; rates, which are
    written as whole numbers, also by a whole frame a second or more.
    """
    if count < 2:
        return None
    believed: dict[str, np.ndarray] = {}
    for name in _in_order_of_trust(dataset):
        values = numbers(dataset, name)
        if not values:
            continue
        try:
            believed[name] = _steps(name, values, count, dataset)
        except ValueError as doubt:
            warnings.warn(f"{path}: {name} {doubt}; it is passed over", stacklevel=2)
    if not believed:
        return None
    first, *others = believed
    rate = _rate(believed[first])
    for other in others:
        theirs = _rate(believed[other])
        if abs(theirs / rate - 1) > AGREEING and (other not in _RATES or abs(theirs - rate) >= 1):
            warnings.warn(
                f"{path}: {first} gives {rate:.4g} frames a second, {other} {theirs:.4g}; {first} counts", stacklevel=2
            )
    return np.concatenate([[0.0], np.cumsum(believed[first])])


def _in_order_of_trust(dataset: Dataset) -> list[str]:
    pointer = value(dataset, "FrameIncrementPointer")
    named = pointer if isinstance(pointer, Iterable) else [pointer]
    timed = [tag for tag in named if tag in (_FRAME_TIME, _FRAME_TIME_VECTOR)]
    times = ["FrameTime", "FrameTimeVector"] if timed[:1] == [_FRAME_TIME] else ["FrameTimeVector", "FrameTime"]
    return times + _RATES


def _steps(name: str, values: list[float], count: int, dataset: Dataset) -> np.ndarray:
    """Seconds from each of ``count`` frames to the next. ValueError, with the reason, when they cannot be true."""
    if name == "FrameTimeVector":
        steps = np.array(_between_frames(values, count, dataset)) / 1000.0
        if not (steps > 0).all():
            raise ValueError("has steps that are not positive")
    else:
        if len(set(values)) > 1:
            raise ValueError(f"has {len(values)} values that differ, expected one")
        if not values[0] > 0:
            raise ValueError(f"is {values[0]:g}, expected more than 0")
        steps = np.full(count - 1, 1.0 / values[0] if name in _RATES else values[0] / 1000.0)
    if not SLOWEST <= _rate(steps) <= FASTEST:
        raise ValueError(f"gives {_rate(steps):.4g} frames a second, expected {SLOWEST:g} to {FASTEST:g}")
    return steps


def _between_frames(vector: list[float], count: int, dataset: Dataset) -> list[float]:
    """The ``count - 1`` entries of a FrameTimeVector that stand between the frames there are."""
    entries = len(vector)
    for frames in (*numbers(dataset, "NumberOfFrames"), count):
        if frames >= count and entries in (frames, frames + 1):
            return vector[1:count]
        if frames >= count and entries == frames - 1 and vector[0] != 0:
            return vector[: count - 1]
    raise ValueError(f"has {entries} entries and does not fit {count} frames")


def _rate(steps: np.ndarray) -> float:
    return float(1.0 / steps.mean())
