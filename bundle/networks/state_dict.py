# SPDX-License-Identifier: Apache-2.0
"""Loading weights into a module so that a wrong file is refused instead of loaded in part."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from ..errors import InputError
from .encoder import ENCODERS, Encoder

logger = logging.getLogger(__name__)

_WRAPPERS = ("module.", "_orig_mod.")  # put before every key by DataParallel or DDP, and by torch.compile
_HEADS = ("fc.", "_fc.", "last_linear.", "class_layers.", "classifier.", "head.")  # classifiers of known networks
_COUNTER = "num_batches_tracked"  # older files lack it, and nothing here needs it


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did, as sorted lists of keys."""

    loaded: list[str]
    missing: list[str]  # the module has it, the file does not
    unexpected: list[str]  # the file has it, the module does not
    mismatched: list[str]  # both have it, with different shapes

    def __str__(self) -> str:
        """``loaded 120, missing 2 (a, b), unexpected 0, mismatched 0``."""
        parts = [f"loaded {len(self.loaded)}"]
        for word in ("missing", "unexpected", "mismatched"):
            parts.append(f"{word} {len(getattr(self, word))}{_few(getattr(self, word))}")
        return ", ".join(parts)


def counts(key: str) -> bool:
    """Whether a tensor counts when a file is compared with a network: batch counters do not."""
    return not key.endswith(_COUNTER)


def _few(keys: Sequence[str], most: int = 3) -> str:
    return f" ({', '.join(keys[:most])}{', ...' if len(keys) > most else ''})" if keys else ""


def unwrapped(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same without the prefixes (``module.``, ``_orig_mod.``) that wrappers put before every key."""
    plain = dict(state_dict)
    while prefix := next((p for p in _WRAPPERS if plain and all(key.startswith(p) for key in plain)), ""):
        plain = {key.removeprefix(prefix): value for key, value in plain.items()}
    return plain


def to_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """A first convolution (O, I, k, k) for grey instead of RGB input or the other way round; else as it is."""
    found = weight.shape[1]
    if (found, channels) == (3, 1):
        return weight.sum(dim=1, keepdim=True)
    if (found, channels) == (1, 3):
        return weight.expand(-1, 3, -1, -1) / 3
    return weight


@lru_cache
def shapes_of(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an encoder's tensors."""
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in Encoder(name).state_dict().items() if counts(key)}


def _looks_like(state_dict: Mapping[str, torch.Tensor]) -> str:
    """Which of our encoders has these tensors, in words for an error."""
    shapes = {key: tuple(value.shape) for key, value in state_dict.items() if counts(key)}
    shapes = {key: shape for key, shape in shapes.items() if not key.startswith(_HEADS)}
    for name in ENCODERS:
        layout = shapes_of(name)
        first = next(key for key, shape in layout.items() if len(shape) == 4)  # for any number of channels
        if shapes.keys() == layout.keys() and all(shapes[key] == layout[key] for key in layout if key != first):
            return name
    return "an unknown architecture"


def load_weights(module: nn.Module, state_dict: Mapping[str, torch.Tensor], *, min_matched: float = 1.0) -> LoadReport:
    """Copy a state dict into a module, or refuse.

    The share of matching tensors (same key, same shape) is taken of the module's tensors and of the file's, and the
    smaller one counts: a deeper network's file holds all keys of a shallower one and is still the wrong file. Not
    counted are batch counters and the classifier of a known network that the module does not have (``fc.weight`` of a
    torchvision ResNet). ``module.`` and ``_orig_mod.`` before every key are taken off.

    A first convolution for RGB becomes one for grey by summing over its three channels, one for grey becomes one for
    RGB by spreading it, a third each. Both give exactly the old output for a grey image seen as R = G = B; so where
    the old network normalised each channel differently, the sum only approximates it.

    Args:
        module: changed in place, and only when the share is reached.
        state_dict: tensors by key.
        min_matched: least share, 0 to 1. Below 1, what is left over is logged as a warning.

    Raises:
        InputError: when fewer match, with the architecture expected and the one that the keys look like.
    """
    found = unwrapped(state_dict)
    own = module.state_dict()
    first = next((key for key, value in own.items() if value.ndim == 4), "")
    if first in found and found[first].ndim == 4:
        found[first] = to_channels(found[first], own[first].shape[1])
    report = LoadReport(
        loaded=sorted(key for key in own if key in found and own[key].shape == found[key].shape),
        missing=sorted(key for key in own if key not in found),
        unexpected=sorted(key for key in found if key not in own),
        mismatched=sorted(key for key in own if key in found and own[key].shape != found[key].shape),
    )
    matched = share_matched(report)
    if matched < min_matched or not report.loaded:
        inside = getattr(module, "encoder", None)
        expected = module.name if isinstance(module, Encoder) else type(module).__name__
        expected += f" with a {inside.name}" if isinstance(inside, Encoder) else ""
        raise InputError(
            f"weights: found {_looks_like(_of_encoder(found))}, expected {expected}; {matched:.1%} of the tensors "
            f"match and {min_matched:.0%} must ({report}); give the file of this architecture, or choose the file's "
            "architecture"
        )
    module.load_state_dict({key: found[key] for key in report.loaded}, strict=False)
    if matched < 1:
        logger.warning("weights loaded in part: %s", report)
    return report


def _of_encoder(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of the encoder in the weights of a network that holds one; else all of them."""
    inside = {key.removeprefix("encoder."): value for key, value in state_dict.items() if key.startswith("encoder.")}
    return inside or state_dict


def share_matched(report: LoadReport) -> float:
    """The share that `load_weights` compares with ``min_matched``."""

    def count(keys: list[str]) -> int:
        return sum(map(counts, keys))

    loaded, mismatched = count(report.loaded), count(report.mismatched)
    unexpected = count([key for key in report.unexpected if not key.startswith(_HEADS)])
    in_both = loaded + mismatched
    return loaded / max(in_both + count(report.missing), in_both + unexpected, 1)
