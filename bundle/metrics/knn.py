# SPDX-License-Identifier: Apache-2.0
"""Weighted k-nearest-neighbour classification of frozen features."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def knn_probabilities(
    features: torch.Tensor,
    gallery: torch.Tensor,
    gallery_labels: torch.Tensor,
    n_classes: int,
    k: int = 20,
    temperature: float = 0.07,
    chunk: int = 1024,
) -> torch.Tensor:
    """Class probabilities of ``features`` from their nearest neighbours in a labelled gallery.

    Cosine similarity s; each of the ``k`` nearest gallery items votes for its class with weight
    ``exp(s / temperature)``; the votes are divided by their sum (Wu et al., "Unsupervised Feature Learning via
    Non-Parametric Instance Discrimination", CVPR 2018, section 3.4).

    Differs from the paper: k = 20 instead of 200, for galleries of a few hundred frames.

    Args:
        features: queries ``(N, D)``.
        gallery: reference items ``(M, D)``, M > 0.
        gallery_labels: class indices ``(M,)``, 0 to ``n_classes - 1``.
        n_classes: number of classes K.
        k: neighbours; with fewer than ``k`` items in the gallery all of them vote.
        temperature: how fast a neighbour's weight falls with its distance.
        chunk: queries compared at once; bounds the memory at ``chunk x M``.

    Returns:
        Probabilities ``(N, K)``, float32, rows sum to 1.

    Raises:
        ValueError: empty gallery, sizes that do not fit, or a label outside the classes.
    """
    if len(gallery) == 0:
        raise ValueError("the gallery of the k-NN probe is empty")
    if features.ndim != 2 or gallery.ndim != 2 or features.shape[1] != gallery.shape[1]:
        raise ValueError(f"features {tuple(features.shape)} and gallery {tuple(gallery.shape)} must be (N, D), (M, D)")
    labels = gallery_labels.to(device=features.device, dtype=torch.long)
    if labels.shape != (len(gallery),) or int(labels.min()) < 0 or int(labels.max()) >= n_classes:
        raise ValueError(f"gallery labels must be {len(gallery)} class indices from 0 to {n_classes - 1}")
    reference = F.normalize(gallery.to(features).float(), dim=1)
    k = min(k, len(reference))
    probabilities = torch.zeros(len(features), n_classes, device=features.device)
    for start in range(0, len(features), chunk):
        queries = F.normalize(features[start : start + chunk].float(), dim=1)
        similarity, index = (queries @ reference.T).topk(k, dim=1)
        # relative to the nearest: the same after division by the sum, and no overflow at a small temperature
        weight = torch.exp((similarity - similarity[:, :1]) / temperature)
        probabilities[start : start + chunk].scatter_add_(1, labels[index], weight / weight.sum(dim=1, keepdim=True))
    return probabilities
