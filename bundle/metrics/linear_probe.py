# SPDX-License-Identifier: Apache-2.0
"""Linear probe: L2 logistic regression on frozen features, its strength chosen inside the training part."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from .aggregation import majority_by_id, mean_by_id
from .scores import balanced_accuracy, confusion_matrix

C_GRID = tuple(float(c) for c in np.logspace(-3, 0, 7))
"""Inverse strengths of the L2 penalty that are tried."""


@dataclass(frozen=True)
class LinearProbe:
    """A fitted probe: ``softmax(((x - mean) / scale) @ weight.T + bias)``.

    ``mean`` and ``scale`` are ``(D,)``, ``weight`` ``(K, D)``, ``bias`` ``(K,)``: -inf for a class without a training
    item, so that its probability is 0. ``c`` is the C it was fitted with.
    """

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    c: float

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities ``(N, K)`` of features ``(N, D)``."""
        logits = ((features - self.mean) / self.scale) @ self.weight.T + self.bias
        exponential = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponential / exponential.sum(axis=1, keepdims=True)


def fit_linear_probe(
    features: np.ndarray,
    labels: np.ndarray,
    clips: Sequence[Hashable],
    inner_folds: np.ndarray,
    n_classes: int,
    grid: Sequence[float] = C_GRID,
) -> LinearProbe:
    """Fits the probe; C is the one with the best balanced accuracy per clip over the inner folds, refitted on all.

    Features are standardised on what is fitted on (also within the inner folds), classes are weighted by the inverse
    of their number of frames, every frame of a class weighs the same. Of equally good C the smallest is taken.

    Args:
        features: frames ``(N, D)``.
        labels: class index of each frame's clip ``(N,)``.
        clips: clip id of each frame.
        inner_folds: inner fold of each frame ``(N,)``; folds must be disjoint by group. With fewer than two folds, or
            none whose training side has two classes, nothing can be compared and the middle of the grid is taken.
        n_classes: number of classes K.
        grid: values of C, ascending.
    """
    features = np.asarray(features, dtype=np.float64)
    best = len(grid) // 2
    scores = _inner_scores(features, labels, clips, inner_folds, n_classes, grid)
    if not np.isnan(scores).all():
        best = int(np.nanargmax(scores))
    return _fit(features, labels, n_classes, [grid[best]])[0]


def _inner_scores(
    features: np.ndarray,
    labels: np.ndarray,
    clips: Sequence[Hashable],
    inner_folds: np.ndarray,
    n_classes: int,
    grid: Sequence[float],
) -> np.ndarray:
    """Balanced accuracy per clip of the pooled inner predictions, for each C; NaN when nothing was predicted."""
    predicted = np.full((len(grid), len(labels), n_classes), np.nan)
    for fold in np.unique(inner_folds):
        held_out = inner_folds == fold
        if len(np.unique(labels[~held_out])) > 1:
            probes = _fit(features[~held_out], labels[~held_out], n_classes, grid)
            predicted[:, held_out] = [probe.probabilities(features[held_out]) for probe in probes]
    done = ~np.isnan(predicted[0, :, 0])
    if not done.any():
        return np.full(len(grid), np.nan)
    names = [clip for clip, kept in zip(clips, done, strict=True) if kept]
    true = majority_by_id(labels[done], names)[1]
    choices = [mean_by_id(values[done], names)[1].argmax(axis=1) for values in predicted]
    return np.array([balanced_accuracy(confusion_matrix(true, choice, n_classes)) for choice in choices])


def _fit(features: np.ndarray, labels: np.ndarray, n_classes: int, grid: Sequence[float]) -> list[LinearProbe]:
    """One probe for each C."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    mean, scale = features.mean(axis=0), features.std(axis=0)
    # a feature that never varies says nothing; dividing by its rounding error would make it loud
    scale = np.where(scale > 1e-8 * np.maximum(1.0, np.abs(mean)), scale, 1.0)
    standard = (features - mean) / scale
    probes = []
    # from one C to the next the solution moves little, so each fit starts where the last one ended
    model = LogisticRegression(class_weight="balanced", max_iter=2000, warm_start=True)
    # matrices are so small that threads mostly wait for each other
    with threadpool_limits(1):
        for c in grid:
            model.set_params(C=c).fit(standard, labels)
            weight = np.zeros((n_classes, features.shape[1]))
            bias = np.full(n_classes, -np.inf)
            if len(model.classes_) == 2:  # two classes share one row: the second against the first
                weight[model.classes_[1]] = model.coef_[0]
                bias[model.classes_] = [0.0, model.intercept_[0]]
            else:
                weight[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
            probes.append(LinearProbe(mean, scale, weight, bias, float(c)))
    return probes
