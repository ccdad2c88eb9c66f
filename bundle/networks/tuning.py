# SPDX-License-Identifier: Apache-2.0
"""How much of a pretrained encoder is trained further."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..errors import InputError
from .encoder import Encoder

TUNED = ("all", "last_block", "head")
"""All of the encoder, its last block only, or nothing of it: what is not the encoder is always trained."""


def tune(encoder: Encoder, tuned: str = "all", keep_statistics: bool = True) -> Encoder:
    """Freezes what is not to be trained; gives the encoder back.

    ``last_block`` is ``layer4.1`` of a ResNet-18, as USCL (Chen et al., MICCAI 2021) fine-tunes; of the other ResNets
    their last block, of DenseNet its last dense layer, of EfficientNet its last block, the two latter with the
    convolution or normalisation that follows.

    Args:
        encoder: changed in place.
        tuned: one of `TUNED`.
        keep_statistics: of `Encoder`. Off, the batch normalisation of frozen layers goes on as in any training: it
            uses the batch's figures and updates its own.

    Raises:
        InputError: for another word in ``tuned``.
    """
    if tuned not in TUNED:
        raise InputError(f"tuned: found {tuned!r}, expected one of {', '.join(TUNED)}")
    encoder.requires_grad_(tuned == "all")
    for layer in _last_block(encoder) if tuned == "last_block" else ():
        layer.requires_grad_(True)
    encoder.keep_statistics = keep_statistics
    return encoder


def parameter_groups(network: nn.Module, learning_rate: float, head_learning_rate: float) -> list[dict[str, Any]]:
    """For an optimiser: what is trained of ``network.encoder``, and all else with a learning rate of its own."""
    encoder: nn.Module = network.encoder  # type: ignore[assignment]
    inside = {id(parameter) for parameter in encoder.parameters()}
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if id(parameter) in inside], "lr": learning_rate},
        {"params": [parameter for parameter in trained if id(parameter) not in inside], "lr": head_learning_rate},
    ]
    return [group for group in groups if group["params"]]


def _last_block(encoder: Encoder) -> list[nn.Module]:
    layers = dict(encoder.named_children())
    if "layer4" in layers:
        return [list(layers["layer4"].children())[-1]]
    if "features" in layers:
        features = dict(layers["features"].named_children())
        return [list(features["denseblock4"].children())[-1], features["norm5"]]
    return [list(layers["_blocks"].children())[-1], layers["_conv_head"], layers["_bn1"]]
