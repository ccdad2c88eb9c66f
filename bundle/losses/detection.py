# SPDX-License-Identifier: Apache-2.0
"""The loss of detection, without what MONAI's own training path takes from torchvision."""

from __future__ import annotations

import torch
from monai.apps.detection.utils.ATSS_matcher import ATSSMatcher
from monai.losses import FocalLoss
from monai.losses.giou_loss import BoxGIoULoss
from torch import nn

from ..networks.detection import DetectionNet


class DetectionLoss(nn.Module):
    """Focal loss of all anchors' logits plus generalised IoU loss of the boxes of those that belong to a lesion.

    Which anchors belong to a lesion is decided by adaptive matching (ATSS, Zhang et al., CVPR 2020, arXiv 1912.02424),
    MONAI's `ATSSMatcher`; a lesion that would get none, as one smaller than the smallest anchors may, gets the anchor
    that it overlaps most. The focal loss is summed over anchors and divided by the number that belong to a lesion, at
    least 1, over the batch, as in RetinaNet (Lin et al., ICCV 2017, equation 5). MONAI's `RetinaNetDetector` cannot be
    trained without torchvision, whose classes it asks for; nothing else of it is missing here.

    Args:
        network: whose anchors they are; not kept.
        image_size: side of the frames in pixels.
        box_weight: of the loss of the boxes.
        alpha, gamma: of the focal loss.
        candidates: places a level that the matching looks at, those nearest to the lesion's centre.

    Attributes:
        parts: detached scalars of the last call, for logging: ``score_loss`` and ``box_loss``.
    """

    def __init__(
        self,
        network: DetectionNet,
        image_size: int,
        box_weight: float = 2.0,
        alpha: float = 0.25,
        gamma: float = 2.0,
        candidates: int = 4,
    ) -> None:
        super().__init__()
        anchors, self.places = network.anchor_boxes(image_size, image_size)
        self.per_place = network.anchors.per_place
        self.box_weight = box_weight
        self.anchors: torch.Tensor
        self.register_buffer("anchors", anchors.detach().clone())
        self.focal = FocalLoss(gamma=gamma, alpha=alpha, reduction="none")  # its sum is a mean
        self.giou = BoxGIoULoss(reduction="sum")
        self.parts: dict[str, torch.Tensor] = {}
        self.matcher = ATSSMatcher(candidates, center_in_gt=True)

    def match(self, boxes: torch.Tensor) -> torch.Tensor:
        """For each anchor the index of its box among ``(K, 4)``, or -1."""
        overlap, matched = self.matcher(boxes, self.anchors, self.places, self.per_place)
        matched = matched.to(boxes.device)
        for k in set(range(len(boxes))) - set(matched.tolist()):
            matched[overlap[k].argmax()] = k
        return matched

    def forward(self, predicted: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """The loss of a batch.

        Args:
            predicted: ``(B, T, 5, M)`` of the network.
            boxes: ``(B, T, K, 4)`` xyxy in pixels of the frame; what has no area is no box.
        """
        predicted = predicted.flatten(0, 1).float()
        scores, regressed = predicted[:, 4], predicted[:, :4].transpose(1, 2)
        belongs = torch.zeros_like(scores)
        box_loss = regressed.sum() * 0  # a batch without any lesion has a gradient of 0
        for frame, (found, true) in enumerate(zip(regressed, boxes.flatten(0, 1), strict=True)):
            true = true[(true[:, 2:] > true[:, :2]).all(dim=1)]
            matched = self.match(true)
            positive = matched >= 0
            if positive.any():
                belongs[frame] = positive.to(belongs)
                box_loss = box_loss + self.giou(found[positive], true[matched[positive]].to(found))
        count = belongs.sum().clamp(min=1)
        score_loss = self.focal(scores.reshape(-1, 1), belongs.reshape(-1, 1)).sum() / count
        box_loss = box_loss / count
        self.parts = {"score_loss": score_loss.detach(), "box_loss": box_loss.detach()}
        return score_loss + self.box_weight * box_loss
