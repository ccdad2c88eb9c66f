# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch

from bundle.metrics import knn_probabilities


def slow_knn(features, gallery, labels, n_classes, k, temperature):
    rows = []
    for query in features.tolist():
        votes = []
        for item, label in zip(gallery.tolist(), labels.tolist(), strict=True):
            dot = sum(a * b for a, b in zip(query, item, strict=True))
            norm = math.sqrt(sum(a * a for a in query)) * math.sqrt(sum(b * b for b in item))
            votes.append((dot / norm, label))
        votes.sort(reverse=True)
        row = [0.0] * n_classes
        for similarity, label in votes[:k]:
            row[label] += math.exp(similarity / temperature)
        rows.append([value / sum(row) for value in row])
    return torch.tensor(rows)


@pytest.mark.parametrize("k", [1, 3, 20, 500])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_equals_the_slow_way(k, temperature):
    random = torch.Generator().manual_seed(0)
    features, gallery = torch.randn(23, 7, generator=random), torch.randn(40, 7, generator=random)
    labels = torch.randint(0, 4, (40,), generator=random)
    fast = knn_probabilities(features, gallery, labels, 5, k, temperature, chunk=6)
    assert torch.allclose(fast, slow_knn(features, gallery, labels, 5, k, temperature), atol=1e-5)
    assert torch.allclose(fast.sum(1), torch.ones(23))
    assert (fast[:, 4] == 0).all()


def test_known_weights():
    gallery = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    found = knn_probabilities(torch.tensor([[2.0, 0.0]]), gallery, torch.tensor([0, 1, 1]), 2, k=2, temperature=0.5)
    weight = math.exp(2.0)
    assert found[0].tolist() == pytest.approx([weight / (weight + 1), 1 / (weight + 1)], abs=1e-6)


def test_a_small_temperature_does_not_overflow():
    features = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    found = knn_probabilities(features, features, torch.arange(5), 5, temperature=1e-4)
    assert torch.allclose(found, torch.eye(5))


def test_length_of_features_and_order_of_gallery_do_not_matter():
    random = torch.Generator().manual_seed(2)
    features, gallery = torch.randn(9, 6, generator=random), torch.randn(30, 6, generator=random)
    labels = torch.randint(0, 3, (30,), generator=random)
    expected = knn_probabilities(features, gallery, labels, 3, k=5)
    order = torch.randperm(30, generator=random)
    assert torch.allclose(
        knn_probabilities(3 * features, 7 * gallery[order], labels[order], 3, k=5), expected, atol=1e-5
    )


@pytest.mark.parametrize(
    ("gallery", "labels"),
    [
        (torch.zeros(0, 3), torch.zeros(0)),
        (torch.ones(2, 4), torch.tensor([0, 1])),
        (torch.ones(2, 3), torch.tensor([0, 2])),
        (torch.ones(2, 3), torch.tensor([-1, 1])),
        (torch.ones(2, 3), torch.tensor([0])),
    ],
)
def test_what_does_not_fit_is_refused(gallery, labels):
    with pytest.raises(ValueError, match="gallery"):
        knn_probabilities(torch.ones(1, 3), gallery, labels, 2)
