# SPDX-License-Identifier: Apache-2.0
"""Fixations: where people looked, read from a table."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..keys import Keys
from .records import cell_number, read_rows, require_columns


class Fixation(NamedTuple):
    """A row of the table.

    ``x`` is the column and ``y`` the row in pixels of the original frame, 0 the centre of the first. ``frame`` counts
    from 0; ``time`` and ``duration`` are in seconds, ``time`` from the clip's first frame on. Of frame and time one is
    given at least.
    """

    line: int
    frame: int | None
    time: float | None
    x: float
    y: float
    duration: float | None


def read_fixations(
    path: str | os.PathLike[str], videos: Collection[str], unknown_videos: str = "refuse"
) -> dict[str, list[Fixation]]:
    """The fixations of each video, by its id in the datalist, in the order of the table.

    The table is a CSV (UTF-8, comma-separated, first row names the columns): ``video_id``, ``frame`` or ``time`` or
    both, ``x``, ``y``, and ``duration`` if known. Other columns are left alone.

    Args:
        path: the table.
        videos: the ids of the datalist. The table gives them with or without the data set's name before the slash.
        unknown_videos: ``"refuse"`` a row of a video that is not among them, or ``"leave_out"``.

    Raises:
        InputError: the table cannot be read, lacks a column or has one twice; or in a row, which is named: the video is
            unknown or has no single meaning, a cell is no number, neither frame nor time is there, or the duration is
            not above 0.
    """
    if unknown_videos not in ("refuse", "leave_out"):
        raise InputError(f"unknown_videos: found {unknown_videos!r}, expected 'refuse' or 'leave_out'")
    table = Path(path)
    columns, rows = read_rows(table, expected="a table of fixations")
    require_columns(table, columns, [Keys.VIDEO_ID, "x", "y"])
    if not {"frame", "time"} & set(columns):
        raise InputError(f"{table}: no column 'frame' or 'time' (found: {', '.join(columns)}): add one of them")
    names: dict[str, set[str]] = defaultdict(set)
    for video in videos:
        for name in (video, video.partition("/")[2] or video):
            names[name].add(video)
    found: dict[str, list[Fixation]] = defaultdict(list)
    for line, row in rows:
        where = f"{table}, line {line}"
        fixation = _fixation(where, line, row)
        meant = names.get(row[Keys.VIDEO_ID], set())
        if len(meant) > 1:
            raise InputError(f"{where}: video {row[Keys.VIDEO_ID]!r} may be {' or '.join(sorted(meant))}: write it so")
        if not meant and unknown_videos == "refuse":
            raise InputError(
                f"{where}: video {row[Keys.VIDEO_ID]!r} is not in the datalist, which has {len(videos)} videos such as "
                f"{min(videos, default='none')}: correct it, or set unknown_videos to leave_out"
            )
        for video in meant:
            found[video].append(fixation)
    return dict(found)


def _fixation(where: str, line: int, row: Mapping[str, str]) -> Fixation:
    frame, time, duration = (_number(where, row, name) for name in ("frame", "time", "duration"))
    x, y = (_number(where, row, name) for name in ("x", "y"))
    if x is None or y is None:
        raise InputError(f"{where}: no {'x' if x is None else 'y'}: expected a number of pixels")
    if frame is None and time is None:
        raise InputError(f"{where}: neither frame nor time: give one of them")
    if frame is not None and (frame < 0 or frame != int(frame)):
        raise InputError(f"{where}: frame is {row['frame']}: expected a whole number, 0 for the first frame")
    if duration is not None and duration <= 0:
        raise InputError(f"{where}: duration is {row['duration']}: expected seconds, above 0")
    return Fixation(line, None if frame is None else int(frame), time, x, y, duration)


def _number(where: str, row: Mapping[str, str], name: str) -> float | None:
    """The number in a cell, None where it is blank or the column is not there."""
    cell = row.get(name, "")
    value = cell_number(cell)
    if value is not None and math.isnan(value):
        raise InputError(f"{where}: {name} is {cell!r}: expected a number")
    return value
