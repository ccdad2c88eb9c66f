# SPDX-License-Identifier: Apache-2.0
"""Figures of probabilities against scikit-learn, counting by hand, and known values."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from bundle.errors import InputError
from bundle.metrics import (
    balanced_accuracy,
    brier_score,
    class_aurocs,
    classification_report,
    clip_probabilities,
    confusion_matrix,
    expected_calibration_error,
    macro_auroc,
    main_figures,
    patients_of_one_class,
    reliability,
)


def made_up(seed: int, n: int = 60, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities that know something of them, some of them equal."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, k, n)
    return labels, softmax(np.round(random.normal(size=(n, k)) + 1.5 * np.eye(k)[labels], 1), axis=1)


@pytest.mark.parametrize("seed", range(4))
def test_aurocs_equal_sklearn_with_ties_and_weights(seed):
    labels, scores = made_up(seed)
    scores = scores.round(1)  # ties
    drawn = np.random.default_rng(seed + 9).integers(0, 4, len(labels))
    for weights in (None, drawn):
        expected = [roc_auc_score(labels == k, scores[:, k], sample_weight=weights) for k in range(4)]
        assert class_aurocs(labels, scores, weights) == pytest.approx(expected)
        assert macro_auroc(labels, scores, weights) == pytest.approx(np.mean(expected))
    repeated = np.repeat(np.arange(len(labels)), drawn)
    assert class_aurocs(labels, scores, drawn) == pytest.approx(class_aurocs(labels[repeated], scores[repeated]))


def test_an_auroc_needs_both_sides(recwarn):
    labels, scores = np.array([0, 0, 1]), np.array([[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.5, 0.5, 0.0]])
    values = class_aurocs(labels, scores)
    assert values[:2] == pytest.approx([0.5, 0.5]) and np.isnan(values[2]) and macro_auroc(labels, scores) == 0.5
    assert np.isnan(macro_auroc([0, 0], scores[:2])) and np.isnan(class_aurocs([], np.zeros((0, 3)))).all()
    assert len(recwarn) == 0


def slow_ece(labels: np.ndarray, scores: np.ndarray, n_bins: int) -> float:
    total = 0.0
    for lower, upper in zip(np.arange(n_bins) / n_bins, (np.arange(n_bins) + 1) / n_bins, strict=True):
        chosen = [i for i, row in enumerate(scores) if lower < row.max() <= upper]
        if chosen:
            right = np.mean([scores[i].argmax() == labels[i] for i in chosen])
            total += len(chosen) / len(labels) * abs(right - np.mean([scores[i].max() for i in chosen]))
    return total


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_bins", [1, 7, 10])
def test_calibration_equals_counting(seed, n_bins):
    labels, scores = made_up(seed)
    assert expected_calibration_error(labels, scores, n_bins) == pytest.approx(slow_ece(labels, scores, n_bins))
    bins = reliability(labels, scores, n_bins)
    assert sum(bins.counts) == len(labels) and len(bins.edges) == n_bins + 1
    right = sum(count * share for count, share in zip(bins.counts, bins.accuracy, strict=True) if share is not None)
    assert right == pytest.approx((scores.argmax(axis=1) == labels).sum())
    pairs = zip(labels, scores, strict=True)
    slow = np.mean([sum((p - (k == label)) ** 2 for k, p in enumerate(row)) for label, row in pairs])
    assert brier_score(labels, scores) == pytest.approx(slow)


def test_known_calibration():
    sure = np.eye(2)[[0, 1, 1, 0]]
    assert expected_calibration_error([0, 1, 1, 0], sure) == 0 and brier_score([0, 1, 1, 0], sure) == 0
    assert expected_calibration_error([1, 0, 0, 1], sure) == 1 and brier_score([1, 0, 0, 1], sure) == 2
    honest = np.full((4, 2), [0.75, 0.25])
    assert expected_calibration_error([0, 0, 0, 1], honest) == pytest.approx(0)
    assert brier_score([0, 0], np.full((2, 2), 0.5)) == pytest.approx(1 - 1 / 2)
    assert np.isnan(expected_calibration_error([], np.zeros((0, 2)))) and np.isnan(brier_score([], np.zeros((0, 2))))


def test_clips_from_frames():
    logits = np.log([[0.6, 0.4], [0.2, 0.8], [0.9, 0.1], [0.5, 0.5]])
    ids = ["a", "a", "b", "a"]
    names, mean = clip_probabilities(logits, ids, "mean")
    assert names == ["a", "b"] and mean == pytest.approx(np.array([[1.3 / 3, 1.7 / 3], [0.9, 0.1]]))
    _, highest = clip_probabilities(logits, ids, "max")
    assert highest == pytest.approx(np.array([[0.6 / 1.4, 0.8 / 1.4], [0.9, 0.1]]))
    with pytest.raises(InputError, match="clip_score: found 'median'"):
        clip_probabilities(logits, ids, "median")


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_attention_is_a_weighted_mean_of_logits(shift):
    random = np.random.default_rng(0)
    logits, scores = random.normal(size=(5, 3)), random.normal(size=5) + shift
    _, found = clip_probabilities(logits, ["a", "b", "a", "b", "a"], "attention", scores)
    for row, chosen in zip(found, ([0, 2, 4], [1, 3]), strict=True):
        weights = softmax(scores[chosen])
        assert row == pytest.approx(softmax(sum(w * logits[i] for w, i in zip(weights, chosen, strict=True))))
    far = np.array([100.0, 0, 0, 0, 0])
    assert clip_probabilities(logits, ["a"] * 5, "attention", far)[1][0] == pytest.approx(softmax(logits[0]))


def test_the_report_holds_the_figures_as_json():
    labels, scores = made_up(1)
    labels[labels == 3] = 0
    report = classification_report(labels, scores, ["a", "b", "c", "d"])
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    confusion = confusion_matrix(labels, scores.argmax(axis=1), 4)
    assert report["confusion"] == confusion.tolist() and report["items"] == 60
    assert report["balanced_accuracy"] == pytest.approx(balanced_accuracy(confusion))
    assert report["classes"]["d"]["items"] == 0 and report["classes"]["d"]["recall"] is None
    assert report["classes"]["b"]["recall"] == pytest.approx(confusion[1, 1] / confusion[1].sum())
    assert report["classes"]["b"]["precision"] == pytest.approx(confusion[1, 1] / confusion[:, 1].sum())
    assert main_figures(labels, scores)["accuracy"] == pytest.approx(np.trace(confusion) / 60)


def test_patients_with_one_label_only():
    scores = np.array([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9], [0.3, 0.7]])
    names, labels, means = patients_of_one_class([0, 0, 1, 0], scores, ["p", "p", "q", "q"])
    assert names == ["p"] and labels.tolist() == [0] and means == pytest.approx(np.array([[0.6, 0.4]]))
