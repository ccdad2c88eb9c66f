# SPDX-License-Identifier: Apache-2.0
"""NT-Xent, the semi-supervised contrastive loss, order and geometry, several of them at once, and the tasks' losses."""

from __future__ import annotations

from .detection import DetectionLoss
from .frame_classification import FrameClassificationLoss
from .nt_xent import NTXentLoss
from .order_geometry import GeometryLoss, OrderLoss
from .pretext import PretextLoss
from .segmentation import SegmentationLoss
from .semi_supervised import SemiSupervisedContrastiveLoss

__all__ = [
    "DetectionLoss",
    "FrameClassificationLoss",
    "GeometryLoss",
    "NTXentLoss",
    "OrderLoss",
    "PretextLoss",
    "SegmentationLoss",
    "SemiSupervisedContrastiveLoss",
]
