# SPDX-License-Identifier: Apache-2.0
"""Segmentation: a U-shaped decoder on the encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import UnetBasicBlock, UnetOutBlock
from torch import nn
from torch.nn import functional as F

from .encoder import Encoder
from .pyramid import PyramidNet


class SegmentationNet(PyramidNet):
    """Frames (N, C, H, W) -> logits (N, 1, H, W), above 0 where a pixel is more likely lesion than not.

    From the encoder's smallest maps upwards: enlarge to the size of the next larger maps, join them, two convolutions
    (MONAI's `UnetBasicBlock`); the logits of the largest maps (half the size of the frame) are enlarged to the frame.
    Group normalisation, because batches are small and frames of a clip alike. H and W can be any.

    Args:
        encoder: with its weights; below ``encoder.`` its names stay.
        widths: channels of the decoder, largest maps first; the last counts for all smaller ones.
    """

    def __init__(self, encoder: Encoder, widths: Sequence[int] = (32, 64, 128, 256)) -> None:
        super().__init__(encoder)
        decoded = [widths[min(level, len(widths) - 1)] for level in range(len(self.channels) - 1)]
        below = [*decoded[1:], self.channels[-1]]
        self.decoder = nn.ModuleList(
            UnetBasicBlock(2, lower + skipped, width, 3, 1, ("group", {"num_groups": 8}))
            for width, lower, skipped in reversed(list(zip(decoded, below, self.channels[:-1], strict=True)))
        )
        self.out = UnetOutBlock(2, decoded[0], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.pyramid(x)
        up = maps[-1]
        for k, block in enumerate(self.decoder):
            skipped = maps[-2 - k]
            up = F.interpolate(up, skipped.shape[-2:], mode="bilinear", align_corners=False)
            up = block(torch.cat([up, skipped], dim=1))
        return F.interpolate(self.out(up), x.shape[-2:], mode="bilinear", align_corners=False)
