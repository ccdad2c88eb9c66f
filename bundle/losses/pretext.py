# SPDX-License-Identifier: Apache-2.0
"""The loss of one or several pretext tasks, and how their weights are set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from .across_ranks import total, world_size


class PretextLoss(nn.Module):
    """The weighted sum of the losses of the pretext tasks that are on.

    Weights are set in one of three ways:

    - *fixed*: a number for each task;
    - *scheduled*: two numbers for a task, its weight at the start and at the end of the run, and a straight line
      between them (`LossProgress` tells how far the run is);
    - *learned* by uncertainty (Kendall, Gal and Cipolla, CVPR 2018, arXiv 1705.07115): each task has a learned
      s = log of its variance, and the loss is ``sum of weight * (exp(-s) * loss + s / 2)``, s starting at 0. Their
      factor of 1/2 for regressions is left out; it only moves s by a constant. The optimizer must be given the
      parameters of this loss too. In a distributed run their gradient is the mean over the ranks.

    Args:
        losses: by the name of their task; each takes (outputs, targets) and keeps its ``parts``.
        weights: by the name of the task, a number or a pair; 1 for tasks not named. Tasks that are not among
            ``losses`` may be named.
        learned: see above.

    Attributes:
        progress: share of the run that is over, 0 to 1.
        parts: the parts of all losses, and ``weight_<task>`` where weights change during the run.

    Raises:
        InputError: no task, or a weight that is not one or two numbers of at least 0.
    """

    def __init__(
        self,
        losses: Mapping[str, nn.Module],
        weights: Mapping[str, float | Sequence[float]] | None = None,
        learned: bool = False,
    ) -> None:
        super().__init__()
        if not losses:
            raise InputError("tasks: found none, expected at least one pretext task; switch one on")
        self.losses = nn.ModuleDict(losses)
        self.ends = {name: _start_and_end(name, (weights or {}).get(name, 1.0)) for name in losses}
        self.log_variances = nn.ParameterDict({name: torch.zeros(()) for name in losses} if learned else {})
        for s in self.log_variances.values():  # the network's gradients are averaged by DistributedDataParallel
            s.register_hook(lambda gradient: total(gradient) / world_size())
        self.progress = 0.0
        self.parts: dict[str, torch.Tensor] = {}

    def forward(self, outputs: Mapping[str, torch.Tensor], targets: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The loss as a scalar; outputs and targets hold what every task's loss takes."""
        parts: dict[str, torch.Tensor] = {}
        weighted = []
        task: Any
        for name, task in self.losses.items():
            loss = task(outputs, targets)
            start, end = self.ends[name]
            weight = loss.new_tensor(start + self.progress * (end - start))
            if name in self.log_variances:
                s = self.log_variances[name]
                weighted.append(weight * (torch.exp(-s) * loss + s / 2))
                weight = weight * torch.exp(-s.detach())
            else:
                weighted.append(weight * loss)
            parts |= task.parts
            if start != end or name in self.log_variances:
                parts[f"weight_{name}"] = weight
        self.parts = parts
        return torch.stack(weighted).sum()


def _start_and_end(name: str, weight: float | Sequence[float]) -> tuple[float, float]:
    ends = tuple(weight) if isinstance(weight, list | tuple) else (weight, weight)
    if len(ends) != 2 or not all(isinstance(end, int | float) and 0 <= end < float("inf") for end in ends):
        raise InputError(f"weight of {name}: found {weight}, expected a number of at least 0, or two: start and end")
    return float(ends[0]), float(ends[1])
