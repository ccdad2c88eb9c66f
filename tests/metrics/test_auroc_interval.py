# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from bundle.metrics import auroc_interval, macro_auroc, weighted_interval


def predictions(n_groups=9, seeds=2):
    random = np.random.default_rng(0)
    sizes = random.integers(1, 4, n_groups)
    groups = [f"g{n_groups - g}" for g, size in enumerate(sizes) for _ in range(size)]
    labels = np.array([g % 3 for g, size in enumerate(sizes) for _ in range(size)])
    scores = random.dirichlet([1, 1, 1], (seeds, len(labels))) + 0.3 * np.eye(3)[labels]
    return labels, np.round(scores / scores.sum(axis=2, keepdims=True), 1), groups  # rounded: some are tied


def test_it_is_that_of_the_weighted_area_of_each_resample():
    labels, scores, groups = predictions()
    names = sorted(set(groups))
    index = np.array([names.index(group) for group in groups])

    def slow(counts):
        return np.array([np.mean([macro_auroc(labels, row, drawn[index]) for row in scores]) for drawn in counts])

    fast = auroc_interval(labels, scores, groups, resamples=300)
    assert fast.to_dict() == pytest.approx(weighted_interval(labels, groups, slow, resamples=300).to_dict())
    assert fast.value == pytest.approx(np.mean([macro_auroc(labels, row) for row in scores]))
    assert fast.low < fast.value < fast.high


def test_items_in_another_order_give_the_same():
    labels, scores, groups = predictions()
    order = np.random.default_rng(1).permutation(len(labels))
    mixed = auroc_interval(labels[order], scores[:, order], [groups[i] for i in order], resamples=100)
    assert mixed.to_dict() == pytest.approx(auroc_interval(labels, scores, groups, resamples=100).to_dict())


def test_one_class_has_no_area():
    one = auroc_interval([0, 0], np.full((1, 2, 2), 0.5), ["a", "b"], resamples=10)
    assert np.isnan([one.value, one.low, one.high]).all()
