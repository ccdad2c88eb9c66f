# SPDX-License-Identifier: Apache-2.0
"""From a detector's one tensor to the boxes that count."""

from __future__ import annotations

from typing import Any

import torch
from monai.data.box_utils import clip_boxes_to_image, non_max_suppression

from ..errors import told_to_client
from ..networks.anchors import swap_axes
from ..settings import given_option
from .frames import FramesInferer


def unpack_boxes(
    predicted: torch.Tensor,
    height: int,
    width: int,
    max_boxes: int = 20,
    min_score: float = 0.05,
    overlap: float = 0.3,
    looked_at: int = 500,
) -> torch.Tensor:
    """Boxes of one frame ``(K, 5)``: x0, y0, x1, y1 in pixels of the frame, score; the best first, K <= max_boxes.

    Clipped to the frame; of boxes that overlap more than ``overlap`` (IoU) the best stays (MONAI's
    `non_max_suppression`).

    Args:
        predicted: ``(5, M)`` of `bundle.networks.DetectionNet`.
        height, width: of the frame.
        max_boxes: K at most.
        min_score: what is below is left out.
        overlap: largest IoU of two boxes that both stay.
        looked_at: so many of the best take part.
    """
    scores, best = predicted[4].sigmoid().float().topk(min(looked_at, predicted.shape[1]))
    best, scores = best[scores >= min_score], scores[scores >= min_score]
    boxes, kept = clip_boxes_to_image(swap_axes(predicted[:4, best].T.float()), (height, width))  # none without area
    boxes, scores = swap_axes(torch.as_tensor(boxes)), scores[torch.as_tensor(kept)]
    chosen = torch.as_tensor(non_max_suppression(boxes, scores, overlap, max_boxes))
    return torch.cat([boxes[chosen], scores[chosen, None]], dim=1)


class BoxesInferer(FramesInferer):
    """Runs a detector on every frame of a batch of clips and gives the boxes that count.

    ``(B, T, C, H, W)`` -> ``(B, T, max_boxes, 5)`` by `unpack_boxes`, filled up with zeros.

    Args:
        batch_size: frames at a time.
        max_boxes, min_score, overlap: of `unpack_boxes`.
    """

    def __init__(
        self, batch_size: int = 256, max_boxes: int = 20, min_score: float = 0.05, overlap: float = 0.3
    ) -> None:
        super().__init__(batch_size)
        self.max_boxes = max_boxes
        self.min_score = min_score
        self.overlap = overlap

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        predicted = super().__call__(inputs, network, *args, **kwargs)
        result = predicted.new_zeros(*predicted.shape[:2], self.max_boxes, 5, dtype=torch.float32)
        for one, filled in zip(predicted.flatten(0, 1), result.flatten(0, 1), strict=True):
            height, width = inputs.shape[-2:]
            boxes = unpack_boxes(one, height, width, self.max_boxes, self.min_score, self.overlap)
            filled[: len(boxes)] = boxes
        return result


class ClipDetector:
    """A detector as MONAI Label calls it: the app sets ``network``, and hands over batches of clips.

    Args:
        batch_size, max_boxes, min_score, overlap: of `BoxesInferer`; the last three may be as a client gave them
            (`given_option`), and what cannot be used is told to the client.
    """

    def __init__(
        self, batch_size: int = 256, max_boxes: int = 20, min_score: float = 0.05, overlap: float = 0.3
    ) -> None:
        self.batch_size = batch_size
        self.options = {"max_boxes": max_boxes, "min_score": min_score, "overlap": overlap}
        self.network: Any = None

    def __call__(self, inputs: torch.Tensor, use_inferer: bool = True) -> torch.Tensor:
        """``use_inferer`` is there for the app's sake and not used."""
        with told_to_client():
            options = {name: given_option(name, value) for name, value in self.options.items()}
        return BoxesInferer(self.batch_size, **options)(inputs, self.network)
