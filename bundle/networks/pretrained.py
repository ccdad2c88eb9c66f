# SPDX-License-Identifier: Apache-2.0
"""What a downstream run starts from: an encoder's file, or random weights beside which it is judged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files import sha256_of
from .encoder import Encoder
from .weights import FILE_NAME, load_encoder

Number = float | list[float]
"""One number for all channels, or one for each."""

_MEAN, _STD = 0.5, 0.25  # those of the pretraining recipes


@dataclass(frozen=True)
class Pretrained:
    """An encoder, the normalisation of its input ``(x - mean) / std``, and what is known of where it comes from.

    ``file`` is None for random weights. ``trained`` is what the file says of its training.
    """

    encoder: Encoder
    mean: Number
    std: Number
    file: Path | None = None
    trained: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""


def open_encoder(
    path: str | os.PathLike[str] | None,
    architecture: str | None = None,
    in_channels: int | None = None,
    min_matched: float = 1.0,
) -> Pretrained:
    """The encoder of a file (`load_encoder`), or one with random weights where there is none.

    A file that says nothing of the normalisation gets that of the pretraining recipes, 0.5 and 0.25; one that has a
    number a channel gets their mean when its first convolution is adapted to another number of channels.

    Args:
        path: the file, or the folder of the run that exported it; None for random weights.
        architecture: one of `ENCODERS`; of random weights ResNet-18 when not given.
        in_channels: 1 or 3; as in the file, of random weights 1 when not given.
        min_matched: see `load_encoder`.

    Raises:
        InputError: see `load_encoder`.
    """
    if path is None:
        return Pretrained(Encoder(architecture or "resnet18", in_channels or 1), _MEAN, _STD)
    file = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
    encoder, info = load_encoder(file, architecture=architecture, in_channels=in_channels, min_matched=min_matched)
    normalisation = info.get("normalisation", {"mean": _MEAN, "std": _STD})
    mean, std = (for_channels(normalisation[key], encoder.in_channels) for key in ("mean", "std"))
    digest = sha256_of(file)
    return Pretrained(encoder, mean, std, file, info.get("trained", {}), digest)


def for_channels(values: float | Sequence[float], channels: int) -> Number:
    """A normalisation for another number of channels: their mean where each has its own."""
    if not isinstance(values, Sequence):
        return values
    return list(values) if len(values) == channels else sum(values) / len(values)
