# SPDX-License-Identifier: Apache-2.0
"""Scores of a classifier, all computed from its confusion matrix.

Every score takes matrices ``(..., K, K)`` and returns ``(...)``, so a bootstrap computes thousands at once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def confusion_matrix(labels: npt.ArrayLike, predictions: npt.ArrayLike, n_classes: int) -> np.ndarray:
    """Counts ``(K, K)``: row = true class, column = predicted class, of class indices ``(N,)``.

    Raises:
        ValueError: a class index outside 0 to ``n_classes - 1``, or lengths that differ.
    """
    true, predicted = np.asarray(labels), np.asarray(predictions)
    if true.shape != predicted.shape or true.ndim != 1:
        raise ValueError(f"labels {true.shape} and predictions {predicted.shape} must be of one length")
    for values in (true, predicted):
        if len(values) and not 0 <= values.min() <= values.max() < n_classes:
            raise ValueError(f"class indices must be 0 to {n_classes - 1}, found {values.min()} to {values.max()}")
    return np.bincount(true.astype(int) * n_classes + predicted.astype(int), minlength=n_classes**2).reshape(
        n_classes, n_classes
    )


def class_recalls(confusion: np.ndarray) -> np.ndarray:
    """Recall of each class ``(..., K)``; NaN where a class has no item."""
    confusion = np.asarray(confusion, dtype=float)
    items = confusion.sum(axis=-1)
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    return np.divide(right, items, out=np.full(items.shape, np.nan), where=items > 0)


def class_precisions(confusion: np.ndarray) -> np.ndarray:
    """Precision of each class ``(..., K)``; NaN where a class is never predicted."""
    return class_recalls(np.swapaxes(confusion, -1, -2))


def class_f1(confusion: np.ndarray) -> np.ndarray:
    """F1 of each class ``(..., K)``: right over the mean of items and predictions; NaN without either."""
    confusion = np.asarray(confusion, dtype=float)
    both = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    return np.divide(2 * right, both, out=np.full(both.shape, np.nan), where=both > 0)


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that have items ``(...)``; NaN without any item.

    As in `balanced_accuracy` a class that is absent is left out, also where it was predicted; the items that were
    wrongly taken for it count in the recall of their own class.
    """
    present = np.asarray(confusion).sum(axis=-1) > 0
    classes = present.sum(axis=-1)
    total = np.where(present, class_f1(confusion), 0.0).sum(axis=-1)
    return np.divide(total, classes, out=np.full(total.shape, np.nan), where=classes > 0)


def balanced_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that have items ``(...)``; NaN without any item.

    A class that is absent (from a small fold, from a resample) is left out, not counted as 0.
    """
    recalls = class_recalls(confusion)
    present = ~np.isnan(recalls)
    classes = present.sum(axis=-1)
    total = np.where(present, recalls, 0.0).sum(axis=-1)
    return np.divide(total, classes, out=np.full(total.shape, np.nan), where=classes > 0)


def accuracy(confusion: np.ndarray) -> np.ndarray:
    """Share of items classified rightly ``(...)``; NaN without any item."""
    confusion = np.asarray(confusion, dtype=float)
    items = confusion.sum(axis=(-2, -1))
    right = np.trace(confusion, axis1=-2, axis2=-1)
    return np.divide(right, items, out=np.full(items.shape, np.nan), where=items > 0)
