# SPDX-License-Identifier: Apache-2.0
"""The network of pretraining: one encoder, and the heads of one or several pretext tasks on top of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from .encoder import Encoder


class PretextHeads(nn.Module):
    """The heads of a pretext task: which images are to be encoded, and what is said of their features.

    Attributes:
        reads: the key of the batch under which their images are.
    """

    reads: str

    @abstractmethod
    def frames(self, images: torch.Tensor) -> torch.Tensor:
        """Images of a batch of B items -> those to encode, ``(N, C, H, W)``, N a multiple of B.

        Raises:
            InputError: images of another shape.
        """

    @abstractmethod
    def forward(self, features: torch.Tensor, batch: int) -> dict[str, torch.Tensor]:
        """Features ``(N, D)`` of what `frames` gave for ``batch`` items -> outputs by their keys."""


class PretextNet(nn.Module):
    """Images of one or several pretext tasks -> the outputs of all heads, in one dict.

    All images go through the encoder in one pass, whichever task they are for, so that batch normalisation sees them
    together and a step of several tasks costs no more than their images. In training the images of every task must be
    there; in evaluation those tasks are asked whose images are.

    Args:
        encoder: gives the representation of an image.
        heads: those of each task, by its name.

    Raises:
        InputError: no heads at all; or, in a pass, images that are missing, of another size than the others', or with
            another number of channels than the encoder's.
    """

    def __init__(self, encoder: Encoder, heads: Mapping[str, PretextHeads]) -> None:
        super().__init__()
        if not heads:
            raise InputError("tasks: found none, expected at least one pretext task; switch one on")
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)
        self.reads = {name: task.reads for name, task in heads.items()}

    def forward(self, images: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """One forward pass; ``images`` hold what each task reads, ``(B, ..., C, H, W)``."""
        missing = [name for name, reads in self.reads.items() if reads not in images]
        if missing and (self.training or len(missing) == len(self.heads)):
            raise InputError(
                f"{missing[0]}: found no {self.reads[missing[0]]} in the batch, found "
                f"{', '.join(images) or 'nothing'}; check the transforms"
            )
        tasks: dict[str, Any] = {name: heads for name, heads in self.heads.items() if name not in missing}
        read = [images[self.reads[name]] for name in tasks]
        frames = [heads.frames(part) for heads, part in zip(tasks.values(), read, strict=True)]
        sizes = {tuple(part.shape[1:]) for part in frames}
        channels = self.encoder.in_channels
        if len(sizes) > 1 or next(iter(sizes))[0] != channels:
            raise InputError(
                f"images: found (channels, height, width) of {', '.join(map(str, sorted(sizes)))}, expected "
                f"one size with {channels} channels for this {self.encoder.name}; check the transforms and the "
                "encoder's in_channels"
            )
        features = self.encoder(torch.cat(frames)).split([len(part) for part in frames])
        outputs: dict[str, torch.Tensor] = {}
        for heads, part, given in zip(tasks.values(), features, read, strict=True):
            outputs |= heads(part, len(given))
        return outputs
