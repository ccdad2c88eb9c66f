# SPDX-License-Identifier: Apache-2.0
"""What is said of an encoder's saliency maps and masks: figures of frames, averaged over patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..keys import Keys
from ..metrics import Interval, index_by_id, weighted_interval
from ..metrics.saliency_maps import CENTRE_PRIOR, UNIFORM
from .classification import over_folds
from .predictions import FRAME, Predictions, aligned

BASELINES = {CENTRE_PRIOR: "centre prior", UNIFORM: "uniform map"}
"""What stands behind the name of a figure that is not the network's, and what made it."""

_NO_FIGURE = {Keys.VIDEO_ID, Keys.PATIENT_ID, FRAME, Keys.LABEL}


def figure_names(runs: Sequence[Predictions]) -> list[str]:
    """The figures that the items carry: every number but ids, in the order in which an item names them."""
    items = [item for run in runs for item in run.items]
    names = dict.fromkeys(name for item in items for name in item if name not in _NO_FIGURE)
    return [name for name in names if any(_is_number(item.get(name)) for item in items)]


def split_baselines(run: Predictions) -> tuple[Predictions, dict[str, Predictions]]:
    """A run without the figures of `BASELINES`, and these as runs of their own by what made them."""

    def items(suffix: str) -> list[dict[str, Any]]:
        return [
            {
                name.removesuffix(suffix): value
                for name, value in item.items()
                if name in _NO_FIGURE or (name.endswith(suffix) if suffix else not name.endswith(tuple(BASELINES)))
            }
            for item in run.items
        ]

    known = {suffix for suffix in BASELINES if any(name.endswith(suffix) for item in run.items for name in item)}
    baselines = {BASELINES[suffix]: replace(run, items=items(suffix)) for suffix in sorted(known)}
    return replace(run, items=items("")), baselines


def measured(runs: Sequence[Predictions]) -> dict[str, Any]:
    """The figures of one encoder, of one run a seed (`pool_folds`), ready for JSON: name -> what is said of it.

    A figure is the mean over patients of the mean over each patient's frames; a frame without it (None, as the distance
    of a mask to an empty one) is left out, and so is a patient without any. Beside it: its interval (bootstrap over
    patients), each seed's own, over folds, and of how many frames and patients it is.
    """
    tables = aligned(runs)
    return {
        name: _of_figure(_values(tables, name), _patients(tables), _folds(runs[0], tables))
        for name in figure_names(runs)
    }


def difference_of(first: Sequence[Predictions], second: Sequence[Predictions], name: str) -> Interval | None:
    """The figure of ``first`` minus that of ``second`` over the same resamples of patients, seeds averaged.

    Of the frames that have it in all runs: else an encoder that misses the hard lesions would gain in distance.
    """
    tables = aligned([*first, *second])
    values = _values(tables, name)
    means = patient_means(np.where(np.isnan(values).any(axis=0), np.nan, values), _patients(tables))
    sides = means[: len(first)], means[len(first) :]
    if np.isnan(means).all():
        return None
    return _interval(lambda counts: _scores(sides[0], counts) - _scores(sides[1], counts), means.shape[1])


def patient_means(values: np.ndarray, patients: Sequence[str]) -> np.ndarray:
    """Values of frames ``(S, N)`` -> their means by patient ``(S, G)``, in order of name; NaN where there is none."""
    names, index = index_by_id(patients)
    order = sorted(range(len(names)), key=lambda place: str(names[place]))
    known = ~np.isnan(values)
    sums, counts = (
        np.stack([np.bincount(index, row, minlength=len(names)) for row in rows])
        for rows in (np.where(known, values, 0.0), known.astype(float))
    )
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)[:, order]


def _of_figure(values: np.ndarray, patients: list[str], folds: list[str]) -> dict[str, Any]:
    means = patient_means(values, patients)
    interval = _interval(lambda counts: _scores(means, counts), means.shape[1])

    def of_fold(chosen: np.ndarray) -> list[float]:
        some = patient_means(
            values[:, chosen], [patient for patient, here in zip(patients, chosen, strict=True) if here]
        )
        return _of_seeds(some)

    return {
        "value": interval.value,
        "interval": interval.to_dict(),
        "of_seeds": _of_seeds(means),
        "frames": int((~np.isnan(values)).any(axis=0).sum()),
        "of_frames": values.shape[1],
        "patients": int((~np.isnan(means)).any(axis=0).sum()),
        "of_patients": means.shape[1],
        "over_folds": over_folds(folds, of_fold),
    }


def _scores(means: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Patients' means ``(S, G)`` and how often each counts ``(R, G)`` -> their mean, averaged over seeds ``(R,)``.

    NaN where no patient has the figure.
    """
    known = (~np.isnan(means)).astype(float)
    total, sums = counts @ known.T, counts @ np.nan_to_num(means).T  # (R, S)
    return np.divide(sums, total, out=np.full(total.shape, np.nan), where=total > 0).mean(axis=1)


def _of_seeds(means: np.ndarray) -> list[float]:
    return [float(_scores(row[None], np.ones((1, len(row))))[0]) for row in means]


def _interval(scores: Callable[[np.ndarray], np.ndarray], n_patients: int) -> Interval:
    return weighted_interval(np.zeros(n_patients, dtype=int), [f"{place:06}" for place in range(n_patients)], scores)


def _values(tables: list[list[dict[str, Any]]], name: str) -> np.ndarray:
    return np.array([[_number(item.get(name)) for item in table] for table in tables])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _patients(tables: list[list[dict[str, Any]]]) -> list[str]:
    return [item[Keys.PATIENT_ID] for item in tables[0]]


def _folds(run: Predictions, tables: list[list[dict[str, Any]]]) -> list[str]:
    return [run.folds[item[Keys.VIDEO_ID]] for item in tables[0]]


def patient_means_of(runs: Sequence[Predictions], name: str) -> np.ndarray:
    """Each patient's mean of a figure, seeds averaged ``(G,)``; NaN where there is none."""
    tables = aligned(runs)
    means = patient_means(_values(tables, name), _patients(tables))
    known = ~np.isnan(means)
    sums = np.where(known, means, 0.0).sum(axis=0)
    return np.divide(sums, known.sum(axis=0), out=np.full(sums.shape, np.nan), where=known.any(axis=0))
