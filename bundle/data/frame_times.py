# SPDX-License-Identifier: Apache-2.0
"""When the frames of a cine were taken, also where its file does not say so."""

from __future__ import annotations

from typing import Any

import numpy as np

ASSUMED_FRAME_RATE = 30.0
"""Frames a second of a cine whose file says nothing of time, wherever a gap is asked for in seconds."""


def known_times(times: Any, n_frames: int) -> np.ndarray | None:
    """``times`` as float64 ``(n_frames,)`` seconds; None where they are missing, or cannot be true.

    Times are true when there is one for each frame and all are finite and increase.
    """
    if times is None:
        return None
    known = np.asarray(times, dtype=np.float64)
    usable = known.shape == (n_frames,) and bool(np.isfinite(known).all() and (np.diff(known) > 0).all())
    return known if usable else None


def frame_seconds(times: Any, n_frames: int) -> np.ndarray:
    """Seconds ``(n_frames,)``: the known times, else those of frames at `ASSUMED_FRAME_RATE`."""
    known = known_times(times, n_frames)
    return np.arange(n_frames) / ASSUMED_FRAME_RATE if known is None else known
