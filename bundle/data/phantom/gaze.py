# SPDX-License-Identifier: Apache-2.0
"""Simulated gaze: fixations around the landmarks of the plane, and some on nothing in particular."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from .scene import Scene
from .sector import ScanConverter

PER_FRAME = 2
_SCATTER = 0.35  # cm, about a degree of visual angle on a usual screen
_ASTRAY = 0.2  # fraction of fixations on nothing in particular


class Fixation(TypedDict):
    """One fixation. ``x`` is the column and ``y`` the row in screen pixels, ``time`` and ``duration`` are seconds."""

    video_id: str
    frame: int
    time: float
    x: float
    y: float
    duration: float


def draw_fixations(
    video_id: str, scene: Scene, converter: ScanConverter, frame_times: np.ndarray, rng: np.random.Generator
) -> list[Fixation]:
    """`PER_FRAME` fixations on each frame, all inside the sector.

    A person looks longer than a clip of a second lasts, so the clip is thought to be shown over and over and the
    fixations of all rounds are put on the frames on which they began.
    """
    rows, columns = np.nonzero(converter.inside)
    height, width = converter.inside.shape
    found: list[Fixation] = []
    for frame, time in enumerate(frame_times):
        points = scene.landmarks(float(time))
        for _ in range(PER_FRAME):
            pick = points[rng.integers(len(points))] + rng.normal(0, _SCATTER, size=2)
            x, y = (float(v) for v in converter.to_pixels(pick[0], pick[1]))
            seen = 0 <= round(x) < width and 0 <= round(y) < height and converter.inside[round(y), round(x)]
            stray, k = rng.random() < _ASTRAY, rng.integers(len(rows))
            if stray or not seen:
                x, y = float(columns[k]), float(rows[k])
            duration = float(np.clip(rng.lognormal(np.log(0.25), 0.45), 0.08, 1.5))
            found.append(
                Fixation(
                    video_id=video_id,
                    frame=frame,
                    time=round(float(time), 4),
                    x=round(x, 1),
                    y=round(y, 1),
                    duration=round(duration, 3),
                )
            )
    return found
