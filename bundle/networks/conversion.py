# SPDX-License-Identifier: Apache-2.0
"""Weights from one project's layout to another's, without a change in what the network computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from ..errors import InputError
from .encoder import Encoder
from .layouts import (
    CLASSIFIER,
    LAYOUTS,
    PROJECTION_CLASSIFIER,
    PROJECTOR,
    alike,
    counter_of,
    family_of,
    head_names,
    names,
    recognised,
)
from .state_dict import LoadReport, counts, shapes_of, share_matched, to_channels, unwrapped

_CHANNELS = (1, 3)


@dataclass(frozen=True)
class Checkpoint:
    """A network in our names, wherever it comes from.

    Args:
        architecture: one of `ENCODERS`.
        layout: one of `LAYOUTS`, that of the file.
        prefix: what stood before its names.
        encoder: tensors of an `Encoder`, as far as the file holds them.
        heads: ``projector.0``, ``projector.2``, ``classifier``, ``projection_classifier`` (see `layouts`), each
            with ``.weight`` and ``.bias``, as far as the file holds them.
        report: the file's names; what is missing is named as the file would have named it.
        matched: share of the tensors that fit, as `load_weights` counts it; not counted are tensors outside the prefix
            and those that the layout's own network does not use.
    """

    architecture: str
    layout: str
    prefix: str
    encoder: dict[str, torch.Tensor]
    heads: dict[str, torch.Tensor]
    report: LoadReport
    matched: float

    @property
    def in_channels(self) -> int:
        """Channels of the first convolution; 0 when it is missing."""
        weight = self.encoder.get(_first(self.architecture))
        return 0 if weight is None else weight.shape[1]


def read_checkpoint(
    state_dict: Mapping[str, torch.Tensor],
    architecture: str | None = None,
    layout: str | None = None,
    prefix: str | None = None,
) -> Checkpoint:
    """A state dict of any layout in our names.

    What is not given is recognised by names and shapes. ``module.`` and ``_orig_mod.`` before every name are taken
    off, then ``backbone.`` or ``encoder.`` where the encoder is there; what lies beside it is left alone.

    The biases that MONAI's ResNet has in its shortcuts unless told otherwise, and ours does not, are taken off the
    running mean of the batch normalisation that follows: the same output, in training too.

    Args:
        state_dict: tensors by name.
        architecture: one of `ENCODERS`.
        layout: one of `LAYOUTS`.
        prefix: what stands before the names, as ``encoder_q.``.

    Raises:
        InputError: the layout has no such architecture.
    """
    if architecture is not None and layout is not None:
        names(architecture, layout)
    plain = unwrapped(state_dict)
    shapes = {key: tuple(value.shape) for key, value in plain.items() if counts(key)}
    found = recognised(shapes, architecture, layout, *(() if prefix is None else ((prefix,),)))
    expected = {ours: found.prefix + theirs for ours, theirs in names(found.architecture, found.layout).items()}
    own = shapes_of(found.architecture)
    encoder: dict[str, torch.Tensor] = {}
    for ours, theirs in expected.items():
        if theirs in plain and alike(tuple(plain[theirs].shape), own.get(ours, ())):
            value = plain[theirs]
            encoder[ours] = value.flatten(1) if value.ndim == 4 and len(own[ours]) == 2 else value
    used = {expected[ours] for ours in encoder}
    if family_of(found.architecture) == "resnet":
        used |= _fold_biases(plain, expected, encoder)
    heads, of_heads = _heads(plain, found.architecture, found.layout, found.prefix)
    report = LoadReport(
        loaded=sorted(used | of_heads),
        missing=sorted(set(expected.values()) - plain.keys()),
        unexpected=sorted(plain.keys() - used - of_heads - set(expected.values())),
        mismatched=sorted(plain.keys() & set(expected.values()) - used),
    )
    unused = tuple(found.prefix + name for name in LAYOUTS[found.layout].unused)
    inside = found.prefix + LAYOUTS[found.layout].prefix
    counted = [key for key in report.unexpected if key.startswith(inside) and not key.startswith(unused)]
    matched = share_matched(replace(report, unexpected=counted))
    return Checkpoint(found.architecture, found.layout, found.prefix, encoder, heads, report, matched)


def converted(
    checkpoint: Checkpoint, layout: str, in_channels: int | None = None, heads: bool = True, prefix: str = ""
) -> dict[str, torch.Tensor]:
    """The state dict of a checkpoint in another layout.

    What the checkpoint lacks is not made up, but for batch counters, which are 0.

    Args:
        checkpoint: what `read_checkpoint` gave.
        layout: one of `LAYOUTS`.
        in_channels: 1 or 3, see `load_weights`; as it is when not given.
        heads: whether the heads go along that the layout has a place for.
        prefix: is put before every name.

    Raises:
        InputError: the layout has no such architecture or needs a head that is not there; other numbers of channels.
    """
    if in_channels not in (None, *_CHANNELS):
        raise InputError(f"channels: found {in_channels}, expected 1 (grey) or 3 (RGB)")
    renamed, own = names(checkpoint.architecture, layout), dict(checkpoint.encoder)
    first = _first(checkpoint.architecture)
    if in_channels is not None and first in own:
        own[first] = to_channels(own[first], in_channels)
    tensors = {}
    for ours, value in own.items():
        conv = ".se_module." in renamed[ours] and value.ndim == 2  # timm's squeeze and excitation convolves
        tensors[renamed[ours]] = value[..., None, None] if conv else value
        if ours.endswith("running_var"):
            tensors[renamed[counter_of(ours)]] = own.get(counter_of(ours), torch.tensor(0))
    for ours in carried(checkpoint, layout) if heads else ():
        head, _, part = ours.rpartition(".")
        tensors[f"{head_names(checkpoint.architecture, layout)[head]}.{part}"] = checkpoint.heads[ours]
    needed = {"classifier": CLASSIFIER, "pretext": PROJECTOR[0]}.get(layout)
    if needed and not (heads and f"{needed}.weight" in checkpoint.heads):
        raise InputError(f"layout {layout}: found no {needed.split('.')[0]} to go along, choose another layout")
    return {prefix + key: value.contiguous().clone() for key, value in tensors.items()}


def carried(checkpoint: Checkpoint, layout: str) -> list[str]:
    """Which of the checkpoint's heads a layout has a place for."""
    places = head_names(checkpoint.architecture, layout)
    return [key for key in checkpoint.heads if key.rpartition(".")[0] in places]


