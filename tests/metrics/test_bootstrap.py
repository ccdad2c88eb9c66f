# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from bundle.metrics import accuracy, bootstrap_interval, paired_difference
from bundle.metrics.bootstrap import _draw_groups


def clips(seed, n_groups=24, right=0.7):
    """Labels, predictions and groups of clips: a group has one to five clips and one class."""
    random = np.random.default_rng(seed)
    labels, groups = [], []
    for group in range(n_groups):
        size = random.integers(1, 6)
        labels += [group % 3] * size
        groups += [f"g{group}"] * size
    labels = np.array(labels)
    predictions = np.where(random.random(len(labels)) < right, labels, random.integers(0, 3, len(labels)))
    return labels, predictions, groups


def recall_mean(labels, predictions):
    recalls = []
    for c in sorted(set(labels)):
        of_class = [p for t, p in zip(labels, predictions, strict=True) if t == c]
        recalls.append(sum(p == c for p in of_class) / len(of_class))
    return sum(recalls) / len(recalls)


def slow_scores(labels, predictions, groups, resamples, seed):
    """Every resample written out: groups drawn class by class, their clips listed, the score counted."""
    random = np.random.default_rng(seed)
    names = sorted(set(groups))
    members = {g: [i for i, other in enumerate(groups) if other == g] for g in names}
    by_class = [[g for g in names if labels[members[g][0]] == c] for c in sorted(set(labels))]
    scores = []
    for _ in range(resamples):
        items = [
            i for of_class in by_class for g in random.choice(of_class, len(of_class), replace=True) for i in members[g]
        ]
        scores.append(recall_mean([labels[i] for i in items], [predictions[i] for i in items]))
    return np.array(scores)


def test_bounds_agree_with_the_slow_way():
    labels, predictions, groups = clips(0)
    found = bootstrap_interval(labels, predictions, groups, 3)
    slow = slow_scores(labels.tolist(), predictions.tolist(), groups, 4000, seed=5)
    assert found.value == pytest.approx(recall_mean(labels.tolist(), predictions.tolist()))
    assert [found.low, found.high] == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.012)


def test_a_resample_keeps_the_number_of_groups_of_each_class():
    strata = np.array([0, 0, 0, 1, 1, 2])
    counts = _draw_groups(strata, 500, seed=0)
    for c, n in ((0, 3), (1, 2), (2, 1)):
        assert (counts[:, strata == c].sum(axis=1) == n).all()
    assert counts.std(axis=0)[:5].min() > 0 and counts[:, 5].std() == 0


def test_clips_of_a_group_are_drawn_together():
    # ten clips of one patient are one observation: the interval is that of patients, far wider than that of clips
    labels = np.repeat([0, 0, 0, 0, 1, 1, 1, 1], 10)
    predictions = np.repeat([0, 0, 0, 1, 1, 1, 1, 0], 10)
    by_group = bootstrap_interval(labels, predictions, np.repeat(np.arange(8), 10).tolist(), 2)
    by_clip = bootstrap_interval(labels, predictions, list(range(80)), 2)
    assert by_group.high - by_group.low > 2 * (by_clip.high - by_clip.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Groups drawn from a known world, in which the balanced accuracy is 0.7 + 0.3 / 3 = 0.8."""
    inside = []
    for seed in range(80):
        found = bootstrap_interval(*clips(seed, n_groups=60), 3, resamples=500, seed=seed)
        inside.append(found.low <= 0.8 <= found.high)
    assert 0.86 <= np.mean(inside) <= 1.0


def test_seeds_are_averaged_on_the_same_resample():
    labels, predictions, groups = clips(1)
    once = bootstrap_interval(labels, predictions, groups, 3, resamples=300)
    twice = bootstrap_interval(labels, np.stack([predictions, predictions]), groups, 3, resamples=300)
    assert twice == once
    other = clips(2)[1][: len(labels)]
    other = np.resize(other, len(labels))
    both = bootstrap_interval(labels, np.stack([predictions, other]), groups, 3, resamples=300)
    alone = bootstrap_interval(labels, other, groups, 3, resamples=300)
    assert both.value == pytest.approx((once.value + alone.value) / 2)


def test_difference_of_a_method_with_itself_is_exactly_nothing():
    labels, predictions, groups = clips(3)
    found = paired_difference(labels, predictions, np.stack([predictions] * 3), groups, 3)
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 0), abs=1e-12)
    found = paired_difference(labels, predictions, predictions, groups, 3)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_difference_is_paired_and_signed():
    labels, predictions, groups = clips(4, right=0.5)
    better = predictions.copy()
    wrong = np.flatnonzero(better != labels)[::2]
    better[wrong] = labels[wrong]
    found = paired_difference(labels, better, predictions, groups, 3)
    ends = [bootstrap_interval(labels, p, groups, 3) for p in (better, predictions)]
    assert found.value == pytest.approx(ends[0].value - ends[1].value)
    assert found.low >= 0 and found.low <= found.value <= found.high
    # pairing takes out what both share: narrower than either alone
    assert found.high - found.low < min(end.high - end.low for end in ends)
    turned = paired_difference(labels, predictions, better, groups, 3)
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_order_of_the_items_does_not_matter():
    labels, predictions, groups = clips(5)
    order = np.random.default_rng(0).permutation(len(labels))
    moved = bootstrap_interval(labels[order], predictions[order], [groups[i] for i in order], 3, resamples=400)
    assert moved == bootstrap_interval(labels, predictions, groups, 3, resamples=400)


def test_a_class_that_a_resample_lacks_gives_no_nan():
    # class 2 lives only as a minority in one group of class 0, so many resamples lack it
    labels, predictions = np.array([0, 0, 2, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 0, 1, 0])
    found = bootstrap_interval(labels, predictions, ["a", "a", "a", "b", "c", "d", "e"], 3, resamples=500)
    assert np.isfinite([found.value, found.low, found.high]).all()


def test_another_statistic_and_level():
    labels, predictions, groups = clips(6)
    wide = bootstrap_interval(labels, predictions, groups, 3, statistic=accuracy)
    narrow = bootstrap_interval(labels, predictions, groups, 3, statistic=accuracy, level=0.5)
    assert wide.value == pytest.approx(np.mean(labels == predictions))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="fit"):
        bootstrap_interval([0, 1], [0, 1, 1], ["a", "b"], 2)
    with pytest.raises(ValueError, match="fit"):
        bootstrap_interval([], [], [], 2)
