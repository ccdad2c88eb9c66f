# SPDX-License-Identifier: Apache-2.0
"""From a run's folder to the two files that others use: plain weights, and what they are."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from ..data.fingerprints import clips_beside
from ..errors import InputError
from ..files import made_folder, written_beside
from .encoder import Encoder
from .provenance import tell_replaced
from .trained_model import DESCRIPTION_FILE, EMBEDDING, WEIGHTS_FILE, TrainedModel, open_model, write_description
from .weights import described

MUST_AGREE = ("task", "class_names", "architecture", "in_channels", "image_size", "normalisation", "network")
"""What a bundle's configs say of its network, beside the weights themselves."""


def description_of(model: TrainedModel) -> dict[str, Any]:
    """What ``model.json`` says of a model, without its SHA-256; of an encoder the same, from its own description."""
    if model.file.suffix != ".safetensors":
        content = json.loads((model.file.parent / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        return {name: value for name, value in content.items() if name != "sha256"}
    info = described(model.file)[1]
    encoder = model.network
    assert isinstance(encoder, Encoder)
    return {
        "task": EMBEDDING,
        "class_names": [],
        "architecture": encoder.name,
        "in_channels": encoder.in_channels,
        "image_size": info["image_size"],
        "normalisation": info["normalisation"],
        "network": {},
        "settings": {},
        "data": info["trained"].get("data", ""),
        "trained": info["trained"],
    }


def write_model(folder: str | os.PathLike[str], model: TrainedModel) -> Path:
    """Writes ``model.pt``, a flat state dict of plain contiguous tensors on the CPU, and ``model.json`` beside it.

    The fingerprints of the clips that an encoder was trained on go with it, where they lie beside ``model.file``.

    Returns:
        The path of the weights; they load with ``weights_only=True`` and without MONAI.
    """
    description = description_of(model)
    path = made_folder(Path(folder)) / WEIGHTS_FILE
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.network.state_dict().items()
    }
    with written_beside(path) as beside:
        torch.save(state, beside)
    if (clips := clips_beside(model.file)).is_file():
        with written_beside(clips_beside(path)) as beside:
            shutil.copyfile(clips, beside)
    else:
        clips_beside(path).unlink(missing_ok=True)
    write_description(folder, description)
    return path


def publish(run_dir: str | os.PathLike[str], models_dir: str | os.PathLike[str]) -> Path:
    """Puts the model of a finished run in the place of a bundle's, whose configs go on describing it.

    What the bundle says of its weights is made true as far as that can be known (`tell_replaced`).

    Raises:
        InputError: it is another kind of model than the one there: of another task, other classes, another size.
    """
    model = open_model(run_dir)
    here = Path(models_dir) / DESCRIPTION_FILE
    if here.is_file():
        said, new = json.loads(here.read_text(encoding="utf-8")), description_of(model)
        for name in MUST_AGREE:
            if said.get(name) != new.get(name):
                raise InputError(
                    f"{run_dir}: its model has {name} {new.get(name)}, the bundle's configs describe {said.get(name)}; "
                    f"the bundle is left as it was, the new model stays in {run_dir}: export it as a bundle of its own"
                )
    path = write_model(models_dir, model)
    tell_replaced(path, run_dir, description_of(model))
    return path
