# SPDX-License-Identifier: Apache-2.0
"""The network of frame and clip classification."""

from __future__ import annotations

import torch
from torch import nn

from ..errors import InputError
from .encoder import Encoder
from .heads import LinearClassifier


class FrameClassifier(nn.Module):
    """Frames (N, C, H, W) -> class logits (N, K), with ``attention`` (N, K + 1).

    One linear layer on the pooled feature. With attention the last column is the frame's attention score; a clip's
    logits are the mean of its frames' logits, weighted by the softmax of the scores over the clip's frames. Since the
    classifier is linear this is the same as pooling the features by attention (Ilse et al., ICML 2018, equation 9, the
    gated form) and classifying the pooled feature, and the network still takes single frames.

    Args:
        encoder: what is fine-tuned.
        num_classes: K, 2 or more.
        attention: see above.
        dropout: share of the pooled feature that is dropped in training.

    Raises:
        InputError: fewer than two classes.
    """

    def __init__(self, encoder: Encoder, num_classes: int, attention: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        if num_classes < 2:
            raise InputError(f"found {num_classes} class, expected at least 2 to tell apart; label more clips")
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.classifier = LinearClassifier(encoder.feature_dim, num_classes)
        self.attention = GatedAttention(encoder.feature_dim) if attention else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.encoder(x)
        logits = self.classifier(self.dropout(features))
        if self.attention is not None:
            logits = torch.cat([logits, self.attention(features)], dim=1)
        return logits


class GatedAttention(nn.Module):
    """Features (N, D) -> scores (N, 1): ``w (tanh(V h) * sigmoid(U h))`` (Ilse et al., ICML 2018, equation 9)."""

    def __init__(self, in_dim: int, hidden_dim: int = 64) -> None:
        super().__init__()
        self.content = nn.Linear(in_dim, hidden_dim)
        self.gate = nn.Linear(in_dim, hidden_dim)
        self.score = nn.Linear(hidden_dim, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.score(torch.tanh(self.content(features)) * torch.sigmoid(self.gate(features)))
