# SPDX-License-Identifier: Apache-2.0
"""The interval of the area under the ROC curve by bootstrap over patients."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from .aggregation import index_by_id
from .bootstrap import Interval, weighted_interval


def auroc_interval(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    groups: Sequence[Hashable],
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Interval of `macro_auroc`, seeds averaged; what the draw is, see `bootstrap_interval`.

    The pairs that a class wins are counted once for each two groups; a resample then costs two products.

    Args:
        labels: class indices ``(N,)``.
        probabilities: ``(S, N, K)`` of S seeds.
        groups: the patient (or group) of each item.
        resamples: number of bootstrap resamples.
        seed: of the draw.
    """
    true, scores = np.asarray(labels, dtype=int), np.asarray(probabilities, dtype=float)
    names, index = index_by_id(groups)
    order = sorted(range(len(names)), key=lambda g: str(names[g]))
    places = np.empty(len(names), dtype=int)
    places[order] = np.arange(len(names))
    tables = [
        [_wins(true == k, row[:, k], places[index], len(names)) for k in range(scores.shape[2])] for row in scores
    ]

    def averaged(counts: np.ndarray) -> np.ndarray:
        return np.mean([_macro(classes, counts) for classes in tables], axis=0)

    return weighted_interval(true, groups, averaged, resamples, seed=seed)


def _wins(positive: np.ndarray, scores: np.ndarray, index: np.ndarray, n_groups: int) -> tuple[np.ndarray, ...]:
    """Pairs won by the class's items of one group over the others' of another (G, G), and the items of both (G,)."""
    of_class, others = np.flatnonzero(positive), np.flatnonzero(~positive)
    wins = np.zeros((n_groups, n_groups))
    for item in of_class:
        won = (scores[item] > scores[others]) + 0.5 * (scores[item] == scores[others])
        wins[index[item]] += np.bincount(index[others], won, minlength=n_groups)
    return wins, *(np.bincount(index[side], minlength=n_groups).astype(float) for side in (of_class, others))


def _macro(classes: Sequence[tuple[np.ndarray, ...]], counts: np.ndarray) -> np.ndarray:
    """Mean over the classes that have an item and another ``(R,)``; NaN without any."""
    total, present = np.zeros(len(counts)), np.zeros(len(counts))
    for wins, of_class, others in classes:
        pairs = (counts @ of_class) * (counts @ others)
        won = ((counts @ wins) * counts).sum(axis=1)
        total += np.divide(won, pairs, out=np.zeros(len(counts)), where=pairs > 0)
        present += pairs > 0
    return np.divide(total, present, out=np.full(len(counts), np.nan), where=present > 0)
