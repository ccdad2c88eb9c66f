# SPDX-License-Identifier: Apache-2.0
"""NT-Xent, the semi-supervised contrastive loss, order and geometry."""

from __future__ import annotations

from .nt_xent import NTXentLoss
from .order_geometry import OrderGeometryLoss
from .semi_supervised import SemiSupervisedContrastiveLoss

__all__ = ["NTXentLoss", "OrderGeometryLoss", "SemiSupervisedContrastiveLoss"]
