# SPDX-License-Identifier: Apache-2.0
"""The clips of a datalist with their fixations, checked against the frames and brought to the network's square."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..data.datalist import Datalist
from ..data.fixations import Fixation, read_fixations
from ..data.frame_cache import FrameCache
from ..data.frame_times import known_times
from ..data.records import check_one_file_a_video
from ..data.splits import few_patients
from ..errors import InputError
from ..keys import Keys
from .bring_along import bring_points_along
from .gaze import BlurWidth, Gaze
from .square import known

logger = logging.getLogger(__name__)

_ROUNDING_S = 1e-3  # a time of the table may be rounded to before the frame it means


@dataclass(frozen=True)
class FixationRules:
    """How a row of the table becomes part of a frame's fixations.

    Args:
        frames: ``"lasts"``: a fixation counts on every frame shown while it lasted, by the seconds it lasted there;
            needs durations and frame times. ``"began"``: on the frame on which it began, or that was shown at its time.
        by_duration: fixations weigh as long as they last; off, all the same.
        outside: ``"leave_out"`` fixations beside their frame or after the clip's end, as people do look away, and say
            how many; or ``"refuse"`` them. A frame number that the clip does not have is always refused.

    Raises:
        InputError: another word.
    """

    frames: str = "lasts"
    by_duration: bool = True
    outside: str = "leave_out"

    def __post_init__(self) -> None:
        for name, value, words in (
            ("fixation_frames", self.frames, ("lasts", "began")),
            ("fixations_outside", self.outside, ("leave_out", "refuse")),
        ):
            if value not in words:
                raise InputError(f"{name}: found {value!r}, expected {words[0]!r} or {words[1]!r}")


def with_fixations(
    datalist: Datalist,
    cache: FrameCache,
    path: str | os.PathLike[str],
    blur: BlurWidth,
    rules: FixationRules | None = None,
    unknown_videos: str = "refuse",
    patients: float | None = None,
    seed: int = 0,
) -> Datalist:
    """The clips that have a fixation, each with its ``gaze`` (`Gaze`); the log says how many are left out, and why.

    A fixation beside what the sector's crop keeps is left out as well.

    Args:
        datalist: readable clips.
        cache: their frames, filled.
        path: the table, see `read_fixations`.
        blur: how far a fixation reaches.
        rules: by default as described there.
        unknown_videos: see `read_fixations`.
        patients, seed: of the training part those of so many patients, see `few_patients`.

    Raises:
        InputError: as `read_fixations`; a row, which is named, does not fit its clip; a file is one of several of a
            video; a clip lacks what the blur or the rules need; or no training clip has a fixation.
    """
    rules = rules or FixationRules()
    records = [record for part in datalist.parts.values() for record in part]
    found = read_fixations(path, {record[Keys.VIDEO_ID] for record in records}, unknown_videos)
    check_one_file_a_video(path, [record for record in records if record[Keys.VIDEO_ID] in found])
    reading = _Reading(str(path), cache, blur, rules)
    training, validation, testing = (
        [
            {**record, Keys.GAZE: gaze}
            for record in part
            if (gaze := reading.gaze(record, found.get(record[Keys.VIDEO_ID], []))) is not None
        ]
        for part in datalist.parts.values()
    )
    reading.tell(sum(map(len, found.values())))
    left = len(training) + len(validation) + len(testing)
    if left < len(records):
        logger.warning("%s: %d of %d clips have no fixation and are left out", path, len(records) - left, len(records))
    if not training:
        raise InputError(f"{path}: none of {len(datalist.training)} training clips has a fixation; check its video_id")
    if patients is not None:
        training = few_patients(training, patients, seed)
    return replace(datalist, training=training, validation=validation, testing=testing)


class _Reading:
    """Turns rows into `Gaze` and keeps count of what is left out."""

    def __init__(self, path: str, cache: FrameCache, blur: BlurWidth, rules: FixationRules) -> None:
        self.path = path
        self.cache = cache
        self.blur = blur
        self.rules = rules
        self.outside: list[str] = []
        self.cropped = 0

    def gaze(self, record: dict[str, Any], fixations: Sequence[Fixation]) -> Gaze | None:
        if not fixations:
            return None
        video, meta, shape = record[Keys.VIDEO_ID], self.cache.meta(record), self.cache.frames(record).shape
        times = known_times(meta.get(Keys.FRAME_TIMES), shape[1])
        height, width = known(meta, "original_size")
        lines, frames, points, weights = [], [], [], []
        for fixation in fixations:
            where = f"{self.path}, line {fixation.line}"
            if not (-0.5 <= fixation.x < width - 0.5 and -0.5 <= fixation.y < height - 0.5):
                self._leave_out(
                    f"{where}: ({fixation.x:g}, {fixation.y:g}) lies outside the {width} x {height} pixels of {video}"
                )
                continue
            shown = self._shown(where, video, fixation, shape[1], times)
            if not shown:
                self._leave_out(f"{where}: time {fixation.time:g} lies outside the clip {video}")
            for frame, weight in shown:
                lines.append(fixation.line)
                frames.append(frame)
                points.append((fixation.x + 0.5, fixation.y + 0.5))
                weights.append(weight)
        size = shape[-1]
        along = bring_points_along(np.array(points, dtype=np.float64).reshape(-1, 2), meta).numpy()
        inside = ((along >= 0) & (along < size)).all(axis=1)
        self.cropped += len(set(np.array(lines)[~inside].tolist()))
        if not inside.any():
            return None
        blurred = self.blur.in_network_pixels(meta, str(record[Keys.IMAGE]))
        return Gaze(np.array(frames)[inside], along[inside], np.array(weights)[inside], blurred, size)

    def _shown(
        self, where: str, video: str, fixation: Fixation, n_frames: int, times: np.ndarray | None
    ) -> list[tuple[int, float]]:
        """The frames on which a fixation counts and its weight there; none where its time is not the clip's."""
        if fixation.frame is not None and fixation.frame >= n_frames:
            raise InputError(
                f"{where}: frame {fixation.frame} of {video}, which has {n_frames}: expected 0 to {n_frames - 1}"
            )
        if self.rules.by_duration and fixation.duration is None:
            raise InputError(f"{where}: no duration: give it in seconds, or weigh all fixations the same")
        lasts = self.rules.frames == "lasts" and n_frames > 1
        if n_frames > 1 and times is None and (lasts or fixation.frame is None):
            raise InputError(
                f"{where}: the file of {video} does not say when its frames were taken: give the frame, and count "
                "fixations where they began"
            )
        if lasts and fixation.duration is None:
            raise InputError(f"{where}: no duration: give it in seconds, or count fixations where they began")
        weight = float(fixation.duration or 1.0) if self.rules.by_duration else 1.0
        if n_frames == 1:
            return [(0, weight)]
        if fixation.frame is not None and not lasts:
            return [(fixation.frame, weight)]
        assert times is not None
        begins = times - times[0]
        ends = np.append(begins[1:], begins[-1] + np.median(np.diff(begins)))
        begin = fixation.time if fixation.time is not None else float(begins[fixation.frame or 0])
        if not lasts:
            shown = int(np.searchsorted(begins, begin + _ROUNDING_S, side="right")) - 1
            return [(shown, weight)] if shown >= 0 and begin < ends[-1] else []
        seconds = np.minimum(ends, begin + (fixation.duration or 0.0)) - np.maximum(begins, begin)
        return [(int(i), float(seconds[i]) if self.rules.by_duration else 1.0) for i in np.flatnonzero(seconds > 0)]

    def _leave_out(self, reason: str) -> None:
        if self.rules.outside == "refuse":
            raise InputError(f"{reason}: correct it, or set fixations_outside to leave_out")
        self.outside.append(reason)

    def tell(self, count: int) -> None:
        if self.outside:
            logger.warning(
                "%s: %d of %d fixations lie outside their frame or clip and are left out (the first: %s)",
                *(self.path, len(self.outside), count, self.outside[0]),
            )
        if self.cropped:
            logger.info(
                "%s: %d of %d fixations lie beside the sector's crop and are left out", self.path, self.cropped, count
            )
