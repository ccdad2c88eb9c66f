# SPDX-License-Identifier: Apache-2.0
"""What others call the tensors of our encoders and of the heads on them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from ..errors import InputError
from .encoder import ENCODERS
from .state_dict import shapes_of

PROJECTOR = ("projector.0", "projector.2")
CLASSIFIER = "classifier"
PROJECTION_CLASSIFIER = "projection_classifier"
"""The heads of a network: its `ProjectionHead`'s two layers, and the classifier that reads the encoder's feature or the
projection."""

Rules = tuple[tuple[str, str], ...]
"""Regular expressions and what takes the place of what they find, in our names."""


@dataclass(frozen=True)
class Layout:
    """The names of one kind of file.

    Args:
        rules: by family of networks, what makes their names of ours; a family that is not there has no such layout.
        prefix: stands before the names of the encoder, not before those of the heads.
        heads: by family, their name of each head that the layout has a place for.
        unused: what such files may hold beside, which their networks do not use.
    """

    rules: Mapping[str, Rules]
    heads: Mapping[str, Mapping[str, str]]
    prefix: str = ""
    unused: tuple[str, ...] = field(default=())


_FAMILIES = {"resnet": "resnet", "seresne": "senet", "densenet": "densenet", "efficientnet": "efficientnet"}

_STEMS = {
    "resnet": "conv1.weight",
    "senet": "layer0.conv1.weight",
    "densenet": "features.conv0.weight",
    "efficientnet": "_conv_stem.weight",
}
"""The first convolution of each family."""

_VARIANCE = "running_var"

_SAME: dict[str, Rules] = {family: () for family in _FAMILIES.values()}

_DENSENET: Rules = ((r"(denselayer\d+)\.layers\.", r"\1."),)

_SENET: Rules = (
    (r"\.(conv\d)\.conv\.", r".\1."),
    (r"\.conv(\d)\.adn\.N\.", r".bn\1."),
    (r"\.se_layer\.fc\.0\.", ".se_module.fc1."),
    (r"\.se_layer\.fc\.2\.", ".se_module.fc2."),
    (r"\.project\.conv\.", ".downsample.0."),
    (r"\.project\.adn\.N\.", ".downsample.1."),
)

_USCL: Rules = (
    (r"^conv1\.", "features.0."),
    (r"^bn1\.", "features.1."),
    *((rf"^layer{stage}\.", f"features.{stage + 3}.") for stage in range(1, 5)),
)

_CONTRAST = {
    **{head: f"heads.contrast.{head}" for head in PROJECTOR},
    CLASSIFIER: "heads.contrast.classifier",
    PROJECTION_CLASSIFIER: "heads.contrast.classifier",
}

LAYOUTS: dict[str, Layout] = {
    "torchvision": Layout(
        {"resnet": (), "densenet": _DENSENET},
        {"resnet": {CLASSIFIER: "fc"}, "densenet": {CLASSIFIER: "classifier"}},
    ),
    # timm's SE networks that compute what MONAI's do are legacy_seresnet50 and legacy_seresnext50_32x4d
    "timm": Layout(
        {"resnet": (), "densenet": _DENSENET, "senet": _SENET},
        {
            "resnet": {CLASSIFIER: "fc"},
            "densenet": {CLASSIFIER: "classifier"},
            "senet": {CLASSIFIER: "last_linear"},
        },
    ),
    "monai": Layout(
        _SAME,
        {
            "resnet": {CLASSIFIER: "fc"},
            "senet": {CLASSIFIER: "last_linear"},
            "densenet": {CLASSIFIER: "class_layers.out"},
            "efficientnet": {CLASSIFIER: "_fc"},
        },
    ),
    # ResNetSimCLR of the released train_USCL/models/resnet_simclr.py: torchvision's children in a Sequential, l1, ReLU,
    # l2, and fc on what l2 gives. fc1 and fc2 are made and never run.
    "uscl": Layout(
        {"resnet": _USCL},
        {"resnet": {PROJECTOR[0]: "l1", PROJECTOR[1]: "l2", PROJECTION_CLASSIFIER: "fc"}},
        unused=("fc1.", "fc2."),
    ),
    "classifier": Layout(_SAME, {family: {CLASSIFIER: "classifier"} for family in _SAME}, prefix="encoder."),
    "pretext": Layout(_SAME, {family: _CONTRAST for family in _SAME}, prefix="encoder."),
}
"""By name: other projects' networks, then our `FrameClassifier` and the `PretextNet` of a contrastive recipe."""