def _first(architecture: str) -> str:
    return next(key for key, shape in shapes_of(architecture).items() if len(shape) == 4)


def _fold_biases(
    plain: Mapping[str, torch.Tensor], expected: Mapping[str, str], encoder: dict[str, torch.Tensor]
) -> set[str]:
    """Takes the shortcuts' biases off the means that follow; which of the file's tensors that were."""
    used = set()
    for ours in [key for key in encoder if key.endswith("downsample.0.weight")]:
        bias, mean = expected[ours].removesuffix("weight") + "bias", ours.replace(".0.weight", ".1.running_mean")
        if bias in plain and mean in encoder and plain[bias].shape == encoder[mean].shape:
            encoder[mean] = encoder[mean] - plain[bias]
            used.add(bias)
    return used


def _heads(
    plain: Mapping[str, torch.Tensor], architecture: str, layout: str, prefix: str
) -> tuple[dict[str, torch.Tensor], set[str]]:
    """The heads in our names, and which of the file's tensors these are. A head of another width is none."""
    with torch.device("meta"):
        width = Encoder(architecture).feature_dim
    theirs = {ours: prefix + name for ours, name in head_names(architecture, layout).items()}
    inner, outer = (plain.get(f"{theirs.get(name)}.weight") for name in PROJECTOR)
    reads = {CLASSIFIER: width}
    if inner is not None and outer is not None and inner.ndim == outer.ndim == 2 and inner.shape[1] == width:
        reads |= {PROJECTOR[0]: width, PROJECTOR[1]: inner.shape[0], PROJECTION_CLASSIFIER: outer.shape[0]}
    if theirs.get(CLASSIFIER) == theirs.get(PROJECTION_CLASSIFIER) and reads.get(PROJECTION_CLASSIFIER) == width:
        theirs = {name: theirs[name] for name in PROJECTOR}  # one name for both, and nothing tells which of them it is
    heads, used = {}, set()
    for ours, name in theirs.items():
        weight = plain.get(f"{name}.weight")
        if weight is not None and weight.ndim == 2 and weight.shape[1] == reads.get(ours):
            for part in ("weight", "bias"):
                if f"{name}.{part}" in plain:
                    heads[f"{ours}.{part}"] = plain[f"{name}.{part}"]
                    used.add(f"{name}.{part}")
    return heads, used
