# SPDX-License-Identifier: Apache-2.0
"""Small heads on top of a feature vector."""

from __future__ import annotations

from torch import nn


class ProjectionHead(nn.Sequential):
    """Linear, ReLU, linear: (N, in_dim) -> (N, out_dim), where the contrastive loss compares.

    With 512, 512 and 256 it is the projector of USCL (Chen et al., MICCAI 2021, arXiv 2011.13066, section 2.2).
    The projection is thrown away after pretraining; what is kept is the representation below it.

    Args:
        in_dim: length of the representation.
        hidden_dim: width of the hidden layer; ``in_dim`` when not given.
        out_dim: length of the projection.
    """

    def __init__(self, in_dim: int = 512, hidden_dim: int | None = None, out_dim: int = 256) -> None:
        hidden = in_dim if hidden_dim is None else hidden_dim
        super().__init__(nn.Linear(in_dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out_dim))


class LinearClassifier(nn.Linear):
    """One linear layer, (N, in_dim) -> logits (N, num_classes): what a frozen encoder is judged with.

    Args:
        in_dim: length of the feature.
        num_classes: K.
    """

    def __init__(self, in_dim: int, num_classes: int) -> None:
        super().__init__(in_dim, num_classes)
