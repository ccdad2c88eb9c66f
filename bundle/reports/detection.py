# SPDX-License-Identifier: Apache-2.0
"""What is said of an encoder's boxes: figures of all frames pooled, which have no mean over frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..keys import Keys
from ..metrics import Interval, weighted_interval
from ..metrics.box_figures import Matched, average_precision, free_response, match_boxes
from .classification import over_folds
from .measures import measured
from .predictions import Predictions, aligned

POOLED = ("ap50", "ap", "froc")
"""AP at an IoU of 0.5, mean AP over 0.5 to 0.95, mean sensitivity of the FROC curve."""

RESAMPLES = 500


def detected(runs: Sequence[Predictions]) -> dict[str, Any]:
    """The figures of one encoder, of one run a seed (`pool_folds`), in the form of `measured`, whose own follow.

    A resample counts all frames of a patient as often as it was drawn.
    """
    matched, groups, folds = _matched(runs)
    scores = _by_counts(matched, groups)
    n_frames, n_patients = len(folds), int(groups.max()) + 1

    def of_figure(name: str) -> dict[str, Any]:
        interval = _interval(lambda counts: scores(counts)[name].mean(axis=1), n_patients)
        return {
            "value": interval.value,
            "interval": interval.to_dict(),
            "of_seeds": scores(np.ones((1, n_patients)))[name][0].tolist(),
            "frames": n_frames,
            "of_frames": n_frames,
            "patients": n_patients,
            "of_patients": n_patients,
            "over_folds": over_folds(folds, lambda chosen: [_figures(_some(seed, chosen))[name] for seed in matched]),
        }

    return {**{name: of_figure(name) for name in POOLED}, **measured(runs)}


def detected_difference(first: Sequence[Predictions], second: Sequence[Predictions], name: str) -> Interval:
    """The figure of ``first`` minus that of ``second`` on the same resamples of patients, seeds averaged."""
    matched, groups, _ = _matched([*first, *second])
    scores = _by_counts(matched, groups)
    side = len(first)

    def differing(counts: np.ndarray) -> np.ndarray:
        values = scores(counts)[name]
        return values[:, :side].mean(axis=1) - values[:, side:].mean(axis=1)

    return _interval(differing, int(groups.max()) + 1)


def free_response_of(runs: Sequence[Predictions]) -> list[dict[str, Any]]:
    """The FROC curve of each seed (`free_response`); of those that have one."""
    curves = [free_response(match_boxes(run.items)) for run in runs]
    return [curve for curve in curves if curve is not None]


def _matched(runs: Sequence[Predictions]) -> tuple[list[Matched], np.ndarray, list[str]]:
    """The matching of each run's frames in one order, the patient's place (in order of name) and fold of each frame."""
    tables = aligned(runs)
    patients = [item[Keys.PATIENT_ID] for item in tables[0]]
    names = sorted(set(patients), key=str)
    groups = np.array([names.index(patient) for patient in patients])
    return [match_boxes(table) for table in tables], groups, [runs[0].folds[item[Keys.VIDEO_ID]] for item in tables[0]]


def _by_counts(matched: Sequence[Matched], groups: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """How often each patient counts ``(R, G)`` -> figure -> ``(R, S)``; what was asked before is remembered."""
    known: dict[bytes, dict[str, np.ndarray]] = {}

    def scores(counts: np.ndarray) -> dict[str, np.ndarray]:
        key = counts.tobytes()
        if key not in known:
            rows = []
            for drawn in counts.astype(int):
                frames = np.repeat(np.arange(len(groups)), drawn[groups])
                rows.append([_figures([seed[frame] for frame in frames]) for seed in matched])
            known[key] = {name: np.array([[one[name] for one in row] for row in rows]) for name in POOLED}
        return known[key]

    return scores


def _figures(matched: Matched) -> dict[str, float]:
    """NaN without a true box."""
    precision, response = average_precision(matched), free_response(matched)
    if precision is None or response is None:
        return dict.fromkeys(POOLED, float("nan"))
    return {"ap50": precision["ap50"], "ap": precision["ap"], "froc": response["score"]}


def _some(matched: Matched, chosen: np.ndarray) -> Matched:
    return [one for one, here in zip(matched, chosen, strict=True) if here]


def _interval(scores: Callable[[np.ndarray], np.ndarray], n_patients: int) -> Interval:
    names = [f"{place:06}" for place in range(n_patients)]
    return weighted_interval(np.zeros(n_patients, dtype=int), names, scores, RESAMPLES)
