# SPDX-License-Identifier: Apache-2.0
"""The loss of saliency prediction."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ..errors import InputError
from ..keys import Keys
from .across_ranks import total, world_size


class SaliencyLoss(nn.Module):
    """Kullback-Leibler divergence ``sum q log(q / p)`` of the prediction p from the fixation density q, in nats.

    The mean over the frames that have a density; a frame whose density is 0 everywhere (what was looked at is not in
    the view) is left out. If none has one the loss is 0 with finite gradients. In a distributed run the mean is over
    the frames of all ranks. A density need not sum to 1: it is divided by its sum.

    The figure by which saliency maps of ultrasound are trained and compared (Droste et al., IPMI 2019). Computed in
    single precision, also inside autocast (double stays double).

    Attributes:
        parts: detached scalars of the last call, for logging: ``kld``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, torch.Tensor] = {}

    def forward(self, outputs: torch.Tensor, targets: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The loss as a scalar.

        Args:
            outputs: log-probabilities (..., H, W), which `SaliencyNet` gives in training mode.
            targets: ``Keys.SALIENCY``, the densities, of the same shape.

        Raises:
            InputError: shapes that differ.
        """
        density = targets[Keys.SALIENCY]
        if outputs.shape != density.shape:
            raise InputError(
                f"saliency: found densities of shape {tuple(density.shape)}, expected {tuple(outputs.shape)} as the "
                "network predicts; make both of one image_size"
            )
        with torch.autocast(outputs.device.type, enabled=False):
            exact = torch.float64 if outputs.dtype == torch.float64 else torch.float32
            pixels = outputs.shape[-2] * outputs.shape[-1]
            log_p, q = outputs.to(exact).reshape(-1, pixels), density.to(exact).reshape(-1, pixels)
            mass = q.sum(dim=1, keepdim=True)
            q = q / mass.clamp(min=torch.finfo(exact).tiny)
            divergence = (torch.xlogy(q, q) - q * log_p).sum(dim=1)
        loss = world_size() * divergence.sum() / total((mass > 0).sum()).clamp(min=1)
        self.parts = {"kld": loss.detach()}
        return loss
