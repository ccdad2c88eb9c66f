# SPDX-License-Identifier: Apache-2.0
"""What two parts of the data share: patients, videos, files, contents, and clips that look alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .fingerprints import Fingerprint
from .near_duplicates import THRESHOLD, Nearest, clip_distances, nearest_frames

LOOK_ALIKE = "look-alike"
KINDS = ("patient", "video", "file", "content", LOOK_ALIKE)
"""What two parts can share."""

_ATTRIBUTES = {"patient": "patient_id", "video": "video_id", "file": "file", "content": "content"}


@dataclass(frozen=True)
class Leak:
    """Something that two parts share, and two clips that have it in common.

    Attributes:
        kind: one of `KINDS`.
        shared: the id, path or digest; of look-alikes the names of both clips.
        parts: the two parts.
        clips: a clip of each; where several have the same id, the first.
        nearest: the two most alike frames of these clips.
    """

    kind: str
    shared: str
    parts: tuple[str, str]
    clips: tuple[Fingerprint, Fingerprint]
    nearest: Nearest


def find_leaks(parts: Mapping[str, Sequence[Fingerprint]], threshold: int = THRESHOLD) -> list[Leak]:
    """Everything that any two of the named parts share, the most alike clips first.

    Each id that two parts share is one leak, and so is each pair of clips with a near-duplicate frame but
    neither patient nor content in common. A blank id equals nothing.

    Args:
        parts: fingerprints by the name of their part (or fold). Those of one part may be without views.
        threshold: in how many bits of `BITS` a near-duplicate may differ.
    """
    # a clip is compared with those of the parts before its own, so the first part needs no views: the largest
    order = sorted(parts, key=lambda name: (any(clip.hashes.views.size for clip in parts[name]), -len(parts[name])))
    leaks = _look_alikes({name: parts[name] for name in order}, threshold)
    for one, other in combinations(order, 2):
        for kind, attribute in _ATTRIBUTES.items():
            first, second = (_first_with_each(parts[name], attribute) for name in (one, other))
            leaks += [
                _leak(kind, value, (one, other), (first[value], second[value]))
                for value in sorted(first.keys() & second.keys())
            ]
    return sorted(leaks, key=lambda leak: (leak.nearest.distance, KINDS.index(leak.kind), leak.parts, leak.shared))


def _look_alikes(parts: Mapping[str, Sequence[Fingerprint]], threshold: int) -> list[Leak]:
    clips: list[Fingerprint] = []
    part_of: list[str] = []
    until: list[int] = []
    for name, members in parts.items():
        until += [len(clips)] * len(members)
        part_of += [name] * len(members)
        clips += members
    n_first = until.count(0)  # compared with nothing
    distances = clip_distances(
        [clip.hashes.views for clip in clips[n_first:]], [clip.hashes.hashes for clip in clips], until[n_first:]
    )
    leaks = []
    for query, reference in np.argwhere(distances <= threshold):
        query += n_first
        one, other = clips[reference], clips[query]
        if one.content != other.content and (one.patient_id != other.patient_id or not one.patient_id):
            names = f"{one.name} ~ {other.name}"
            leaks.append(_leak(LOOK_ALIKE, names, (part_of[reference], part_of[query]), (one, other)))
    return leaks


def _leak(kind: str, shared: str, parts: tuple[str, str], clips: tuple[Fingerprint, Fingerprint]) -> Leak:
    nearest = nearest_frames(clips[1].hashes, clips[0].hashes)
    return Leak(kind, shared, parts, clips, nearest)


def _first_with_each(clips: Sequence[Fingerprint], attribute: str) -> dict[str, Fingerprint]:
    """By each id the first clip that has it."""
    return {value: clip for clip in reversed(clips) if (value := getattr(clip, attribute))}
