# SPDX-License-Identifier: Apache-2.0
"""Intervals that respect patients: a percentile bootstrap over groups, stratified by class.

Clips of one patient are alike, so patients are drawn, not clips. Groups of a class are drawn among the groups of that
class, as many as there are, so every resample keeps the mix of classes. A group's class is its majority label (of
equally frequent labels the lowest index).

A class with a single group is the same in every resample: its uncertainty is not in the interval. With five groups the
interval is rough. Say so next to the figure.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from .aggregation import index_by_id, majority_by_id
from .scores import balanced_accuracy, confusion_matrix

Statistic = Callable[[np.ndarray], np.ndarray]
"""A score of confusion matrices: ``(..., K, K)`` -> ``(...)``."""


@dataclass(frozen=True)
class Interval:
    """A value and the percentile bounds of its bootstrap distribution."""

    value: float
    low: float
    high: float
    level: float = 0.95

    def to_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def bootstrap_interval(
    labels: npt.ArrayLike,
    predictions: npt.ArrayLike,
    groups: Sequence[Hashable],
    n_classes: int,
    statistic: Statistic = balanced_accuracy,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of a score of clip-level predictions.

    Args:
        labels: class indices ``(N,)``.
        predictions: predicted class indices ``(N,)``, or ``(S, N)`` for S seeds of one method: the score is computed
            for each seed on the same resample and averaged.
        groups: the patient (or group) of each item.
        n_classes: number of classes K.
        statistic: the score, a function of confusion matrices (`bundle.metrics.scores`).
        resamples: number of bootstrap resamples.
        level: share of the resamples within the bounds.
        seed: of the draw.
    """
    confusions, strata = _by_group(labels, predictions, groups, n_classes)
    value = float(_mean_score(confusions, np.ones((1, len(strata))), statistic)[0])
    scores = _mean_score(confusions, _draw_groups(strata, resamples, seed), statistic)
    return _interval(value, scores, level)


def paired_difference(
    labels: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    groups: Sequence[Hashable],
    n_classes: int,
    statistic: Statistic = balanced_accuracy,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of the score of ``first`` minus the score of ``second`` on the same items and the same resamples.

    Args:
        first, second: predicted class indices ``(N,)`` or ``(S, N)`` of two methods, items in the same order; the
            numbers of seeds may differ.

    The rest as in `bootstrap_interval`.
    """
    sides = [_by_group(labels, predictions, groups, n_classes) for predictions in (first, second)]
    strata = sides[0][1]
    once = np.ones((1, len(strata)))
    counts = _draw_groups(strata, resamples, seed)
    value, scores = (
        _mean_score(sides[0][0], drawn, statistic) - _mean_score(sides[1][0], drawn, statistic)
        for drawn in (once, counts)
    )
    return _interval(float(value[0]), scores, level)


def weighted_interval(
    labels: npt.ArrayLike,
    groups: Sequence[Hashable],
    scores: Callable[[np.ndarray], np.ndarray],
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of a score that is no function of a confusion matrix.

    Args:
        labels: class indices ``(N,)``, by which the groups are stratified; all 0 for no strata.
        groups: the patient (or group) of each item.
        scores: how often each group counts ``(R, G)``, groups in order of name -> the scores ``(R,)``; of the
            difference of two methods for their paired difference. A resample without a score (NaN) is left out.
        resamples, level, seed: as in `bootstrap_interval`.
    """
    names, strata = majority_by_id(labels, groups)
    order = sorted(range(len(names)), key=lambda g: str(names[g]))
    drawn = scores(_draw_groups(strata[order], resamples, seed))
    return _interval(float(scores(np.ones((1, len(names))))[0]), drawn[~np.isnan(drawn)], level)


def _by_group(
    labels: npt.ArrayLike, predictions: npt.ArrayLike, groups: Sequence[Hashable], n_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Confusion matrices of each seed and group ``(S, G, K, K)`` and the groups' classes ``(G,)``, in order of name."""
    true = np.asarray(labels, dtype=int)
    predicted = np.atleast_2d(np.asarray(predictions, dtype=int))
    if true.ndim != 1 or predicted.shape[1:] != true.shape or len(groups) != len(true) or len(true) == 0:
        raise ValueError(f"labels {true.shape}, predictions {predicted.shape} and {len(groups)} groups do not fit")
    names, strata = majority_by_id(true, groups)
    _, index = index_by_id(groups)
    # by name, so that the draw does not depend on the order of the items
    order = sorted(range(len(names)), key=lambda g: str(names[g]))
    confusions = np.stack(
        [np.stack([confusion_matrix(true[index == g], row[index == g], n_classes) for g in order]) for row in predicted]
    )
    return confusions.astype(float), strata[order]


def _draw_groups(strata: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """How often each group is drawn in each resample ``(R, G)``."""
    random = np.random.default_rng(seed)
    counts = np.zeros((resamples, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        counts[:, members] = random.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
    return counts


def _mean_score(confusions: np.ndarray, counts: np.ndarray, statistic: Statistic) -> np.ndarray:
    """Score of every resample, averaged over seeds ``(R,)``: drawing a group twice counts its matrix twice."""
    seeds, n_groups, n_classes, _ = confusions.shape
    drawn = counts @ confusions.reshape(seeds, n_groups, -1)
    return statistic(drawn.reshape(seeds, len(counts), n_classes, n_classes)).mean(axis=0)


def _interval(value: float, scores: np.ndarray, level: float) -> Interval:
    if not len(scores):
        return Interval(value, float("nan"), float("nan"), level)
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)
