# SPDX-License-Identifier: Apache-2.0
"""What is said of a classifier: figures of probabilities ``(N, K)`` beside those of the confusion matrix."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from ..errors import InputError
from .aggregation import index_by_id, majority_by_id, mean_by_id
from .calibration import brier_score, expected_calibration_error, reliability
from .scores import (
    accuracy,
    balanced_accuracy,
    class_f1,
    class_precisions,
    class_recalls,
    confusion_matrix,
    macro_f1,
)

CLIP_SCORES = ("mean", "max", "attention")
"""How a clip's probabilities come from its frames'."""


def clip_probabilities(
    logits: npt.ArrayLike, ids: Sequence[Hashable], how: str = "mean", attention: npt.ArrayLike | None = None
) -> tuple[list[Hashable], np.ndarray]:
    """The class probabilities of clips from the logits of their frames ``(N, K)``.

    ``mean`` is the mean of the frames' probabilities; ``max`` takes for each class the frame that is surest of it, and
    scales the sum to 1, for findings that only some frames show; ``attention`` is the softmax of the mean of the logits
    weighted by the softmax of the scores over the clip (`FrameClassifier`).

    Args:
        logits: of each frame.
        ids: the clip of each frame.
        how: one of `CLIP_SCORES`.
        attention: scores ``(N,)``, for ``attention``.

    Returns:
        The distinct ids (G) in order of first appearance and the probabilities ``(G, K)``.

    Raises:
        InputError: another word in ``how``, or no scores for ``attention``.
    """
    check_clip_score(how, attention is not None)
    values = np.asarray(logits, dtype=float)
    if how == "mean":
        return mean_by_id(softmax(values, axis=1), ids)
    names, index = index_by_id(ids)
    if how == "max":
        highest = np.zeros((len(names), values.shape[1]))
        np.maximum.at(highest, index, softmax(values, axis=1))
        return names, highest / highest.sum(axis=1, keepdims=True)
    scores = np.asarray(attention, dtype=float)
    largest = np.full(len(names), -np.inf)
    np.maximum.at(largest, index, scores)
    weights = np.exp(scores - largest[index])
    weights /= np.bincount(index, weights)[index]
    clips = np.zeros((len(names), values.shape[1]))
    np.add.at(clips, index, weights[:, None] * values)
    return names, softmax(clips, axis=1)


def probabilities_of_clip(outputs: npt.ArrayLike, num_classes: int, how: str = "mean") -> np.ndarray:
    """The class probabilities ``(K,)`` of one clip from what `FrameClassifier` says of its frames.

    Args:
        outputs: logits ``(N, K)``, with attention ``(N, K + 1)``.
        num_classes: K.
        how: as of `clip_probabilities`, which see for the errors.
    """
    logits, attention = logits_and_attention(outputs, num_classes)
    return clip_probabilities(logits, [0] * len(logits), how, attention)[1][0]


def logits_and_attention(outputs: npt.ArrayLike, num_classes: int) -> tuple[np.ndarray, np.ndarray | None]:
    """What `FrameClassifier` says of frames, ``(N, K)`` or ``(N, K + 1)``, as logits and scores of attention."""
    values = np.asarray(outputs, dtype=float)
    return values[:, :num_classes], values[:, num_classes] if values.shape[1] > num_classes else None


def check_clip_score(how: str, attention: bool = True) -> None:
    """Refuses what is none of `CLIP_SCORES`, or needs scores of the frames where there are none.

    Args:
        how: the word.
        attention: whether the network gives such scores.

    Raises:
        InputError: it is none, or needs what the network does not give.
    """
    if how not in CLIP_SCORES:
        raise InputError(f"clip_score: found {how!r}, expected one of {', '.join(CLIP_SCORES)}")
    if how == "attention" and not attention:
        raise InputError("clip_score: found 'attention', but the network gives no scores: train it with attention")


def class_aurocs(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> np.ndarray:
    """Area under the ROC curve of each class against all others ``(K,)``; NaN where one of the two sides is empty.

    The share of pairs of an item of the class and another in which the first is the more probable, equal ones counting
    half (Mann and Whitney).

    Args:
        labels: class indices ``(N,)``.
        probabilities: ``(N, K)``.
        weights: how often each item counts ``(N,)``, as a bootstrap draws it.
    """
    true, scores = np.asarray(labels, dtype=int), np.asarray(probabilities, dtype=float)
    if scores.ndim != 2 or true.shape != scores.shape[:1]:
        raise ValueError(f"labels {true.shape} and probabilities {scores.shape} do not fit")
    counts = np.ones(len(true)) if weights is None else np.asarray(weights, dtype=float)
    return np.array([_auroc(true == k, scores[:, k], counts) for k in range(scores.shape[1])])


def macro_auroc(labels: npt.ArrayLike, probabilities: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Mean of `class_aurocs` over the classes that have one; NaN without any."""
    values = class_aurocs(labels, probabilities, weights)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def main_figures(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> dict[str, float]:
    """Balanced accuracy, accuracy, macro F1, macro AUROC, ECE and Brier score, by name."""
    scores = np.asarray(probabilities, dtype=float)
    confusion = confusion_matrix(np.asarray(labels, dtype=int), scores.argmax(axis=1), scores.shape[1])
    return {
        "balanced_accuracy": float(balanced_accuracy(confusion)),
        "accuracy": float(accuracy(confusion)),
        "macro_f1": float(macro_f1(confusion)),
        "auroc": macro_auroc(labels, scores),
        "ece": expected_calibration_error(labels, scores),
        "brier": brier_score(labels, scores),
    }


def classification_report(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, class_names: Sequence[str]
) -> dict[str, Any]:
    """All that is said of the predictions of one kind of item (frames, clips or patients), ready for JSON.

    Args:
        labels: class indices ``(N,)``.
        probabilities: ``(N, K)``; the most probable class is the prediction.
        class_names: K names.

    Returns:
        ``items``, the `main_figures`, ``classes`` with for each class its ``items``, ``precision``, ``recall``, ``f1``
        and ``auroc`` (None where it has none), ``confusion`` (row true, column predicted) and ``reliability``.
    """
    true, scores = np.asarray(labels, dtype=int), np.asarray(probabilities, dtype=float)
    confusion = confusion_matrix(true, scores.argmax(axis=1), len(class_names))
    columns = {
        "precision": class_precisions(confusion),
        "recall": class_recalls(confusion),
        "f1": class_f1(confusion),
        "auroc": class_aurocs(true, scores),
    }
    return {
        "items": len(true),
        **{name: _plain(value) for name, value in main_figures(true, scores).items()},
        "classes": {
            name: {
                "items": int(confusion[k].sum()),
                **{column: _plain(values[k]) for column, values in columns.items()},
            }
            for k, name in enumerate(class_names)
        },
        "confusion": confusion.tolist(),
        "reliability": reliability(true, scores).to_dict(),
    }


def patients_of_one_class(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, patients: Sequence[Hashable]
) -> tuple[list[Hashable], np.ndarray, np.ndarray]:
    """From clips to patients, of those whose clips all have one label: ids (G), labels ``(G,)``, probabilities.

    A patient with clips of several classes has no label of its own and is left out. A patient's probabilities are the
    mean of its clips'.
    """
    true = np.asarray(labels, dtype=int)
    names, scores = mean_by_id(np.asarray(probabilities, dtype=float), patients)
    _, index = index_by_id(patients)
    of_patient = majority_by_id(true, patients)[1]
    differing = np.bincount(index, true != of_patient[index], minlength=len(names)) > 0
    kept = np.flatnonzero(~differing)
    return [names[i] for i in kept], of_patient[kept], scores[kept]


def _auroc(positive: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> float:
    _, tied = np.unique(scores, return_inverse=True)
    of_class, others = (
        np.bincount(tied, counts * side, minlength=tied.max(initial=-1) + 1) for side in (positive, ~positive)
    )
    pairs = of_class.sum() * others.sum()
    below = np.cumsum(others) - others
    return float((of_class * (below + others / 2)).sum() / pairs) if pairs > 0 else float("nan")


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
