# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.metrics import (
    ProbeResult,
    markdown_table,
    paired_difference,
    seeds_difference,
    seeds_interval,
    summarise,
)


def result(seed=0, right=0.7, n=40, order=None):
    """Clips of 20 groups in two classes and four folds, a share of them classified rightly."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) // 2 % 2
    chosen = np.where(random.random(n) < right, labels, 1 - labels)
    order = np.arange(n) if order is None else order
    groups = [f"g{i // 2}" for i in order]
    folds = [int(i) // 4 % 4 for i in order]
    return ProbeResult.from_frames(
        "knn", np.eye(2)[chosen][order], [f"c{i}" for i in order], labels[order], groups, folds, ["a", "b"], []
    )


def test_seeds_are_averaged_and_clips_matched_by_id():
    shuffled = np.random.default_rng(3).permutation(40)
    first, second = [result(0), result(1)], [result(2, right=0.5), result(3, right=0.5), result(4, right=0.5)]
    found = seeds_difference(first, second)
    assert found.value == pytest.approx(np.mean([r.per_clip for r in first]) - np.mean([r.per_clip for r in second]))
    assert seeds_difference([result(0, order=shuffled), result(1)], second) == found
    assert seeds_interval(first).value == pytest.approx(np.mean([r.per_clip for r in first]))

    def chosen(results):
        return np.array([[clip.predicted for clip in r.clips] for r in results])

    labels, groups = [clip.label for clip in first[0].clips], [clip.group for clip in first[0].clips]
    assert found == paired_difference(labels, chosen(first), chosen(second), groups, 2)
    assert seeds_difference(first, first).to_dict() == {"value": 0, "low": 0, "high": 0, "level": 0.95}


def test_other_clips_or_labels_cannot_be_compared():
    whole = result()
    with pytest.raises(InputError, match="clip c39 is in one only"):
        seeds_difference([whole], [replace(whole, clips=whole.clips[:-1])])
    with pytest.raises(InputError, match="classes differ"):
        seeds_difference([whole], [replace(whole, class_names=["a", "c"])])
    changed = [replace(whole.clips[0], label=1), *whole.clips[1:]]
    with pytest.raises(InputError, match="clip c0 has two labels"):
        seeds_difference([whole], [replace(whole, clips=changed)])


def test_summary_and_table():
    rows = summarise({"untrained": [result(0, 0.5), result(1, 0.5)], "ours": [result(2, 0.9)]}, ["untrained"])
    json.dumps(rows, allow_nan=False)
    untrained, ours = rows
    assert untrained["difference"] == {} and list(ours["difference"]) == ["untrained"]
    assert ours["difference"]["untrained"]["value"] == pytest.approx(ours["per_clip"] - untrained["per_clip"])
    assert (untrained["seeds"], untrained["folds"]) == (2, 4)
    assert untrained["fold_spread"] == pytest.approx(np.mean([result(s, 0.5).fold_spread for s in (0, 1)]))
    lines = markdown_table(rows).splitlines()
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    assert f"| {ours['per_clip']:.2f} |" in lines[3] and "per clip minus untrained" in lines[0]
    low, high = untrained["per_clip_range"]
    assert f"({low:.2f} to {high:.2f})" in lines[2]
