# SPDX-License-Identifier: Apache-2.0
"""What is said of an encoder's classifications: pooled out of fold, per frame, per clip and per patient."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..keys import Keys
from ..metrics import (
    Interval,
    accuracy,
    auroc_interval,
    balanced_accuracy,
    bootstrap_interval,
    classification_report,
    confusion_matrix,
    main_figures,
    paired_difference,
    patients_of_one_class,
)
from .predictions import Predictions, aligned

LEVELS = ("frame", "clip", "patient")
LEAST_SHARE_OF_PATIENTS = 0.5
"""With fewer patients of one class than this share there are no figures per patient."""

_STATISTICS = {"balanced_accuracy": balanced_accuracy, "accuracy": accuracy}


@dataclass(frozen=True)
class Level:
    """Items of one kind (frames, clips or patients), and what each seed said of them.

    Args:
        labels: class indices ``(N,)``.
        probabilities: ``(S, N, K)``.
        patients: of each item.
        folds: in which each was tested.
        of: how many there are; more than N where some have no class of their own.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    patients: list[Hashable]
    folds: list[str]
    of: int

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class ``(S, N)``."""
        return self.probabilities.argmax(axis=2)


def level_of(runs: Sequence[Predictions], name: str) -> Level | None:
    """The items of the kind ``name`` (one of `LEVELS`), in one order for all ``runs`` (seeds, encoders).

    A patient has the mean of its clips' probabilities. Per patient there is nothing (None) where fewer than half of the
    patients have clips of one class only; those of several classes are left out.
    """
    tables = aligned(runs, "items" if name == "frame" else "clips")
    first = tables[0]
    labels = np.array([item[Keys.LABEL] for item in first])
    patients = [item[Keys.PATIENT_ID] for item in first]
    folds = [runs[0].folds[item[Keys.VIDEO_ID]] for item in first]
    scores = np.array([[item["probabilities"] for item in table] for table in tables], dtype=float)
    if name != "patient":
        return Level(labels, scores, patients, folds, len(first))
    fold_of = dict(zip(patients, folds, strict=True))
    kept = [patients_of_one_class(labels, of_seed, patients) for of_seed in scores]
    names, of_patient, _ = kept[0]
    if len(names) < LEAST_SHARE_OF_PATIENTS * len(fold_of):
        return None
    chances = np.array([of_seed for _, _, of_seed in kept])
    return Level(of_patient, chances, names, [fold_of[patient] for patient in names], len(fold_of))


def classified(runs: Sequence[Predictions]) -> dict[str, Any]:
    """The figures of one encoder, of one run a seed (`pool_folds`), ready for JSON.

    Returns:
        ``per_frame``, ``per_clip`` and ``per_patient`` (or None), see `_of_level`, and ``over_folds``: the balanced
        accuracy per clip of each fold, its mean and its sample standard deviation, each the mean of the seeds.
    """
    names = runs[0].class_names
    levels = {name: level_of(runs, name) for name in LEVELS}
    clips = levels["clip"]
    assert clips is not None
    return {
        **{f"per_{name}": None if level is None else _of_level(level, names) for name, level in levels.items()},
        "over_folds": over_folds(
            clips.folds,
            lambda chosen: [_balanced(clips.labels[chosen], row[chosen], len(names)) for row in clips.predicted],
        ),
    }


def difference(
    first: Sequence[Predictions], second: Sequence[Predictions], name: str, figure: str = "balanced_accuracy"
) -> Interval | None:
    """``first`` minus ``second`` on the same items and the same resamples of patients, seeds averaged.

    Args:
        first, second: one run a seed of each encoder.
        name: the kind of items, one of `LEVELS`.
        figure: ``balanced_accuracy`` or ``accuracy``.
    """
    level = level_of([*first, *second], name)
    if level is None:
        return None
    sides = level.predicted[: len(first)], level.predicted[len(first) :]
    return paired_difference(level.labels, *sides, level.patients, len(first[0].class_names), _STATISTICS[figure])


def over_folds(folds: Sequence[str], scores: Callable[[np.ndarray], Sequence[float]]) -> dict[str, Any]:
    """A figure of each fold, its mean and its sample standard deviation (None of one fold), seeds averaged.

    A fold without the figure (NaN), as one without a lesion, is left out of mean and standard deviation.

    Args:
        folds: of each item ``(N,)``.
        scores: which items of the N -> the figure of each seed.
    """
    names = sorted(set(folds))
    values = np.array([scores(np.array(folds) == name) for name in names])  # (folds, seeds)
    known = values[~np.isnan(values).any(axis=1)]
    return {
        "per_fold": dict(zip(names, values.mean(axis=1).tolist(), strict=True)),
        "mean": float(known.mean()) if len(known) else float("nan"),
        "spread": float(known.std(axis=0, ddof=1).mean()) if len(known) > 1 else None,
    }


def _of_level(level: Level, class_names: Sequence[str]) -> dict[str, Any]:
    """Figures as means of the seeds, with each seed's own, intervals, per class, and confusion summed over seeds."""
    seeds = [classification_report(level.labels, scores, class_names) for scores in level.probabilities]
    figures = list(main_figures(level.labels, level.probabilities[0]))
    given = (level.labels, level.predicted, level.patients, len(class_names))
    return {
        "items": len(level.labels),
        "of": level.of,
        "patients": len(set(level.patients)),
        **{figure: _mean([seed[figure] for seed in seeds]) for figure in figures},
        "of_seeds": {figure: [seed[figure] for seed in seeds] for figure in ("balanced_accuracy", "accuracy", "auroc")},
        "intervals": {
            **{figure: bootstrap_interval(*given, how).to_dict() for figure, how in _STATISTICS.items()},
            "auroc": auroc_interval(level.labels, level.probabilities, level.patients).to_dict(),
        },
        "classes": {
            name: {key: _mean([seed["classes"][name][key] for seed in seeds]) for key in seeds[0]["classes"][name]}
            for name in class_names
        },
        "confusion": np.sum([seed["confusion"] for seed in seeds], axis=0).tolist(),
    }


def _balanced(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> float:
    return float(balanced_accuracy(confusion_matrix(labels, predicted, n_classes)))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
