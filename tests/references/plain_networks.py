# SPDX-License-Identifier: Apache-2.0
"""Other projects' networks in plain PyTorch, with the names and the arithmetic that their files are made for.

torchvision and timm cannot be imported next to every build of torch, and USCL's code is no package. Written from their
sources: torchvision/models/resnet.py and densenet.py, timm/models/senet.py, and train_USCL/models/resnet_simclr.py of
github.com/983632847/USCL.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn


def _conv(inside: int, outside: int, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=False)


class SqueezeExcitation(nn.Module):
    """timm's: the linear layers are convolutions of one pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, width // 16, 1)
        self.fc2 = nn.Conv2d(width // 16, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class Block(nn.Module):
    """Basic block (two layers) or bottleneck (three), by the layers given as (width, kernel, stride, groups)."""

    def __init__(self, inside: int, layers: list[tuple[int, int, int, int]], squeeze: bool = False) -> None:
        super().__init__()
        width, stride = inside, 1
        for number, (outside, size, step, groups) in enumerate(layers, start=1):
            self.add_module(f"conv{number}", _conv(width, outside, size, step, groups))
            self.add_module(f"bn{number}", nn.BatchNorm2d(outside))
            width, stride = outside, stride * step
        self.count = len(layers)
        if squeeze:
            self.se_module = SqueezeExcitation(width)
        self.squeeze = squeeze
        changed = stride != 1 or inside != width
        self.downsample = (
            nn.Sequential(_conv(inside, width, 1, stride), nn.BatchNorm2d(width)) if changed else nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = y.relu() if number < self.count else y
        return ((self.se_module(y) if self.squeeze else y) + self.downsample(x)).relu()


def _stage(inside: int, width: int, count: int, stride: int, kind: str) -> tuple[nn.Sequential, int]:
    blocks = []
    for number in range(count):
        step = stride if number == 0 else 1
        layers = {
            "basic": [(width, 3, step, 1), (width, 3, 1, 1)],
            "bottleneck": [(width, 1, 1, 1), (width, 3, step, 1), (4 * width, 1, 1, 1)],
            "seresnet": [(width, 1, step, 1), (width, 3, 1, 1), (4 * width, 1, 1, 1)],  # the stride comes first
            "seresnext": [(2 * width, 1, 1, 1), (2 * width, 3, step, 32), (4 * width, 1, 1, 1)],
        }[kind]
        blocks.append(Block(inside, layers, squeeze=kind.startswith("se")))
        inside = layers[-1][0]
    return nn.Sequential(*blocks), inside


class ResNet(nn.Module):
    """torchvision's and timm's ResNet."""

    def __init__(self, kind: str, counts: tuple[int, ...], num_classes: int = 1000, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = _conv(channels, 64, 7, 2)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inside = 64
        for number, count in enumerate(counts):
            stage, inside = _stage(inside, 64 * 2**number, count, 1 + (number > 0), kind)
            self.add_module(f"layer{number + 1}", stage)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inside, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def resnet18(num_classes: int = 1000, channels: int = 3) -> ResNet:
    return ResNet("basic", (2, 2, 2, 2), num_classes, channels)


def resnet50(num_classes: int = 1000, channels: int = 3) -> ResNet:
    return ResNet("bottleneck", (3, 4, 6, 3), num_classes, channels)


class LegacySENet(nn.Module):
    """timm's legacy_seresnet50 and legacy_seresnext50_32x4d."""

    def __init__(self, kind: str, num_classes: int = 1000, channels: int = 3) -> None:
        super().__init__()
        self.layer0 = nn.Sequential(
            OrderedDict(conv1=_conv(channels, 64, 7, 2), bn1=nn.BatchNorm2d(64), relu1=nn.ReLU(inplace=True))
        )
        self.pool0 = nn.MaxPool2d(3, 2, ceil_mode=True)
        inside = 64
        for number, count in enumerate((3, 4, 6, 3)):
            stage, inside = _stage(inside, 64 * 2**number, count, 1 + (number > 0), kind)
            self.add_module(f"layer{number + 1}", stage)
        self.last_linear = nn.Linear(inside, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool0(self.layer0(x))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.last_linear(x.mean((2, 3)))


class DenseLayer(nn.Module):
    def __init__(self, inside: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inside), _conv(inside, 128, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(128), _conv(128, 32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.conv2(self.norm2(self.conv1(self.norm1(x).relu())).relu())], 1)


class DenseNet121(nn.Module):
    """torchvision's and timm's densenet121."""

    def __init__(self, num_classes: int = 1000, channels: int = 3) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=_conv(channels, 64, 7, 2), norm0=nn.BatchNorm2d(64), relu0=nn.ReLU(), pool0=nn.MaxPool2d(3, 2, 1)
        )
        width = 64
        for number, count in enumerate((6, 12, 24, 16), start=1):
            names = {f"denselayer{i + 1}": DenseLayer(width + 32 * i) for i in range(count)}
            layers[f"denseblock{number}"] = nn.Sequential(OrderedDict(names))
            width += 32 * count
            if number < 4:
                parts = {"norm": nn.BatchNorm2d(width), "relu": nn.ReLU(), "conv": _conv(width, width // 2, 1)}
                layers[f"transition{number}"] = nn.Sequential(OrderedDict(parts | {"pool": nn.AvgPool2d(2, 2)}))
                width //= 2
        layers["norm5"] = nn.BatchNorm2d(width)
        self.features = nn.Sequential(layers)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).relu().mean((2, 3)))


class ResNetSimCLR(nn.Module):
    """USCL's network as released: feature, projection, and classes of the projection. fc1 and fc2 are never run."""

    def __init__(self, resnet: ResNet, out_dim: int = 256, num_classes: int = 2) -> None:
        super().__init__()
        width = resnet.fc.in_features
        self.features = nn.Sequential(*list(resnet.children())[:-1])
        self.l1, self.l2 = nn.Linear(width, width), nn.Linear(width, out_dim)
        self.fc = nn.Linear(out_dim, num_classes)
        self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        h = self.features(x).flatten(1)
        projection = self.l2(self.l1(h).relu())
        return h, projection, self.fc(projection)


def with_statistics(network: nn.Module, seed: int = 0) -> nn.Module:
    """In evaluation mode, each batch normalisation with figures and weights other than 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low, high in (
                (layer.running_mean, -0.2, 0.2),
                (layer.running_var, 0.7, 1.3),
                (layer.weight.data, 0.7, 1.1),
                (layer.bias.data, -0.2, 0.2),
            ):
                tensor.uniform_(low, high, generator=generator)
            layer.num_batches_tracked.fill_(7)
    return network.eval()
