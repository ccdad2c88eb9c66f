# SPDX-License-Identifier: Apache-2.0
"""NT-Xent, the semi-supervised contrastive loss, order and geometry, several of them at once, and saliency."""

from __future__ import annotations

from .nt_xent import NTXentLoss
from .order_geometry import GeometryLoss, OrderLoss
from .pretext import PretextLoss
from .saliency import SaliencyLoss
from .semi_supervised import SemiSupervisedContrastiveLoss

__all__ = ["GeometryLoss", "PretextLoss", "NTXentLoss", "OrderLoss", "SaliencyLoss", "SemiSupervisedContrastiveLoss"]
