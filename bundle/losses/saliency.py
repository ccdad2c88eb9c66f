# SPDX-License-Identifier: Apache-2.0
"""The loss of saliency prediction."""

from __future__ import annotations

import torch
from torch import nn

from ..errors import InputError
from .across_ranks import total, world_size

_LEAST_MASS = 0.1


class SaliencyLoss(nn.Module):
    """Kullback-Leibler divergence ``sum q log(q / p)`` of the prediction p from the fixation density q, in nats.

    A density that sums to 1 in its frame sums to less in a view from which some of it is cropped; it is divided by its
    sum. A frame of which less than a tenth is left is left out: what was looked at is not in the view. The loss is the
    mean over the others, of all ranks in a distributed run; without any it is 0 with finite gradients.

    The figure by which saliency maps of ultrasound are trained and compared (Droste et al., IPMI 2019). Computed in
    single precision, also inside autocast (double stays double).

    Attributes:
        parts: detached scalars of the last call, for logging: ``kld``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, torch.Tensor] = {}

    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss as a scalar.

        Args:
            outputs: log-probabilities (..., H, W), which `SaliencyNet` gives in training mode.
            targets: the densities, of the same shape.

        Raises:
            InputError: shapes that differ.
        """
        if outputs.shape != targets.shape:
            raise InputError(
                f"saliency: found densities of shape {tuple(targets.shape)}, expected {tuple(outputs.shape)} as the "
                "network predicts; make both of one image_size"
            )
        with torch.autocast(outputs.device.type, enabled=False):
            exact = torch.float64 if outputs.dtype == torch.float64 else torch.float32
            pixels = outputs.shape[-2] * outputs.shape[-1]
            log_p, q = outputs.to(exact).reshape(-1, pixels), targets.to(exact).reshape(-1, pixels)
            mass = q.sum(dim=1, keepdim=True)
            counts = (mass >= _LEAST_MASS).flatten()
            q = q / mass.clamp(min=_LEAST_MASS)
            divergence = (torch.xlogy(q, q) - q * log_p).sum(dim=1)
        loss = world_size() * (divergence * counts).sum() / total(counts.sum()).clamp(min=1)
        self.parts = {"kld": loss.detach()}
        return loss
