# SPDX-License-Identifier: Apache-2.0
"""The losses of the order and of the geometry task."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InputError
from ..keys import Keys
from .across_ranks import total, world_size


class OrderLoss(nn.Module):
    """Cross entropy of the order class, the mean over clips in which something moves.

    The task is that of Jiao et al. (ISBI 2020, arXiv 2003.00105); leaving still clips out is ours. If nothing moves the
    loss is 0 with finite gradients. In a distributed run the mean is over the clips of all ranks.

    Computed in single precision, also inside autocast (double stays double).

    Attributes:
        parts: detached scalars of the last call, for logging: ``order``, ``moving`` (the share of clips whose order
            counts) and, if there is one, ``order_accuracy``. In a distributed run they are this rank's, but for
            ``order``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, torch.Tensor] = {}

    def forward(self, outputs: Mapping[str, torch.Tensor], targets: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The loss as a scalar.

        Args:
            outputs: ``Keys.ORDER_LOGITS`` (B, K).
            targets: ``Keys.ORDER`` (B,) class indices and ``Keys.MOVING`` (B,) bool.

        Raises:
            InputError: classes that do not fit the network.
        """
        logits, order, moving = outputs[Keys.ORDER_LOGITS], targets[Keys.ORDER], targets[Keys.MOVING]
        if not bool(((order >= 0) & (order < logits.shape[1])).all()):
            raise InputError(
                f"order: found classes {int(order.min())} to {int(order.max())}, expected 0 to {logits.shape[1] - 1}; "
                "n_orders of the network must be the number of order classes"
            )
        with torch.autocast(logits.device.type, enabled=False):
            losses = F.cross_entropy(_single(logits), order, reduction="none")
        # Over the clips of all ranks, so that the gradient averaged over ranks is that of the whole batch.
        loss = world_size() * (losses * moving).sum() / total(moving.sum()).clamp(min=1)
        self.parts = {"order": loss.detach(), "moving": moving.float().mean()}
        if bool(moving.any()):
            self.parts["order_accuracy"] = (logits.detach().argmax(dim=1) == order)[moving].float().mean()
        return loss


class GeometryLoss(nn.Module):
    """Smooth L1 of the parameters, which have unit variance: the mean over clips and parameters.

    The task is that of Jiao et al. (ISBI 2020, arXiv 2003.00105); the loss is ours.

    Computed in single precision, also inside autocast (double stays double).

    Attributes:
        parts: ``geometry``, the loss of the last call, detached. In a distributed run it is this rank's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, torch.Tensor] = {}

    def forward(self, outputs: Mapping[str, torch.Tensor], targets: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The loss as a scalar.

        Args:
            outputs: ``Keys.GEOMETRY`` (B, P).
            targets: ``Keys.GEOMETRY`` (B, P).

        Raises:
            InputError: parameters that do not fit the network.
        """
        found, label = outputs[Keys.GEOMETRY], targets[Keys.GEOMETRY]
        if found.shape != label.shape:
            raise InputError(
                f"geometry: found labels of shape {tuple(label.shape)}, expected {tuple(found.shape)}; n_parameters of "
                "the network must be the number of the transform's parameters"
            )
        with torch.autocast(found.device.type, enabled=False):
            loss = F.smooth_l1_loss(_single(found), label.to(_single(found)))
        self.parts = {"geometry": loss.detach()}
        return loss


def _single(values: torch.Tensor) -> torch.Tensor:
    return values if values.dtype == torch.float64 else values.float()
