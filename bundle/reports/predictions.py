# SPDX-License-Identifier: Apache-2.0
"""What runs said of their tested items, as their ``predictions.json`` hold it, and several folds of them as one."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..keys import Keys

FRAME = "frame"
"""In an item: which frame of the cine it is."""


@dataclass(frozen=True)
class Predictions:
    """The tested items of a run, or of the folds of one seed.

    Args:
        task: ``classification``, ``saliency``, ``segmentation`` or ``detection``.
        protocol: how the weights were chosen, ``patient`` or ``legacy-uscl``.
        data: the name of the data.
        class_names: of the class indices; empty where the task has none.
        items: one a frame, with ``video_id``, ``patient_id``, ``frame`` and what the task adds.
        clips: one a clip, with ``label`` and ``probabilities``; of a classification only.
        folds: the fold in which each clip was tested, by video id.
        simulated: whether any of the clips is.
        about: the rest of the file.
    """

    task: str
    protocol: str
    data: str
    class_names: list[str]
    items: list[dict[str, Any]]
    clips: list[dict[str, Any]]
    folds: dict[Hashable, str]
    simulated: bool = False
    about: dict[str, Any] = field(default_factory=dict)


def read_predictions(path: str | os.PathLike[str], fold: str = "") -> Predictions:
    """A run's ``predictions.json``; ``fold`` is the one it tested, "" where there are parts instead.

    Raises:
        InputError: the file cannot be read or holds something else.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): expected the predictions of a run") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}): remove it and run the cell again") from error
    missing = next((key for key in ("task", "protocol", "items") if key not in content), None)
    if missing:
        raise InputError(f"{path}: no {missing!r}: expected the predictions of a run; run the cell again")
    needed = {Keys.VIDEO_ID, Keys.PATIENT_ID, FRAME}
    for number, item in enumerate(content["items"]):
        if lacking := sorted(needed - set(item)):
            raise InputError(f"{path}, item {number}: no {lacking[0]!r}: run the cell again")
    about = {key: value for key, value in content.items() if key not in ("items", "clips", "figures")}
    return Predictions(
        task=content["task"],
        protocol=content["protocol"],
        data=str(content.get("data", "")),
        simulated=bool(content.get("simulated", content.get("data") == "phantom")),  # runs of before did not say
        class_names=list(content.get("class_names", [])),
        items=content["items"],
        clips=content.get("clips", []),
        folds={item[Keys.VIDEO_ID]: fold for item in content["items"]},
        about=about,
    )


def pool_folds(runs: Mapping[str, Predictions]) -> Predictions:
    """The runs of the folds of one seed as one: each item was predicted by the run that tested it.

    Args:
        runs: what was read of each, by the name of its folder.

    Raises:
        InputError: two folds are of different tasks, protocols, data or classes, or tested the same clip.
    """
    (first_name, first), *others = runs.items()
    for name, other in others:
        for what in ("task", "protocol", "data", "class_names"):
            one, two = getattr(first, what), getattr(other, what)
            if one != two:
                raise InputError(f"{name}: {what} {two!r}, but {one!r} in {first_name}: run both with the same recipe")
    tested: dict[Hashable, str] = {}
    for name, run in runs.items():
        for video in run.folds:
            if tested.setdefault(video, name) != name:
                raise InputError(
                    f"clip {video} was tested in {tested[video]} and in {name}: folds share it, make others"
                )
    everyone = list(runs.values())
    return replace(
        first,
        simulated=any(run.simulated for run in everyone),
        items=[item for run in everyone for item in run.items],
        clips=[clip for run in everyone for clip in run.clips],
        folds={video: fold for run in everyone for video, fold in run.folds.items()},
    )


def aligned(runs: Sequence[Predictions], which: str = "items") -> list[list[dict[str, Any]]]:
    """The items (or ``clips``) of several seeds and encoders, each in the order of the first's.

    Raises:
        InputError: they were tested on other items, or an item has two labels or patients.
    """
    keys = (Keys.VIDEO_ID, FRAME) if which == "items" else (Keys.VIDEO_ID,)
    tables = [{tuple(item[key] for key in keys): item for item in getattr(run, which)} for run in runs]
    order = list(tables[0])
    for table in tables[1:]:
        if differing := sorted(set(order) ^ set(table), key=str):
            where = ", frame ".join(map(str, differing[0]))
            raise InputError(
                f"two runs cannot be compared: {where} was tested in one only; give both the same data and folds"
            )
        for name in order:
            for what in (Keys.PATIENT_ID, Keys.LABEL):
                if table[name].get(what) != tables[0][name].get(what):
                    raise InputError(f"two runs cannot be compared: {name[0]} has two values of {what}")
    return [[table[name] for name in order] for table in tables]
