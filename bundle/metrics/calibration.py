# SPDX-License-Identifier: Apache-2.0
"""Whether probabilities can be taken at their word."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: for each of M bins of confidence the items in it, their confidence and their accuracy.

    ``confidence`` and ``accuracy`` are means over the bin's items, None in an empty bin.
    """

    edges: list[float]
    counts: list[int]
    confidence: list[float | None]
    accuracy: list[float | None]

    def to_dict(self) -> dict[str, list]:
        """For JSON."""
        return asdict(self)


def reliability(labels: npt.ArrayLike, probabilities: npt.ArrayLike, n_bins: int = 10) -> Reliability:
    """How often the most probable class is right, by how probable it was said to be.

    Args:
        labels: class indices ``(N,)``.
        probabilities: ``(N, K)``.
        n_bins: equal bins ``(lower, upper]`` of 0 to 1.
    """
    true, confidence, right = _top(labels, probabilities)
    index = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    counts = np.bincount(index, minlength=n_bins)
    means = []
    for values in (confidence, right):
        sums = np.bincount(index, values, minlength=n_bins)
        means.append([float(total / count) if count else None for total, count in zip(sums, counts, strict=True)])
    return Reliability(np.linspace(0, 1, n_bins + 1).tolist(), counts.tolist(), *means)


def expected_calibration_error(labels: npt.ArrayLike, probabilities: npt.ArrayLike, n_bins: int = 10) -> float:
    """ECE (Guo et al., ICML 2017, equation 5): the bins' distance of accuracy and confidence, weighted by their items.

    0 is best, 1 worst; NaN without any item. With few items it is biased upwards. See `reliability`.
    """
    bins = reliability(labels, probabilities, n_bins)
    total = sum(bins.counts)
    if not total:
        return float("nan")
    gaps = zip(bins.counts, bins.accuracy, bins.confidence, strict=True)
    return (
        sum(count * abs(right - said) for count, right, said in gaps if right is not None and said is not None) / total
    )


def brier_score(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Mean over items of the squared distance of the probabilities to the true class, summed over classes.

    Brier, Monthly Weather Review 1950, equation 2: 0 is best, 2 worst; 1 - 1 / K is what equal probabilities give. NaN
    without any item.
    """
    scores = np.asarray(probabilities, dtype=float)
    truth = np.eye(scores.shape[1])[np.asarray(labels, dtype=int)]
    return float(((scores - truth) ** 2).sum(axis=1).mean()) if len(scores) else float("nan")


def _top(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    true, scores = np.asarray(labels, dtype=int), np.asarray(probabilities, dtype=float)
    if scores.ndim != 2 or true.shape != scores.shape[:1]:
        raise ValueError(f"labels {true.shape} and probabilities {scores.shape} do not fit")
    return true, scores.max(axis=1), (scores.argmax(axis=1) == true).astype(float)
