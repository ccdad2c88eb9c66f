# SPDX-License-Identifier: Apache-2.0
"""NT-Xent, the semi-supervised contrastive loss, order and geometry, and several of them at once."""

from __future__ import annotations

from .nt_xent import NTXentLoss
from .order_geometry import GeometryLoss, OrderLoss
from .pretext import PretextLoss
from .semi_supervised import SemiSupervisedContrastiveLoss

__all__ = ["GeometryLoss", "PretextLoss", "NTXentLoss", "OrderLoss", "SemiSupervisedContrastiveLoss"]
