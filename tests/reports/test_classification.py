# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from bundle.reports import pool_folds
from bundle.reports.classification import classified, difference, level_of


def folded(made, seed, right=0.6):
    """Two folds of six patients."""
    return pool_folds(
        {
            f"fold{k}": made(seed=10 * seed + k, right=right, fold=str(k), patients=range(6 * k, 6 * k + 6))
            for k in range(2)
        }
    )


def slow_balanced(items):
    return balanced_accuracy_score([i["label"] for i in items], [int(np.argmax(i["probabilities"])) for i in items])


def test_figures_are_the_means_of_the_seeds_pooled_over_folds(made):
    runs = [folded(made, seed) for seed in range(3)]
    found = classified(runs)
    assert found["per_frame"]["balanced_accuracy"] == pytest.approx(np.mean([slow_balanced(r.items) for r in runs]))
    assert found["per_clip"]["balanced_accuracy"] == pytest.approx(np.mean([slow_balanced(r.clips) for r in runs]))
    assert found["per_clip"]["of_seeds"]["balanced_accuracy"] == pytest.approx([slow_balanced(r.clips) for r in runs])
    aucs = [
        roc_auc_score([c["label"] for c in r.clips], [c["probabilities"] for c in r.clips], multi_class="ovr")
        for r in runs
    ]
    assert found["per_clip"]["auroc"] == pytest.approx(np.mean(aucs))
    assert found["per_clip"]["intervals"]["auroc"]["value"] == pytest.approx(np.mean(aucs))
    assert (found["per_frame"]["items"], found["per_clip"]["items"], found["per_patient"]["items"]) == (72, 24, 12)
    assert np.sum(found["per_clip"]["confusion"]) == 3 * 24
    of_folds = np.array(
        [[slow_balanced([c for c in r.clips if r.folds[c["video_id"]] == k]) for r in runs] for k in "01"]
    )
    assert found["over_folds"]["per_fold"] == pytest.approx(dict(zip("01", of_folds.mean(axis=1), strict=True)))
    assert found["over_folds"]["mean"] == pytest.approx(of_folds.mean())
    assert found["over_folds"]["spread"] == pytest.approx(of_folds.std(axis=0, ddof=1).mean())


def test_a_patient_of_two_classes_has_no_label(made):
    run = made()
    for item in [*run.items, *run.clips]:
        if item["video_id"] == "lung/0_1":
            item["label"] = 1
    level = level_of([run], "patient")
    assert len(level.labels) == 11 and level.of == 12 and "lung/0" not in level.patients
    clips = [clip for clip in run.clips if clip["patient_id"] == "lung/4"]
    place = level.patients.index("lung/4")
    assert level.probabilities[0, place] == pytest.approx(np.mean([clip["probabilities"] for clip in clips], axis=0))
    for item in [*run.items, *run.clips]:
        item["label"] = (item["label"] + int(item["video_id"][-1])) % 3
    assert level_of([run], "patient") is None and classified([run])["per_patient"] is None


def test_an_encoder_is_as_good_as_itself_and_a_better_one_is_better(made):
    runs, better = [made(seed=1, right=0.5)], [made(seed=2, right=1.0), made(seed=3, right=1.0)]
    same = difference(runs, runs, "clip")
    assert (same.value, same.low, same.high) == (0, 0, 0)
    gain = difference(better, runs, "clip")
    expected = np.mean([slow_balanced(run.clips) for run in better]) - slow_balanced(runs[0].clips)
    assert gain.value == pytest.approx(expected) and gain.low > 0
    frames = difference(better, runs, "frame", "accuracy")
    told = [np.mean([np.argmax(i["probabilities"]) == i["label"] for i in run.items]) for run in [*better, *runs]]
    assert frames.value == pytest.approx(np.mean(told[:2]) - told[2])
