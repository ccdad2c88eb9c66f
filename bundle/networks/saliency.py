# SPDX-License-Identifier: Apache-2.0
"""The network that predicts where people look."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .dilation import map_offset, reduce_stride
from .encoder import Encoder


class SaliencyNet(nn.Module):
    """Frames (N, C, H, W) -> a probability map over each frame (N, 1, H, W), whose pixels sum to 1.

    In training mode the result is the map's logarithm, which `SaliencyLoss` takes. Saliency as the second task of an
    encoder, by dilated convolutions, follows Jiao et al. (ISBI 2020, arXiv 2003.00105); the readout is ours: two 1x1
    convolutions with a ReLU between them, bilinear interpolation to the size of the frame, softmax over its pixels. A
    value of the encoder's maps is put where its receptive field is centred, so a prediction is not shifted.

    The module can be scripted and exported.

    Args:
        encoder: one of `bundle.networks.dilation.DILATABLE`; its stride is reduced in place.
        output_stride: pixels for one of the encoder's last maps; smaller is finer and slower.
        hidden_dim: width between the two convolutions.

    Raises:
        InputError: an encoder or a stride that `reduce_stride` refuses.
    """

    def __init__(self, encoder: Encoder, output_stride: int = 8, hidden_dim: int = 64) -> None:
        super().__init__()
        self.encoder = reduce_stride(encoder, output_stride)
        self.output_stride = output_stride
        self.offset = map_offset(encoder)
        self.readout = nn.Sequential(
            nn.Conv2d(encoder.feature_dim, hidden_dim, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden_dim, 1, 1)
        )

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """The map before the softmax: (N, C, H, W) -> (N, 1, H, W)."""
        coarse = F.pad(self.readout(self.encoder.feature_maps(x)), [1, 1, 1, 1], mode="replicate")
        rows, columns = coarse.shape[2] - 1, coarse.shape[3] - 1
        stride, first = self.output_stride, self.output_stride - self.offset
        fine = F.interpolate(coarse, [rows * stride + 1, columns * stride + 1], mode="bilinear", align_corners=True)
        return fine[:, :, first : first + x.shape[2], first : first + x.shape[3]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.logits(x)
        flat = logits.flatten(1)
        values = flat.log_softmax(dim=1) if self.training else flat.softmax(dim=1)
        return values.view_as(logits)
