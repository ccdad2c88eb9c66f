# SPDX-License-Identifier: Apache-2.0
"""Cross entropy of frames that carry their clip's label, or of clips whose frames are weighed by attention."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InputError


class FrameClassificationLoss(nn.Module):
    """Cross entropy of a `FrameClassifier` on clips.

    Without attention every frame has its clip's label, as in USCL (Chen et al., MICCAI 2021); with attention the clip's
    logits, the mean of its frames' weighted by the softmax of their scores, have it. With class weights it is the
    weighted mean of torch's `cross_entropy`.

    Args:
        num_classes: K.
        attention: whether the network gives an attention score beside the logits.
        class_weights: ``(K,)``.

    Attributes:
        parts: detached scalars of the last call, for logging: ``train_accuracy``, of frames or of clips.
    """

    def __init__(self, num_classes: int, attention: bool = False, class_weights: torch.Tensor | None = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.attention = attention
        self.class_weights: torch.Tensor | None
        self.register_buffer("class_weights", class_weights)
        self.parts: dict[str, torch.Tensor] = {}

    def forward(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss as a scalar.

        Args:
            outputs: ``(B, T, K)``, with attention ``(B, T, K + 1)``.
            labels: class indices ``(B,)``.

        Raises:
            InputError: another number of columns.
        """
        if outputs.shape[-1] != self.num_classes + self.attention:
            raise InputError(
                f"loss: found outputs of {outputs.shape[-1]} columns, expected {self.num_classes} classes"
                f"{' and an attention score' if self.attention else ''}; give network and loss the same settings"
            )
        logits = outputs[..., : self.num_classes].float()
        if self.attention:
            logits = (outputs[..., -1:].float().softmax(dim=1) * logits).sum(dim=1)
        else:
            labels = labels[:, None].expand(-1, outputs.shape[1]).flatten()
            logits = logits.flatten(0, 1)
        self.parts = {"train_accuracy": (logits.argmax(dim=1) == labels).float().mean().detach()}
        return F.cross_entropy(logits, labels, self.class_weights)
