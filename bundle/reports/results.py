# SPDX-License-Identifier: Apache-2.0
"""The results of a task: every encoder's figures and the differences between encoders, ready for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..keys import LEGACY, Keys
from ..metrics import Interval
from .classification import LEVELS, classified, difference
from .detection import POOLED, detected, detected_difference
from .measures import difference_of, figure_names, measured, split_baselines
from .predictions import Predictions

CLASSIFICATION, DETECTION = "classification", "detection"


@dataclass(frozen=True)
class Entry:
    """What is a row of the table: an encoder, trained on the labels of so many patients, one run a seed.

    Args:
        encoder: what the plan calls it.
        seeds: of the runs.
        runs: of each seed, its folds pooled (`pool_folds`).
        labelled_patients: a class; None for all.
        folders: of the runs, seed by seed and fold by fold.
    """

    encoder: str
    seeds: list[int]
    runs: list[Predictions]
    labelled_patients: float | None = None
    folders: list[Path] = field(default_factory=list)


def task_results(
    entries: Sequence[Entry], title: str, baselines: Sequence[str] = (), pairs: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """All figures of a task.

    Args:
        entries: what was run, all on the same tested items.
        title: what the task is called.
        baselines: encoders that each other one is compared with, on labels of the same patients.
        pairs: more pairs to compare, the second is taken from the first.

    Returns:
        ``title``, ``task``, ``protocol``, ``data``, ``simulated``, ``class_names``, ``tested`` (how many of what),
        ``rows`` (one an entry) and ``differences``.

    Raises:
        InputError: entries of different tasks, protocols or data, or a pair of which one was not run.
    """
    first = entries[0].runs[0]
    for entry in entries:
        for run in entry.runs:
            for what in ("task", "protocol", "data", "class_names"):
                if getattr(run, what) != getattr(first, what):
                    raise InputError(
                        f"{entry.encoder}: {what} {getattr(run, what)!r}, but {getattr(first, what)!r} of "
                        f"{entries[0].encoder}: run both with the same recipe"
                    )
    figures = {CLASSIFICATION: classified, DETECTION: detected}.get(first.task, measured)
    rows = [
        {
            "encoder": entry.encoder,
            "labelled_patients": entry.labelled_patients,
            "seeds": entry.seeds,
            "figures": figures(entry.runs),
        }
        for entry in entries
    ]
    return {
        "title": title,
        "task": first.task,
        "protocol": first.protocol,
        "data": first.data,
        "simulated": any(run.simulated for entry in entries for run in entry.runs),
        "class_names": first.class_names,
        "tested": _tested(first),
        "main": list(main_figure(first.task, first.protocol)),
        "rows": rows,
        "differences": [
            found for one, other in _pairs(entries, baselines, pairs) for found in _differences(one, other)
        ],
    }


def with_baselines(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, and for the figures that are no network's (`BASELINES`) entries of their own at the end.

    A baseline is the same for all encoders, so it is that of the first encoder's first seed.
    """
    kept: list[Entry] = []
    found: dict[tuple[str, float | None], Entry] = {}
    for entry in entries:
        split = [split_baselines(run) for run in entry.runs]
        kept.append(replace(entry, runs=[run for run, _ in split]))
        for name, run in split[0][1].items():
            found.setdefault(
                (name, entry.labelled_patients), Entry(name, entry.seeds[:1], [run], entry.labelled_patients)
            )
    return [*kept, *found.values()]


def main_figure(task: str, protocol: str) -> tuple[str, str]:
    """The level and the figure that stand first: clips and balanced accuracy; under `LEGACY` frames and accuracy."""
    if task != CLASSIFICATION:
        return "patient", ""
    return ("frame", "accuracy") if protocol == LEGACY else ("clip", "balanced_accuracy")


def _tested(run: Predictions) -> dict[str, Any]:
    clips: dict[str, dict[str, Any]] = {item[Keys.VIDEO_ID]: item for item in run.items}
    labels = Counter(item[Keys.LABEL] for item in clips.values() if Keys.LABEL in item)
    missing: dict[str, list[str]] = {}
    for fold in sorted(set(run.folds.values())) if labels else ():
        there = {item[Keys.LABEL] for video, item in clips.items() if run.folds[video] == fold}
        if lacking := [name for k, name in enumerate(run.class_names) if labels[k] and k not in there]:
            missing[fold] = lacking
    return {
        "frames": len(run.items),
        "clips": len(clips),
        "patients": len({item[Keys.PATIENT_ID] for item in run.items}),
        "folds": len(set(run.folds.values())),
        "part": run.about.get("part", "testing"),
        "classes": {name: labels[k] for k, name in enumerate(run.class_names)} if labels else {},
        "folds_without": missing,
    }


def _pairs(
    entries: Sequence[Entry], baselines: Sequence[str], pairs: Sequence[tuple[str, str]]
) -> list[tuple[Entry, Entry]]:
    known = {(entry.encoder, entry.labelled_patients): entry for entry in entries}
    names = list(dict.fromkeys(entry.encoder for entry in entries))
    asked = [(name, base) for base in baselines if base in names for name in names if name not in baselines]
    for pair in pairs:
        if unknown := [name for name in pair if name not in names]:
            raise InputError(f"compare: {unknown[0]!r} was not run, expected one of {', '.join(names)}")
        first, second = pair
        asked += [(first, second)] if (first, second) not in asked else []
    amounts = list(dict.fromkeys(entry.labelled_patients for entry in entries))
    return [
        (known[first, amount], known[second, amount])
        for first, second in asked
        for amount in amounts
        if (first, amount) in known and (second, amount) in known
    ]


def _differences(first: Entry, second: Entry) -> list[dict[str, Any]]:
    about = {"first": first.encoder, "second": second.encoder, "labelled_patients": first.labelled_patients}
    run = first.runs[0]
    found: dict[tuple[str, str], Interval | None]
    if run.task != CLASSIFICATION:
        both = [name for name in figure_names(first.runs) if name in figure_names(second.runs)]
        found = {("patient", name): difference_of(first.runs, second.runs, name) for name in both}
        if run.task == DETECTION:
            pooled = {("frame", name): detected_difference(first.runs, second.runs, name) for name in POOLED}
            found = {**pooled, **found}
    else:
        _, figure = main_figure(run.task, run.protocol)
        found = {(level, figure): difference(first.runs, second.runs, level, figure) for level in LEVELS}
    return [
        {**about, "per": level, "figure": figure, **interval.to_dict()}
        for (level, figure), interval in found.items()
        if interval is not None
    ]
