# SPDX-License-Identifier: Apache-2.0
"""The leakage gate: stops where two parts share a patient, video, file, content or picture, and shows the worst."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import made_folder, written_beside
from ..keys import Keys
from .fingerprints import Fingerprint
from .frame_cache import FrameCache
from .leaks import KINDS, LOOK_ALIKE, Leak, find_leaks
from .near_duplicates import BITS, THRESHOLD

logger = logging.getLogger(__name__)

LEAKAGE_FILES = ("leakage.json", "leakage.png")
_NAMED = 3
_PAIRS_SHOWN = 4


def check_leakage(
    parts: Mapping[str, Sequence[Fingerprint]],
    cache: FrameCache,
    output_dir: str | os.PathLike[str],
    allow: bool = False,
) -> list[Leak]:
    """Stop where two of the parts share anything: with the names, and a picture of the pairs that are most alike.

    Everything that trains or evaluates calls this with all clips it touches, also over data sets.

    Args:
        parts: see `find_leaks`.
        cache: has the frames for the picture.
        output_dir: where `LEAKAGE_FILES` go when it stops; nothing else in there is touched.
        allow: warn instead, write nothing and give back what was found.

    Raises:
        InputError: names what is shared, unless ``allow`` is set.
    """
    leaks = find_leaks(parts)
    if not leaks:
        sizes = ", ".join(f"{name} ({len(clips)})" for name, clips in parts.items())
        logger.info("leakage: nothing is shared between the clips of %s", sizes)
    elif allow:
        logger.warning("leakage, as allowed: %s", describe_leaks(leaks))
    else:
        write_leaks(leaks, cache, output_dir)
        raise InputError(
            f"leakage: {describe_leaks(leaks)}; see {Path(output_dir) / LEAKAGE_FILES[1]}: give all clips of a person "
            "one patient_id or group_id and split again, or leave copies out; allow_leakage goes on all the same"
        )
    return leaks


def check_pretraining(
    clips: Sequence[Fingerprint] | None,
    tested: Sequence[Fingerprint],
    cache: FrameCache,
    output_dir: str | os.PathLike[str],
    allow: bool = False,
    name: str = "the encoder",
    data: str = "",
) -> list[Leak]:
    """`check_leakage` between the clips that an encoder was pretrained on and those it is judged with.

    Args:
        clips: what it was pretrained on (`read_training_clips`); None where no list lies beside it, which the log says.
        tested: the clips it is judged with.
        cache, output_dir, allow: of `check_leakage`.
        name: what the encoder is called.
        data: what is known of what it was pretrained on, for the log.

    Raises:
        InputError: names what is shared, unless ``allow`` is set.
    """
    if clips is None:
        logger.warning(
            "%s: no list of the clips it was pretrained on%s lies beside it, so it was not checked whether it has seen "
            "the clips it is judged with",
            *(name, f" ({data})" if data else ""),
        )
        return []
    if not clips:
        return []
    return check_leakage({f"the pretraining of {name}": clips, "the clips to judge": tested}, cache, output_dir, allow)


def describe_leaks(leaks: Sequence[Leak]) -> str:
    """One line: what each two parts share, how many, and the first few."""
    groups: dict[tuple[str, str], dict[str, list[Leak]]] = {}
    for leak in leaks:
        groups.setdefault(leak.parts, {}).setdefault(leak.kind, []).append(leak)
    told = [
        f"{one} and {other} share " + ", ".join(_count(kind, found[kind]) for kind in KINDS if kind in found)
        for (one, other), found in groups.items()
    ]
    return "; ".join(told[:_NAMED]) + (f"; and {len(told) - _NAMED} more pairs of parts" if told[_NAMED:] else "")


def write_leaks(leaks: Sequence[Leak], cache: FrameCache, output_dir: str | os.PathLike[str]) -> None:
    """Write ``leakage.json`` with every leak and ``leakage.png`` with the pairs that are most alike.

    The folder is made if it is not there. Where there is no leak there is no picture either, and one of before goes.

    Raises:
        InputError: the folder cannot be written to.
    """
    folder = made_folder(Path(output_dir))
    table, picture = (folder / name for name in LEAKAGE_FILES)
    with written_beside(table) as beside:
        beside.write_text(json.dumps([leak_row(leak) for leak in leaks], indent=1) + "\n", encoding="utf-8")
    picture.unlink(missing_ok=True)
    if leaks:
        figure = _figure(_worst(leaks), cache)
        with written_beside(picture) as beside:
            figure.savefig(beside, dpi=100)


def leak_row(leak: Leak) -> dict[str, Any]:
    """A leak as plain values."""
    return {
        "kind": leak.kind,
        "shared": leak.shared if leak.kind != "file" else Path(leak.shared).name,
        "parts": list(leak.parts),
        "clips": [clip.name for clip in leak.clips],
        "patients": [clip.patient_id for clip in leak.clips],
        "bits_apart": leak.nearest.distance,
        "frames": [int(frame) for frame in reversed(leak.nearest.frames)],
        "flipped": leak.nearest.flipped,
    }


def _count(kind: str, leaks: Sequence[Leak]) -> str:
    names = [_name(leak) for leak in leaks[:_NAMED]] + (["..."] if leaks[_NAMED:] else [])
    return f"{len(leaks)} {kind}{'s' if len(leaks) > 1 else ''} ({', '.join(names)})"


def _name(leak: Leak) -> str:
    if leak.kind == LOOK_ALIKE:
        return f"{leak.shared}, {leak.nearest.distance} of {BITS} bits apart"
    return leak.shared if leak.kind in ("patient", "video") else " = ".join(clip.name for clip in leak.clips)


def _worst(leaks: Sequence[Leak]) -> list[Leak]:
    """The most alike pairs, each once."""
    pairs = {frozenset((leak.clips[0].name, leak.clips[1].name)): leak for leak in reversed(leaks)}
    return sorted(pairs.values(), key=leaks.index)[:_PAIRS_SHOWN]


def _figure(leaks: Sequence[Leak], cache: FrameCache) -> Any:
    """A row a pair: the two frames as the gate sees them, cropped to the sector."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.9 * len(leaks)), layout="constrained")
    for leak, part in zip(leaks, figure.subfigures(len(leaks), 1, squeeze=False)[:, 0], strict=True):
        flipped = ", one flipped" if leak.nearest.flipped else ""
        apart = f"{leak.nearest.distance} of {BITS} bits differ{flipped} (alike: {THRESHOLD} or fewer)"
        part.suptitle(f"{leak.kind}: {apart}", fontsize=9)
        shown = zip(leak.parts, leak.clips, reversed(leak.nearest.frames), part.subplots(1, 2), strict=True)
        for name, clip, frame, axes in shown:
            axes.set_title(f"{name}\n{clip.name}\npatient {clip.patient_id or 'not known'}, frame {frame}", fontsize=7)
            axes.axis("off")
            if clip.file:
                axes.imshow(cache.frames({Keys.IMAGE: clip.file})[:, frame].mean(axis=0), cmap="gray", vmin=0, vmax=255)
            else:
                axes.text(0.5, 0.5, "the clip is not at hand", ha="center", va="center", fontsize=8)
    return figure
