# SPDX-License-Identifier: Apache-2.0
"""A trained network as a folder that says what it is: the weights, and beside them all that using them needs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import InputError
from ..files import sha256_of, written_beside
from .classifier import FrameClassifier
from .detection import DetectionNet
from .encoder import Encoder
from .pretrained import Number
from .saliency import SaliencyNet
from .segmentation import SegmentationNet
from .weights import FILE_NAME, load_encoder, read_state_dict

WEIGHTS_FILE, DESCRIPTION_FILE = "model.pt", "model.json"
"""The two files of a trained network in the folder of its run."""

EMBEDDING = "embedding"
"""The task of an encoder by itself."""

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "classification": FrameClassifier,
    "segmentation": SegmentationNet,
    "detection": DetectionNet,
    "saliency": SaliencyNet,
    EMBEDDING: lambda encoder: encoder,
}
"""The network of each task, made of an encoder and what ``network`` of the description says."""

_TYPES = {
    **dict.fromkeys(("task", "architecture", "sha256"), str),
    **dict.fromkeys(("in_channels", "image_size"), int),
    **dict.fromkeys(("normalisation", "network", "settings"), dict),
    "class_names": list,
}


@dataclass(frozen=True)
class TrainedModel:
    """A network with its weights, in evaluation mode, and what it was trained for.

    Attributes:
        task: one of `NETWORKS`.
        network: frames ``(N, in_channels, image_size, image_size)`` -> its result.
        class_names: of the class indices; of a segmentation or detection the structure.
        in_channels, image_size: of the frames it takes.
        mean, std: normalisation of grey values of 0 to 1, ``(x - mean) / std``.
        settings: what makes results of outputs, as ``clip_score`` or ``min_score``.
        file: of the weights.
        sha256: of that file.
    """

    task: str
    network: nn.Module
    in_channels: int
    image_size: int
    mean: Number
    std: Number
    file: Path
    sha256: str
    class_names: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    def check_input(self, channels: int, image_size: int) -> None:
        """Refuses frames of another shape than the network was trained on.

        Raises:
            InputError: with both shapes.
        """
        found, expected = (channels, image_size, image_size), (self.in_channels, self.image_size, self.image_size)
        if found != expected:
            raise InputError(
                f"{self.file}: found frames (C, H, W) of {found}, expected {expected}, as the network was trained; "
                "leave in_channels and image_size out, or train a network for these"
            )


def write_description(folder: str | os.PathLike[str], description: Mapping[str, Any]) -> None:
    """Writes ``model.json`` for the ``model.pt`` that lies in ``folder``: the description and the weights' SHA-256.

    Args:
        folder: of the run.
        description: ``task`` (one of `NETWORKS`), ``class_names``, ``architecture`` and ``in_channels`` of the encoder,
            ``image_size``, ``normalisation`` (``mean``, ``std``), ``network`` (what its class is called with beside the
            encoder), ``settings``; further entries stay as they are.
    """
    digest = sha256_of(Path(folder) / WEIGHTS_FILE)
    text = json.dumps({**description, "sha256": digest}, indent=1, allow_nan=False)
    with written_beside(Path(folder) / DESCRIPTION_FILE) as beside:
        beside.write_text(text + "\n", encoding="utf-8")


def open_model(folder: str | os.PathLike[str], task: str | None = None) -> TrainedModel:
    """The network of a run: of its ``model.pt`` and ``model.json``, or, of a pretraining, its encoder.

    Args:
        folder: of the run (`write_description`, `save_encoder`).
        task: None for that of the run; `EMBEDDING` for the encoder within any.

    Raises:
        InputError: neither pair of files is there, they do not belong together or cannot be used, or the run was made
            for another task.
    """
    path = Path(folder)
    if (path / DESCRIPTION_FILE).is_file():
        found = _open_described(path)
        if task == EMBEDDING and found.task != EMBEDDING:
            encoder: Any = found.network.encoder
            return TrainedModel(
                task=EMBEDDING, network=encoder, **{name: getattr(found, name) for name in _SHARED_WITH_ENCODER}
            )
    elif (path / FILE_NAME).is_file() or path.suffix == ".safetensors":
        found = _open_encoder(path)
    else:
        raise InputError(
            f"{path}: found no {DESCRIPTION_FILE} with {WEIGHTS_FILE} and no {FILE_NAME}, expected the folder of a run "
            f"that was fine-tuned or pretrained; name that, or train it anew where it is older than {DESCRIPTION_FILE}"
        )
    if task not in (None, found.task):
        raise InputError(
            f"{path}: was trained for {found.task}, not for {task!r}; leave out --task, ask for {EMBEDDING}, or name "
            "the folder of another run"
        )
    return found


_SHARED_WITH_ENCODER = ("in_channels", "image_size", "mean", "std", "file", "sha256")


def read_description(folder: Path) -> dict[str, Any]:
    """What ``model.json`` says of the ``model.pt`` beside it.

    Raises:
        InputError: one of the two cannot be read or used, or they do not belong together.
    """
    description, weights = folder / DESCRIPTION_FILE, folder / WEIGHTS_FILE
    try:
        said = json.loads(description.read_text(encoding="utf-8"))
        digest = sha256_of(weights)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{description}: it or {weights.name} beside it cannot be read ({error}); copy both anew"
        ) from error
    bad = [key for key, kind in _TYPES.items() if not isinstance(said, dict) or not isinstance(said.get(key), kind)]
    if bad or said["task"] not in NETWORKS or set(said["normalisation"]) != {"mean", "std"}:
        wrong = ", ".join(bad) or f"task {said['task']!r} with normalisation {said['normalisation']}"
        raise InputError(f"{description}: found no usable {wrong}; expected what a fine-tuning run wrote")
    if said["sha256"] != digest:
        raise InputError(f"{description}: describes other weights than {weights.name} (SHA-256 differs); copy both")
    return said


def _open_described(folder: Path) -> TrainedModel:
    description, weights = folder / DESCRIPTION_FILE, folder / WEIGHTS_FILE
    said = read_description(folder)
    network = _network_of(said, description)
    _load(network, weights, description)
    return TrainedModel(
        task=said["task"],
        network=network.eval(),
        in_channels=said["in_channels"],
        image_size=said["image_size"],
        mean=said["normalisation"]["mean"],
        std=said["normalisation"]["std"],
        file=weights,
        sha256=said["sha256"],
        class_names=said["class_names"],
        settings=said["settings"],
    )


def _network_of(said: Mapping[str, Any], description: Path) -> nn.Module:
    try:
        return NETWORKS[said["task"]](Encoder(said["architecture"], said["in_channels"]), **said["network"])
    except (TypeError, InputError) as error:
        raise InputError(f"{description}: no network can be made of it ({error}); copy it anew") from error


def _load(network: nn.Module, weights: Path, description: Path) -> None:
    state = read_state_dict(weights)
    own = network.state_dict()
    for name in [*own, *state]:
        found, expected = ("nothing" if name not in tensors else tuple(tensors[name].shape) for tensors in (state, own))
        if found != expected:
            raise InputError(
                f"{weights}: found {found} for {name}, expected {expected} by {description.name}; use the weights and "
                "the description of one run"
            )
    network.load_state_dict(state)


def _open_encoder(path: Path) -> TrainedModel:
    encoder, info = load_encoder(path)
    weights = path if path.suffix == ".safetensors" else path / FILE_NAME
    if not isinstance(info.get("image_size"), int) or "normalisation" not in info:
        raise InputError(
            f"{weights}: says nothing of a square image_size and a normalisation, expected an encoder that a run "
            "exported; export it again"
        )
    return TrainedModel(
        task=EMBEDDING,
        network=encoder.eval(),
        in_channels=info["in_channels"],
        image_size=info["image_size"],
        mean=info["normalisation"]["mean"],
        std=info["normalisation"]["std"],
        file=weights,
        sha256=sha256_of(weights),
    )