@dataclass(frozen=True)
class Found:
    """What the names and shapes in a file fit, and how well: the share of the tensors, and the number of heads."""

    architecture: str
    layout: str
    prefix: str
    share: float = 0.0
    heads: int = 0


def family_of(architecture: str) -> str:
    """Which of MONAI's networks an encoder is: resnet, senet, densenet or efficientnet."""
    return next(family for start, family in _FAMILIES.items() if architecture.startswith(start))


@lru_cache
def names(architecture: str, layout: str) -> dict[str, str]:
    """Their name of each tensor of the encoder, batch counters among them, by our name.

    Raises:
        InputError: the layout has no such architecture.
    """
    family = family_of(architecture)
    if family not in LAYOUTS[layout].rules:
        known = [name for name in LAYOUTS if family in LAYOUTS[name].rules]
        raise InputError(f"layout: found {layout}, which has no {architecture}, expected one of {', '.join(known)}")
    renamed = {}
    for ours in shapes_of(architecture):
        renamed[ours] = _renamed(ours, family, layout)
        if ours.endswith(_VARIANCE):
            renamed[counter_of(ours)] = counter_of(renamed[ours])
    return renamed


def _renamed(ours: str, family: str, layout: str) -> str:
    for pattern, replacement in LAYOUTS[layout].rules[family]:
        ours = re.sub(pattern, replacement, ours)
    return LAYOUTS[layout].prefix + ours


def counter_of(variance: str) -> str:
    """The name of the batch counter beside a running variance."""
    return variance.removesuffix(_VARIANCE) + "num_batches_tracked"


def head_names(architecture: str, layout: str) -> dict[str, str]:
    """Their name of each head that the layout has a place for, by ours."""
    return dict(LAYOUTS[layout].heads[family_of(architecture)])


def alike(found: tuple[int, ...], ours: tuple[int, ...]) -> bool:
    """Whether a tensor has the shape of ours: a 1 x 1 convolution is a linear layer, and a first convolution may take 3
    channels for our 1."""
    if len(found) == 4 and len(ours) == 2 and found[2:] == (1, 1):
        found = found[:2]
    if len(ours) == 4 and ours[1] == 1 and len(found) == 4 and found[1] == 3:
        found = (found[0], 1, *found[2:])
    return found == ours


def recognised(
    shapes: Mapping[str, tuple[int, ...]],
    architecture: str | None = None,
    layout: str | None = None,
    prefixes: tuple[str, ...] = ("", "backbone.", "encoder."),
) -> Found:
    """The architecture, the layout and the prefix that the tensors of a file fit best.

    Those are tried whose first convolution is there, or the ``architecture`` given.

    Args:
        shapes: by name, without batch counters.
        architecture, layout: only this one.
        prefixes: what may stand before every name.
    """
    best = Found(architecture or ENCODERS[0], layout or next(iter(LAYOUTS)), prefixes[0])
    for prefix in prefixes:
        inside = {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}
        for a_layout in LAYOUTS if layout is None else (layout,):
            for name in ENCODERS if architecture is None else (architecture,):
                family = family_of(name)
                if family not in LAYOUTS[a_layout].rules:
                    continue
                if architecture is not None or _renamed(_STEMS[family], family, a_layout) in inside:
                    best = max(best, _fit(inside, name, a_layout, prefix), key=lambda found: (found.share, found.heads))
    return best


def _fit(shapes: Mapping[str, tuple[int, ...]], architecture: str, layout: str, prefix: str) -> Found:
    expected, own = names(architecture, layout), shapes_of(architecture)
    matched = sum(expected[ours] in shapes and alike(shapes[expected[ours]], shape) for ours, shape in own.items())
    of_encoder = sum(key.startswith(LAYOUTS[layout].prefix) for key in shapes)
    heads = sum(f"{name}.weight" in shapes for name in head_names(architecture, layout).values())
    return Found(architecture, layout, prefix, matched / max(len(own), of_encoder), heads)
