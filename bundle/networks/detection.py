# SPDX-License-Identifier: Apache-2.0
"""Detection: a one-stage detector on the encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.apps.detection.networks.retinanet_network import RetinaNetClassificationHead, RetinaNetRegressionHead
from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork

from ..errors import InputError
from .anchors import AnchorGrid, decode_boxes
from .encoder import Encoder
from .pyramid import PyramidNet


class DetectionNet(PyramidNet):
    """Frames (N, C, H, W) -> one box an anchor, (N, 5, M): x0, y0, x1, y1 in pixels of the frame, x the column; logit.

    RetinaNet (Lin et al., ICCV 2017, arXiv 1708.02002) of MONAI's parts: feature pyramid, heads, anchors, box code.
    Boxes may reach out of the frame. `bundle.inferers.BoxesInferer` makes the few that count of them.

    Differs from the paper: the pyramid has the encoder's maps from stride 4 to 32 and nothing smaller, since frames are
    small; one size of anchor a level, because the matching of training (`bundle.losses.DetectionLoss`) is adaptive;
    GroupNorm in the heads, as MONAI has it.

    Args:
        encoder: with its weights; below ``encoder.`` its names stay.
        width: channels of pyramid and heads, a multiple of 8.
        scale: side of an anchor, in pixels of its map.
        ratios: width to height of the anchors.

    Raises:
        InputError: a width that is no multiple of 8.
    """

    def __init__(
        self, encoder: Encoder, width: int = 64, scale: float = 4.0, ratios: Sequence[float] = (0.5, 1.0, 2.0)
    ) -> None:
        super().__init__(encoder)
        if width < 8 or width % 8:
            raise InputError(f"width of the detector: found {width}; expected a multiple of 8")
        self.first = next(k for k, stride in enumerate(self.strides) if stride >= 4)
        self.fpn = FeaturePyramidNetwork(2, self.channels[self.first :], width)
        self.anchors = AnchorGrid(self.strides[self.first :], scale, ratios)
        self.score_head = RetinaNetClassificationHead(width, self.anchors.per_place, 1, spatial_dims=2)
        self.box_head = RetinaNetRegressionHead(width, self.anchors.per_place, spatial_dims=2)

    def anchor_boxes(self, height: int, width: int) -> tuple[torch.Tensor, list[int]]:
        """The anchors ``(M, 4)`` of frames of a size, as in the output, and how many places each level has."""
        sizes = self.map_sizes(height, width)[self.first :]
        return self.anchors(sizes, next(self.parameters())), [rows * columns for rows, columns in sizes]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        levels: dict[str, torch.Tensor] = {}
        for k, one in enumerate(self.pyramid(x)[self.first :]):
            levels[str(k)] = one
        maps = list(self.fpn(levels).values())
        logits = torch.cat([_by_anchor(one, 1) for one in self.score_head(maps)], dim=1)
        codes = torch.cat([_by_anchor(one, 4) for one in self.box_head(maps)], dim=1)
        boxes = decode_boxes(codes, self.anchors([one.shape[-2:] for one in maps], codes))
        return torch.cat([boxes, logits], dim=2).transpose(1, 2)


def _by_anchor(one: torch.Tensor, values: int) -> torch.Tensor:
    """(N, A * values, h, w) -> (N, h * w * A, values), the order of `AnchorGrid`."""
    return one.unflatten(1, [-1, values]).permute(0, 3, 4, 1, 2).flatten(1, 3)
