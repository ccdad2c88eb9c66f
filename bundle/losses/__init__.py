# SPDX-License-Identifier: Apache-2.0
"""NT-Xent, the semi-supervised contrastive loss, order and geometry, and several at once; those of lesions."""

from __future__ import annotations

from .detection import DetectionLoss
from .nt_xent import NTXentLoss
from .order_geometry import GeometryLoss, OrderLoss
from .pretext import PretextLoss
from .segmentation import SegmentationLoss
from .semi_supervised import SemiSupervisedContrastiveLoss

__all__ = [
    "DetectionLoss",
    "GeometryLoss",
    "PretextLoss",
    "NTXentLoss",
    "OrderLoss",
    "SegmentationLoss",
    "SemiSupervisedContrastiveLoss",
]
