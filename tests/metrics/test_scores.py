# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from bundle.metrics import (
    accuracy,
    balanced_accuracy,
    class_f1,
    class_precisions,
    class_recalls,
    confusion_matrix,
    macro_f1,
    majority_by_id,
    mean_by_id,
)


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_sklearn(seed):
    random = np.random.default_rng(seed)
    labels, predictions = random.integers(0, 4, (2, 60))
    confusion = confusion_matrix(labels, predictions, 4)
    assert (confusion == reference.confusion_matrix(labels, predictions, labels=range(4))).all()
    assert balanced_accuracy(confusion) == pytest.approx(reference.balanced_accuracy_score(labels, predictions))
    assert accuracy(confusion) == pytest.approx(reference.accuracy_score(labels, predictions))
    assert class_recalls(confusion) == pytest.approx(reference.recall_score(labels, predictions, average=None))
    assert class_precisions(confusion) == pytest.approx(reference.precision_score(labels, predictions, average=None))
    assert class_f1(confusion) == pytest.approx(reference.f1_score(labels, predictions, average=None))
    assert macro_f1(confusion) == pytest.approx(reference.f1_score(labels, predictions, average="macro"))


def test_an_absent_class_is_left_out_not_zero():
    confusion = confusion_matrix([0, 0, 2, 2], [0, 1, 2, 2], 3)
    assert balanced_accuracy(confusion) == pytest.approx((0.5 + 1.0) / 2)
    assert np.isnan(class_recalls(confusion)[1]) and class_precisions(confusion)[1] == 0
    assert macro_f1(confusion) == pytest.approx((2 / 3 + 1) / 2)
    never = confusion_matrix([0, 1], [0, 0], 3)
    assert class_f1(never)[:2] == pytest.approx([2 / 3, 0]) and np.isnan(class_f1(never)[2])
    assert np.isnan(class_precisions(never)[1:]).all() and macro_f1(never) == pytest.approx(1 / 3)


def test_no_items_give_nan_without_a_warning(recwarn):
    empty = np.zeros((2, 3, 3))
    for score in (balanced_accuracy, accuracy, macro_f1):
        assert np.isnan(score(empty)).all()
    assert len(recwarn) == 0


def test_many_matrices_at_once():
    random = np.random.default_rng(0)
    many = random.integers(0, 9, (4, 5, 3, 3))
    for score in (balanced_accuracy, accuracy, macro_f1):
        assert np.allclose(score(many), [[score(one) for one in row] for row in many])


@pytest.mark.parametrize("predictions", [[0, 3], [0, -1], [0]])
def test_bad_predictions_are_refused(predictions):
    with pytest.raises(ValueError):
        confusion_matrix([0, 1], predictions, 3)


def test_frames_to_clips_to_patients():
    frames = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [0.2, 0.8]])
    clips, scores = mean_by_id(frames, ["b", "a", "b", "c", "b"])
    assert clips == ["b", "a", "c"]
    assert np.allclose(scores, [[1.7 / 3, 1.3 / 3], [0.0, 1.0], [1.0, 0.0]])
    patients, scores = mean_by_id(scores, ["y", "x", "y"])
    assert patients == ["y", "x"]
    # a clip of three frames weighs as much as a clip of one
    assert np.allclose(scores, [[(1.7 / 3 + 1) / 2, 1.3 / 6], [0.0, 1.0]])


def test_majority_takes_the_lowest_of_equals():
    assert majority_by_id([2, 1, 0, 2, 1], ["p", "q", "q", "p", "r"])[1].tolist() == [2, 0, 1]


def test_lengths_must_fit():
    with pytest.raises(ValueError, match="ids"):
        mean_by_id(np.zeros((3, 2)), ["a", "b"])
    with pytest.raises(ValueError, match="ids"):
        majority_by_id([0, 1, 1], ["a", "b"])
