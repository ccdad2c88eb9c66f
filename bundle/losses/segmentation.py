# SPDX-License-Identifier: Apache-2.0
"""The loss of segmentation: Dice and cross-entropy."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import nn


class SegmentationLoss(nn.Module):
    """Soft Dice plus binary cross-entropy of logits, over frames ``(B, T, 1, H, W)``.

    MONAI's `DiceLoss` over the whole batch, not each frame: a frame without a lesion has no Dice of its own, and counts
    by what is wrongly marked in it. The sum is that of MONAI's `DiceCELoss`, of which the log could not show the parts.

    Args:
        dice_weight, ce_weight: of the two.

    Attributes:
        parts: detached scalars of the last call, for logging: ``dice_loss`` and ``ce_loss``.
    """

    def __init__(self, dice_weight: float = 1.0, ce_weight: float = 1.0) -> None:
        super().__init__()
        self.dice = DiceLoss(sigmoid=True, batch=True)
        self.cross_entropy = nn.BCEWithLogitsLoss()
        self.dice_weight = dice_weight
        self.ce_weight = ce_weight
        self.parts: dict[str, torch.Tensor] = {}

    def forward(self, logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """The loss as a scalar, of two tensors of the same shape."""
        logits, masks = logits.flatten(0, 1).float(), masks.flatten(0, 1)
        dice, entropy = self.dice(logits, masks), self.cross_entropy(logits, masks)
        self.parts = {"dice_loss": dice.detach(), "ce_loss": entropy.detach()}
        return self.dice_weight * dice + self.ce_weight * entropy
