# SPDX-License-Identifier: Apache-2.0
"""Records of a folder of videos whose names begin with their class."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import InputError
from ..readers.stills import IMAGE_SUFFIXES
from .folders import CLIP_SUFFIXES
from .records import Record, log_unknown_patients, make_record


def records_by_prefix(folder: str | os.PathLike[str], classes: Mapping[str, str]) -> list[Record]:
    """Make a record of every video below ``folder``, its class taken from how a name begins.

    A video is a folder of frames or a video file, at any depth; a folder with one image is a video of one frame. Its
    class is that of the first of these names that begins with a known prefix: its own, its frames', those of the
    folders it lies in, from the nearest up to below ``folder``. Case does not matter, and no letter may follow a
    prefix, nor a digit one that ends in a digit: ``Cov-1`` begins with ``Cov``, ``Covers`` and ``Rb10`` with none.

    Patients are unknown: each video is a group of its own, and the log says so.

    Args:
        folder: where to look, with all folders below.
        classes: class name by prefix; several prefixes may share a class.

    Raises:
        InputError: nothing below ``folder`` is a video, images lie where they can't be told apart by video, or no
            name of a video begins with a known prefix.
    """
    root = Path(folder)
    records, unknown = [], []
    for item, names in _videos_below(root):
        label = next((found for name in names if (found := _class_of(name, classes))), None)
        if label is None:
            unknown.append(item)
        else:
            records.append(make_record(root.resolve().name, image=item, label=label))
    known = ", ".join(classes)
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise InputError(
            f"{root}: {unknown[0]}{more} begins with no known class: expected one of {known}; rename it, or give the "
            "classes in a labels.csv"
        )
    if not records:
        raise InputError(
            f"{root}: no videos: expected folders of frames or video files named {known}, as {known[:3]}-1"
        )
    log_unknown_patients(root, records)
    return records


def _videos_below(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Relative path of each video, in order, with the names its class may stand in, the nearest first."""

    def closed(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}): expected a folder of videos") from error

    for place, folders, files in os.walk(root, onerror=closed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = sorted(name for name in files if not name.startswith("."))
        within = Path(place).relative_to(root)
        above = list(reversed(within.parts))
        frames = [name for name in files if name.lower().endswith(IMAGE_SUFFIXES)]
        if frames and (within == Path() or not _of_one_video(frames)):
            raise InputError(
                f"{Path(place)}: {len(frames)} images, as {frames[0]}, that are not the numbered frames of one video: "
                "expected a folder of frames for each video"
            )
        if frames:
            yield within.as_posix(), [above[0], frames[0], *above[1:]]
        for name in files:
            if name.lower().endswith(CLIP_SUFFIXES):
                yield (within / name).as_posix(), [name, *above]


def _of_one_video(names: Sequence[str]) -> bool:
    """Whether the names differ in numbers only, one of which is another in each (steps may vary)."""
    split = [re.split(r"(\d+)", name) for name in names]
    if len({tuple(parts[::2]) for parts in split}) > 1:
        return False
    return len(names) == 1 or any(len(set(numbers)) == len(names) for numbers in list(zip(*split, strict=True))[1::2])


def _class_of(name: str, classes: Mapping[str, str]) -> str | None:
    for prefix, label in classes.items():
        after = r"(?![a-z0-9])" if prefix[-1].isdigit() else r"(?![a-z])"
        if re.match(re.escape(prefix) + after, name, re.IGNORECASE):
            return label
    return None
