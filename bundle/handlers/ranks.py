# SPDX-License-Identifier: Apache-2.0
"""Training on several devices: the processes of torchrun find each other, share the batches, and part."""

from __future__ import annotations

import logging
import os
from datetime import timedelta

import ignite.distributed as idist
import torch
from torch.nn.parallel import DistributedDataParallel

from ..errors import InputError

_PATIENCE = timedelta(hours=12)  # the others wait while the first rank validates


def join_ranks() -> None:
    """Makes this process a rank of its group, with the device of its ``LOCAL_RANK``; without CUDA all are on the CPU.

    Returns when all ranks are there. From then on only the first logs anything but errors. Call `leave_ranks` at the
    end.

    Raises:
        InputError: it was not started by torchrun (or SLURM), or there are fewer devices than ranks.
    """
    if "LOCAL_RANK" not in os.environ and "SLURM_JOB_ID" not in os.environ:
        raise InputError(
            "multi_gpu_train: found a single process, expected the ranks of torchrun: start it with "
            "'torchrun --nproc_per_node 2 -m monai.bundle run ...', or leave this file out"
        )
    place, devices = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if 0 < devices <= place:
        raise InputError(
            f"nproc_per_node: found more than {devices} ranks, expected one a device, of which there are {devices}: "
            f"start torchrun with --nproc_per_node {devices}"
        )
    idist.initialize("nccl" if devices else "gloo", timeout=_PATIENCE)
    if idist.get_rank() > 0:
        logging.disable(logging.WARNING)


def leave_ranks() -> None:
    """Waits for the other ranks and closes the group."""
    idist.barrier()
    idist.finalize()


def parallel(network: torch.nn.Module) -> DistributedDataParallel:
    """The network with gradients that are averaged over the ranks.

    The running figures of its batch normalisation stay each rank's own. They count in tests only, for which those of
    the first are as good, and copying them would break the gradient where one step calls the network several times.
    """
    spread = DistributedDataParallel(network)
    spread.broadcast_buffers = False  # as an argument newer releases of PyTorch warn of it
    return spread


def share_of_batch(batch_size: int) -> int:
    """This rank's share of a batch, rounded down: what is learned stays a matter of the recipe, not of the machine.

    Raises:
        InputError: there are more ranks than items.
    """
    ranks = idist.get_world_size()
    if batch_size < ranks:
        raise InputError(f"batch_size: found {batch_size} for {ranks} ranks, expected one or more for each")
    return batch_size // ranks
