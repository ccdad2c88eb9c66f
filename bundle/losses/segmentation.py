# SPDX-License-Identifier: Apache-2.0
"""The loss of segmentation: Dice and cross-entropy."""

from __future__ import annotations

import torch
from monai.losses import DiceCELoss


class SegmentationLoss(DiceCELoss):
    """Soft Dice plus binary cross-entropy of logits, over frames ``(B, T, 1, H, W)``.

    MONAI's `DiceCELoss` with a sigmoid. Dice is of the whole batch, not of each frame: a frame without a lesion has no
    Dice of its own, and counts by what is wrongly marked in it.
    """

    def __init__(self, dice_weight: float = 1.0, ce_weight: float = 1.0) -> None:
        super().__init__(sigmoid=True, batch=True, lambda_dice=dice_weight, lambda_ce=ce_weight)

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().forward(input.flatten(0, 1), target.flatten(0, 1))
