# SPDX-License-Identifier: Apache-2.0
"""The boxes from which a detector starts, and the border to MONAI's order of axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.apps.detection.utils.anchor_utils import AnchorGenerator
from torch import nn


def swap_axes(boxes: torch.Tensor) -> torch.Tensor:
    """Boxes ``(..., 4)`` xyxy, x the column, as ours are -> in the order of array axes, as MONAI's are; and back."""
    return boxes.unflatten(-1, [2, 2]).flip(-1).flatten(-2)


def decode_boxes(codes: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """Codes ``(N, M, 4)`` relative to anchors ``(M, 4)`` -> boxes ``(N, M, 4)``.

    A code is the shift of the centre in sides of the anchor and the logarithm of the growth, as in MONAI's `BoxCoder`
    with weights of 1, which cannot be scripted. Growth is limited to the same 62.5 times.
    """
    low, high = anchors[:, :2], anchors[:, 2:]
    sides = high - low
    centres = (low + high) / 2 + codes[..., :2] * sides
    halves = codes[..., 2:].clamp(max=4.135).exp() * sides / 2
    return torch.cat([centres - halves, centres + halves], dim=-1)


class AnchorGrid(nn.Module):
    """Anchors at every pixel of an encoder's maps, by MONAI's `AnchorGenerator`.

    Args:
        strides: of the maps.
        scale: side of a square anchor, in pixels of its map.
        ratios: width to height of the anchors at a place.

    Attributes:
        strides: as given.
        per_place: anchors at each pixel of a map.
    """

    def __init__(self, strides: Sequence[int], scale: float = 4.0, ratios: Sequence[float] = (0.5, 1.0, 2.0)) -> None:
        super().__init__()
        self.strides: list[int] = list(strides)
        self.per_place = len(ratios)
        # ratio of its second axis to its first, which is our y
        self.generator = AnchorGenerator(
            [(round(scale * stride),) for stride in strides], (tuple(ratios),) * len(strides)
        )

    def forward(self, sizes: list[list[int]], like: torch.Tensor) -> torch.Tensor:
        """Anchors ``(M, 4)`` xyxy in pixels of the frame, of the type and device of ``like``.

        By level, row, column, and anchor of the place; the centres are those of the maps' pixels.

        Args:
            sizes: rows and columns of each map.
            like: any tensor.
        """
        self.generator.set_cell_anchors(like.dtype, like.device)
        steps = [[torch.tensor(stride, device=like.device)] * 2 for stride in self.strides]
        return swap_axes(torch.cat(self.generator.grid_anchors(sizes, steps)))
