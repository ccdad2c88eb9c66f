# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bundle.metrics import fit_linear_probe
from bundle.metrics.linear_probe import C_GRID


def frames(seed=0, n_clips=30, n_classes=3, dim=6, signal=1.0):
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 6, n_clips)
    clip_labels = np.arange(n_clips) % n_classes
    clips = np.repeat(np.arange(n_clips), lengths)
    labels = clip_labels[clips]
    features = random.normal(size=(len(clips), dim)) * 3 + 5
    features[:, :n_classes] += signal * 3 * np.eye(n_classes)[labels]
    return features, labels, clips.tolist(), clips // n_classes % 4


@pytest.mark.parametrize("n_classes", [2, 3])
def test_equals_a_pipeline_of_sklearn(n_classes):
    features, labels, clips, folds = frames(n_classes=n_classes)
    probe = fit_linear_probe(features, labels, clips, folds, n_classes, grid=[0.1])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000))
    assert np.allclose(probe.probabilities(features), model.fit(features, labels).predict_proba(features), atol=1e-6)


def test_c_is_the_best_of_the_inner_folds_per_clip():
    features, labels, clips, folds = frames(seed=4, signal=0.5)
    probe = fit_linear_probe(features, labels, clips, folds, 3)
    scores = []
    for c in C_GRID:
        votes = {}
        for fold in sorted(set(folds)):
            train, test = folds != fold, folds == fold
            model = make_pipeline(StandardScaler(), LogisticRegression(C=c, class_weight="balanced", max_iter=2000))
            model.fit(features[train], labels[train])
            for i, row in zip(np.flatnonzero(test), model.predict_proba(features[test]), strict=True):
                votes.setdefault((clips[i], int(labels[i])), []).append(row)
        right = {k: [] for k in range(3)}
        for (_, label), rows in votes.items():
            right[label].append(np.mean(rows, axis=0).argmax() == label)
        scores.append(np.mean([np.mean(values) for values in right.values()]))
    assert len(set(scores)) > 1, "the example must tell the values of C apart"
    assert probe.c == C_GRID[int(np.argmax(scores))]


def test_scale_and_shift_of_a_feature_do_not_matter():
    features, labels, clips, folds = frames(seed=1)
    moved = features * np.array([1e-3, 1, 10, 100, 1, 1e3]) + np.arange(6) * 100
    same = fit_linear_probe(features, labels, clips, folds, 3).probabilities(features)
    assert np.allclose(fit_linear_probe(moved, labels, clips, folds, 3).probabilities(moved), same, atol=1e-5)


def test_a_constant_feature_is_harmless():
    features, labels, clips, folds = frames(seed=2)
    features[:, 5] = 0.1
    probabilities = fit_linear_probe(features, labels, clips, folds, 3).probabilities(features)
    assert np.isfinite(probabilities).all()


def test_a_class_never_seen_has_probability_zero():
    features, labels, clips, folds = frames(n_classes=2)
    probabilities = fit_linear_probe(features, labels * 2, clips, folds, 4).probabilities(features)
    assert (probabilities[:, [1, 3]] == 0).all() and np.allclose(probabilities.sum(axis=1), 1)


def test_without_inner_folds_c_is_the_middle_one():
    features, labels, clips, _ = frames()
    assert fit_linear_probe(features, labels, clips, np.zeros(len(labels)), 3).c == C_GRID[3]
