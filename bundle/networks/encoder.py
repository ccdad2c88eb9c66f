# SPDX-License-Identifier: Apache-2.0
"""The image encoder that all tasks share: one of MONAI's 2-D networks without its classifier."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from monai.networks.nets import DenseNet121, EfficientNetBN, SEResNet50, SEResNext50, resnet18, resnet34, resnet50
from torch import nn
from torch.nn import functional as F

from ..errors import InputError

Layers = OrderedDict[str, nn.Module]
"""The layers of an encoder in the order they run, under the names they have in MONAI's network."""


class Stages(nn.Sequential):
    """Layers of which each gives a map that can be of use, where a network holds several sizes in one child."""

    def every_map(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What each layer gives, in the order they run."""
        maps: list[torch.Tensor] = []
        for layer in self:
            x = layer(x)
            maps.append(x)
        return maps


def _resnet(make: Callable[..., Any], in_channels: int) -> tuple[Layers, int]:
    # MONAI starts with stride 1 and gives the shortcuts a bias unless told otherwise; this is the usual layout.
    net = make(
        spatial_dims=2, n_input_channels=in_channels, conv1_t_stride=2, feed_forward=False, bias_downsample=False
    )
    names = ("conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4")
    return OrderedDict((name, getattr(net, name)) for name in names), net.in_planes


def _senet(make: Callable[..., Any], in_channels: int) -> tuple[Layers, int]:
    net = make(spatial_dims=2, in_channels=in_channels, num_classes=1)
    names = ("layer0", "layer1", "layer2", "layer3", "layer4")
    return OrderedDict((name, getattr(net, name)) for name in names), net.inplanes


def _densenet(make: Callable[..., Any], in_channels: int) -> tuple[Layers, int]:
    net = make(spatial_dims=2, in_channels=in_channels, out_channels=1)
    layers: Layers = OrderedDict(
        features=Stages(OrderedDict(net.features.named_children())), relu=nn.ReLU(inplace=True)
    )
    return layers, net.features.norm5.num_features


def _efficientnet(name: str, in_channels: int) -> tuple[Layers, int]:
    net = EfficientNetBN(name, pretrained=False, spatial_dims=2, in_channels=in_channels, num_classes=1)
    for module in net.modules():
        if hasattr(module, "_swish"):
            # MONAI's own swish is a Python autograd function, which can be neither scripted nor exported.
            module._swish = nn.SiLU()
    layers: Layers = OrderedDict(
        _conv_stem_padding=net._conv_stem_padding,
        _conv_stem=net._conv_stem,
        _bn0=net._bn0,
        _swish0=nn.SiLU(),
        _blocks=Stages(*net._blocks),
        _conv_head_padding=net._conv_head_padding,
        _conv_head=net._conv_head,
        _bn1=net._bn1,
        _swish1=nn.SiLU(),
    )
    return layers, net._conv_head.out_channels


_BUILDERS: dict[str, Callable[[int], tuple[Layers, int]]] = {
    "resnet18": lambda channels: _resnet(resnet18, channels),
    "resnet34": lambda channels: _resnet(resnet34, channels),
    "resnet50": lambda channels: _resnet(resnet50, channels),
    "seresnet50": lambda channels: _senet(SEResNet50, channels),
    "seresnext50": lambda channels: _senet(SEResNext50, channels),
    "densenet121": lambda channels: _densenet(DenseNet121, channels),
    "efficientnet-b0": lambda channels: _efficientnet("efficientnet-b0", channels),
    "efficientnet-b1": lambda channels: _efficientnet("efficientnet-b1", channels),
    "efficientnet-b2": lambda channels: _efficientnet("efficientnet-b2", channels),
    "efficientnet-b3": lambda channels: _efficientnet("efficientnet-b3", channels),
    "efficientnet-b4": lambda channels: _efficientnet("efficientnet-b4", channels),
}

ENCODERS: tuple[str, ...] = tuple(_BUILDERS)
"""The names that `Encoder` knows."""


class Encoder(nn.Sequential):
    """One of MONAI's 2-D networks up to its global average pooling: (B, C, H, W) -> (B, D).

    The layers keep MONAI's names without any prefix. For the ResNets these are also torchvision's names and shapes
    (``conv1.weight``, ``layer1.0.bn1.bias``, ``layer2.0.downsample.0.weight``), so state dicts go both ways.
    H and W need not be multiples of 32; the maps are about 1/32 of them, and from 64 pixels on they are larger than
    one pixel, which batch normalisation wants when a single image is trained on. The dropout that MONAI's EfficientNet
    has before its classifier belongs to the classifier and is left out; its random depth in training stays.

    The weights are drawn from torch's global generator. The module can be scripted and exported.

    Args:
        name: one of `ENCODERS`.
        in_channels: C, 1 for grey frames, 3 for RGB.

    Attributes:
        name: as given.
        in_channels: as given.
        feature_dim: D, the length of the pooled feature.
        keep_statistics: in training mode, layers whose parameters are all frozen stay in evaluation mode, so that the
            running figures of their batch normalisation neither change nor give way to those of the batch. On unless
            `tune` is told otherwise; with nothing frozen it changes nothing.

    Raises:
        InputError: for an unknown name or less than one channel.
    """

    def __init__(self, name: str = "resnet18", in_channels: int = 1) -> None:
        if name not in _BUILDERS:
            raise InputError(f"encoder: found {name!r}, expected one of {', '.join(ENCODERS)}")
        if in_channels < 1:
            raise InputError(f"encoder {name}: found in_channels={in_channels}, expected 1 (grey) or 3 (RGB)")
        layers, feature_dim = _BUILDERS[name](in_channels)
        super().__init__(layers)
        self.name = name
        self.in_channels = in_channels
        self.feature_dim = feature_dim
        self.keep_statistics = True

    def train(self, mode: bool = True) -> Encoder:
        """Training or evaluation mode, but see ``keep_statistics``."""
        super().train(mode)
        for layer in self.modules() if mode and self.keep_statistics else []:
            asked = [parameter.requires_grad for parameter in layer.parameters()]
            if asked and not any(asked):
                layer.eval()
        return self

    def feature_maps(self, x: torch.Tensor) -> torch.Tensor:
        """The last maps before pooling: (B, C, H, W) -> (B, D, h, w)."""
        for layer in self:
            x = layer(x)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The maps' mean over space: (B, C, H, W) -> (B, D)."""
        return F.adaptive_avg_pool2d(self.feature_maps(x), 1).flatten(1)
