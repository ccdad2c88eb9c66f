# SPDX-License-Identifier: Apache-2.0
"""The times of a DICOM cine's frames."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .dicom_values import numbers

if TYPE_CHECKING:
    from pydicom import Dataset

TIME_ATTRIBUTES = ["FrameIncrementPointer", "FrameTimeVector", "FrameTime", "CineRate", "RecommendedDisplayFrameRate"]
_FRAME_TIME = 0x00181063


def frame_times(dataset: Dataset, count: int, path: Path) -> np.ndarray | None:
    """Seconds since the first frame for each frame, or None."""

    def by_vector() -> np.ndarray | None:
        steps = numbers(dataset.get("FrameTimeVector"))  # ms from the previous frame, the first entry 0
        if not steps:
            return None
        if len(steps) != count or min(steps) < 0 or (count > 1 and min(steps[1:]) == 0):
            warnings.warn(f"{path}: FrameTimeVector does not fit {count} frames and is ignored", stacklevel=2)
            return None
        return np.cumsum([0.0, *steps[1:]]) / 1000.0

    def by_step(name: str, seconds: Any) -> np.ndarray | None:
        value = numbers(dataset.get(name))
        return np.arange(count) * seconds(value[0]) if value and value[0] > 0 else None

    def by_frame_time() -> np.ndarray | None:
        return by_step("FrameTime", lambda ms: ms / 1000.0)

    pointed = dataset.get("FrameIncrementPointer")
    first = [by_vector, by_frame_time]
    if pointed is not None and _FRAME_TIME in (pointed, *(pointed if hasattr(pointed, "__iter__") else ())):
        first.reverse()
    rates = [lambda n=name: by_step(n, lambda hz: 1.0 / hz) for name in ("CineRate", "RecommendedDisplayFrameRate")]
    return next((times for source in [*first, *rates] if (times := source()) is not None), None)
