# SPDX-License-Identifier: Apache-2.0
"""Finer maps from an encoder by dilation instead of stride, with the weights it has."""

from __future__ import annotations

from torch import nn

from ..errors import InputError
from .encoder import Encoder

DILATABLE = ("resnet18", "resnet34", "resnet50", "seresnet50", "seresnext50")
"""Encoders whose stride can be reduced: those of plain convolutions in ``layer2`` to ``layer4``."""

OUTPUT_STRIDES = (4, 8, 16, 32)
"""Pixels of the input for one of the last maps; 32 is what an encoder has by itself."""

_STEM_STRIDE = 4


def reduce_stride(encoder: Encoder, output_stride: int = 8) -> Encoder:
    """Takes strides out of the last stages and dilates what follows them; gives the encoder back, changed in place.

    Names and shapes of the weights stay, so the same files load, before and after. Every ``32 / output_stride``-th
    value of the finer maps is what the encoder gave before: exactly for the ResNets in evaluation mode, about for those
    with squeeze-and-excitation, whose channel weights are means over the finer maps.

    Args:
        encoder: one of `DILATABLE`, as it was made.
        output_stride: one of `OUTPUT_STRIDES`.

    Raises:
        InputError: another encoder or stride, or the encoder is dilated already.
    """
    if encoder.name not in DILATABLE:
        raise InputError(
            f"encoder {encoder.name}: its stride cannot be reduced by dilation; expected one of {', '.join(DILATABLE)}"
        )
    if output_stride not in OUTPUT_STRIDES:
        raise InputError(f"output_stride: found {output_stride}, expected one of {', '.join(map(str, OUTPUT_STRIDES))}")
    if any(isinstance(layer, nn.Conv2d) and layer.dilation != (1, 1) for layer in encoder.modules()):
        raise InputError(f"encoder {encoder.name}: it is dilated already; make or load it anew")
    stride, dilation = _STEM_STRIDE, 1
    for name in ("layer2", "layer3", "layer4"):
        if stride < output_stride:
            stride *= 2
        else:
            dilation = _dilate_stage(encoder.get_submodule(name), dilation)
    return encoder


def map_offset(encoder: Encoder) -> int:
    """Which pixel of the input, row and column, the first value of the maps is centred on.

    All convolutions are centred; only the pooling of the SE networks, which has no padding, looks two pixels ahead.
    """
    return 2 if encoder.name.startswith("se") else 0


def _dilate_stage(stage: nn.Module, dilation: int) -> int:
    """Every stride of a stage becomes 1; gives the dilation of what follows."""
    for block in stage.children():
        of_input = dilation  # a shortcut sees what the block sees
        for name, layer in block.named_modules():
            if not isinstance(layer, nn.Conv2d):
                continue
            shortcut = name.startswith(("downsample", "project"))
            rate = of_input if shortcut else dilation
            if layer.stride != (1, 1):
                layer.stride = (1, 1)
                dilation *= 1 if shortcut else 2
            layer.dilation = (rate, rate)
            layer.padding = tuple(rate * (size // 2) for size in layer.kernel_size)
    return dilation
