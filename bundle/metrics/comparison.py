# SPDX-License-Identifier: Apache-2.0
"""Encoders side by side: figures averaged over seeds, intervals, paired differences, and a table of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from .bootstrap import Interval, bootstrap_interval, paired_difference
from .probe_result import ClipPrediction, ProbeResult


def seeds_interval(results: Sequence[ProbeResult]) -> Interval:
    """Balanced accuracy per clip, averaged over the seeds of one method, with its interval (`bootstrap_interval`)."""
    clips = _aligned(results)
    return bootstrap_interval(*_arguments(results[0], clips[0], [clips]))


def seeds_difference(first: Sequence[ProbeResult], second: Sequence[ProbeResult]) -> Interval:
    """Balanced accuracy per clip of ``first`` minus that of ``second``, each averaged over its seeds.

    See `paired_difference`. Clips are matched by id.

    Raises:
        InputError: the two were judged on other clips or other labels.
    """
    clips = _aligned([*first, *second])
    sides = [clips[: len(first)], clips[len(first) :]]
    return paired_difference(*_arguments(first[0], clips[0], sides))


def summarise(methods: Mapping[str, Sequence[ProbeResult]], baselines: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One row a method: figures averaged over its seeds, ready for JSON and `markdown_table`.

    Args:
        methods: the results of each method's seeds, all of one kind of probe on the same clips.
        baselines: names of the methods that every other one is compared with.
    """
    rows = []
    for name, results in methods.items():
        per_clip = [result.per_clip for result in results]
        rows.append(
            {
                "name": name,
                "kind": results[0].kind,
                "seeds": len(results),
                "per_frame": float(np.mean([result.per_frame for result in results])),
                "per_clip": float(np.mean(per_clip)),
                "per_clip_range": [min(per_clip), max(per_clip)],
                "per_patient": float(np.mean([result.per_patient for result in results])),
                "interval": seeds_interval(results).to_dict(),
                "folds": len(results[0].per_fold),
                "fold_mean": float(np.mean([result.fold_mean for result in results])),
                "fold_spread": float(np.mean([result.fold_spread for result in results])),
                "difference": {
                    other: seeds_difference(results, methods[other]).to_dict()
                    for other in baselines
                    if name not in baselines
                },
            }
        )
    return rows


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `summarise` as a Markdown table; balanced accuracies with two decimals."""
    baselines = list(dict.fromkeys(other for row in rows for other in row["difference"]))
    head = ["encoder", "probe", "seeds", "per frame", "per clip (seeds)", "95 % interval", "per patient", "over folds"]
    lines = [head + [f"per clip minus {other} (95 % interval)" for other in baselines]]
    lines.append(["---"] * len(lines[0]))
    for row in rows:
        low, high = row["per_clip_range"]
        spread = f"{row['fold_mean']:.2f} ± {row['fold_spread']:.2f}" if row["folds"] > 1 else "–"
        cells = [
            row["name"],
            row["kind"],
            str(row["seeds"]),
            f"{row['per_frame']:.2f}",
            f"{row['per_clip']:.2f}" + (f" ({low:.2f} to {high:.2f})" if row["seeds"] > 1 else ""),
            f"{row['interval']['low']:.2f} to {row['interval']['high']:.2f}",
            f"{row['per_patient']:.2f}",
            spread,
        ]
        for other in baselines:
            d = row["difference"].get(other)
            cells.append(f"{d['value']:+.2f} ({d['low']:+.2f} to {d['high']:+.2f})" if d else "")
        lines.append(cells)
    return markdown_rows(lines)


def markdown_rows(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as a Markdown table; the second row is of dashes."""
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows) + "\n"


def _aligned(results: Sequence[ProbeResult]) -> list[list[ClipPrediction]]:
    """The clips of each result in the order of the first's."""
    order = [clip.clip for clip in results[0].clips]
    aligned = []
    for result in results:
        by_id = {clip.clip: clip for clip in result.clips}
        differing = set(order) ^ set(by_id)
        if differing or result.class_names != results[0].class_names:
            what = f"clip {sorted(differing)[0]} is in one only" if differing else "their classes differ"
            raise InputError(f"two probes cannot be compared: {what}; judge both on the same clips and labels")
        aligned.append([by_id[name] for name in order])
        for one, other in zip(aligned[0], aligned[-1], strict=True):
            if (one.label, one.group) != (other.label, other.group):
                raise InputError(f"two probes cannot be compared: clip {one.clip} has two labels or groups")
    return aligned


def _arguments(
    result: ProbeResult, clips: list[ClipPrediction], sides: Sequence[list[list[ClipPrediction]]]
) -> tuple[Any, ...]:
    """What the bootstrap takes: labels, predictions ``(S, N)`` of each side, groups, number of classes."""
    predictions = [np.array([[clip.predicted for clip in seed] for seed in side]) for side in sides]
    labels = np.array([clip.label for clip in clips])
    return labels, *predictions, [clip.group for clip in clips], len(result.class_names)
