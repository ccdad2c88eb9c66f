# SPDX-License-Identifier: Apache-2.0
"""A frame network applied to clips."""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import Inferer


class FramesInferer(Inferer):
    """Runs a network of single frames on every frame of a batch of clips.

    ``(B, T, C, H, W)`` -> ``(B, T, ...)``: the frames go through the network ``(N, C, H, W)`` -> ``(N, ...)`` at most
    ``batch_size`` at a time, so memory is bounded on long clips.
    """

    def __init__(self, batch_size: int = 256) -> None:
        super().__init__()
        self.batch_size = batch_size

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        batch, n_frames = inputs.shape[:2]
        flat = inputs.flatten(0, 1)
        outputs = torch.cat([network(part, *args, **kwargs) for part in flat.split(self.batch_size)])
        return outputs.unflatten(0, (batch, n_frames))
