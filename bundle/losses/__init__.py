# SPDX-License-Identifier: Apache-2.0
"""NT-Xent and the semi-supervised contrastive loss."""

from __future__ import annotations

from .nt_xent import NTXentLoss
from .semi_supervised import SemiSupervisedContrastiveLoss

__all__ = ["NTXentLoss", "SemiSupervisedContrastiveLoss"]
