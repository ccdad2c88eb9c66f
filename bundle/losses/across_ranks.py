# SPDX-License-Identifier: Apache-2.0
"""One batch spread over the ranks of a distributed run, seen as a whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed

from ..errors import InputError


def world_size() -> int:
    """Number of ranks, 1 outside a distributed run."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """This process among the ranks, 0 outside a distributed run."""
    return distributed.get_rank() if world_size() > 1 else 0


class _Gather(torch.autograd.Function):
    """All ranks' rows, in rank order; backward sums what every rank asks of this rank's rows."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        # A sum over all and then the own part, since gloo has no reduce_scatter.
        gradient = gradient.contiguous().clone()
        distributed.all_reduce(gradient)
        return gradient.chunk(world_size())[rank()]


def gather(rows: torch.Tensor) -> torch.Tensor:
    """(B, ...) of each rank -> (ranks * B, ...), differentiable; outside a distributed run the rows themselves.

    The gradient of a row is the sum over all ranks' losses. With each rank's loss scaled so that the mean over ranks
    is the loss of the whole batch, the gradient that DistributedDataParallel averages is that of the whole batch.
    """
    return _Gather.apply(rows) if world_size() > 1 else rows


def total(value: torch.Tensor) -> torch.Tensor:
    """The sum of a value over the ranks, without gradient."""
    value = value.detach().clone()
    if world_size() > 1:
        distributed.all_reduce(value)
    return value


def of_all_ranks(value: Any) -> list[Any]:
    """A plain value of each rank, in rank order."""
    values = [value] * world_size()
    if world_size() > 1:
        distributed.all_gather_object(values, value)
    return values


def check_equal_batches(size: int, device: torch.device) -> None:
    """Raise on every rank when the ranks' batches differ in size, which a gather would hang on."""
    if world_size() == 1:
        return
    sizes = gather(torch.tensor([size], device=device)).tolist()
    if len(set(sizes)) > 1:
        raise InputError(f"batch: found sizes {sizes} on the ranks, expected equal ones; set drop_last in the loader")
