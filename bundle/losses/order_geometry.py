# SPDX-License-Identifier: Apache-2.0
"""The loss of order and geometry pretraining."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InputError
from ..keys import Keys
from .across_ranks import total, world_size


class OrderGeometryLoss(nn.Module):
    """``order_weight * cross entropy of the order + geometry_weight * smooth L1 of the parameters``.

    The tasks are those of Jiao et al. (ISBI 2020, arXiv 2003.00105); losses and weights (1 : 1) are ours. The cross
    entropy is the mean over clips in which something moves, 0 with finite gradients if nothing does; the smooth L1 is
    the mean over all clips and parameters, which have unit variance, so neither task is louder by its units. A task is
    on when the network has its output. In a distributed run the order's mean is over the clips of all ranks.

    Computed in single precision, also inside autocast (double stays double).

    Args:
        order_weight: of the order.
        geometry_weight: of the geometry.

    Attributes:
        parts: detached scalars of the last call, for logging: ``order`` and ``geometry`` (before their weights),
            ``moving`` (the share of clips whose order counts) and, if there is one, ``order_accuracy``.
            In a distributed run they are this rank's, but for ``order``.
    """

    def __init__(self, order_weight: float = 1.0, geometry_weight: float = 1.0) -> None:
        super().__init__()
        self.order_weight = order_weight
        self.geometry_weight = geometry_weight
        self.parts: dict[str, torch.Tensor] = {}

    def forward(self, outputs: Mapping[str, torch.Tensor], targets: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The loss as a scalar.

        Args:
            outputs: of `OrderGeometryNet`: ``Keys.ORDER_LOGITS`` (B, K) and ``Keys.GEOMETRY`` (B, P), or one of them.
            targets: ``Keys.ORDER`` (B,) class indices and ``Keys.MOVING`` (B,) bool, ``Keys.GEOMETRY`` (B, P).

        Raises:
            InputError: classes or parameters that do not fit the network.
        """
        self.parts = {}
        losses = []
        if Keys.ORDER_LOGITS in outputs:
            losses.append(self.order_weight * self._order(outputs[Keys.ORDER_LOGITS], targets))
        if Keys.GEOMETRY in outputs:
            losses.append(self.geometry_weight * self._geometry(outputs[Keys.GEOMETRY], targets[Keys.GEOMETRY]))
        return torch.stack(losses).sum()

    def _order(self, logits: torch.Tensor, targets: Mapping[str, torch.Tensor]) -> torch.Tensor:
        order, moving = targets[Keys.ORDER], targets[Keys.MOVING]
        if not bool(((order >= 0) & (order < logits.shape[1])).all()):
            raise InputError(
                f"order: found classes {int(order.min())} to {int(order.max())}, expected 0 to {logits.shape[1] - 1}; "
                "n_orders of the network must be the number of order classes"
            )
        with torch.autocast(logits.device.type, enabled=False):
            losses = F.cross_entropy(_single(logits), order, reduction="none")
        # Over the clips of all ranks, so that the gradient averaged over ranks is that of the whole batch.
        loss = world_size() * (losses * moving).sum() / total(moving.sum()).clamp(min=1)
        self.parts |= {"order": loss.detach(), "moving": moving.float().mean()}
        if bool(moving.any()):
            self.parts["order_accuracy"] = (logits.detach().argmax(dim=1) == order)[moving].float().mean()
        return loss

    def _geometry(self, found: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        if found.shape != label.shape:
            raise InputError(
                f"geometry: found labels of shape {tuple(label.shape)}, expected {tuple(found.shape)}; n_parameters of "
                "the network must be the number of the transform's parameters"
            )
        with torch.autocast(found.device.type, enabled=False):
            loss = F.smooth_l1_loss(_single(found), label.to(_single(found)))
        self.parts["geometry"] = loss.detach()
        return loss


def _single(values: torch.Tensor) -> torch.Tensor:
    return values if values.dtype == torch.float64 else values.float()
