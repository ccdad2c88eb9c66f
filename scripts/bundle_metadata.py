# SPDX-License-Identifier: Apache-2.0
"""What an exported bundle says of itself to programs: its metadata.json, made from the run of its weights."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch
from bundle_facts import tested
from bundle_tasks import ROOT, ExportTask
from packaging.requirements import Requirement

import bundle
from bundle.errors import InputError
from bundle.networks import EMBEDDING, FrameClassifier, only_simulated, sources
from bundle.networks.provenance import SMALL, origin_in_metadata
from bundle.networks.trained_model import TrainedModel

OUTPUTS = {
    "classification": ("logits", "classes", "logits of the classes {classes}; softmax makes probabilities of them"),
    "segmentation": ("image", "segmentation", "a logit a pixel, above 0 where it is more likely {classes} than not"),
    "saliency": ("image", "density", "the share of all looks that falls on each pixel; the pixels of a frame sum to 1"),
    "detection": (
        "object",
        "boxes",
        "one box an anchor: channels 0 to 3 are x0, y0, x1, y1 in pixels of the frame, x the column; channel 4 is the "
        "logit of {classes}. Most are to be thrown away, as the bundle's inferer does",
    ),
    EMBEDDING: ("feature", "features", "a feature vector of each frame"),
}
"""Of the network of each task: type and format, and what its numbers mean."""

ATTENTION = "; one channel more, the last, is the frame's attention score, by which the frames of a clip are weighted"


def metadata(task: ExportTask, model: TrainedModel, description: Mapping[str, Any], small: bool) -> dict[str, Any]:
    """The content of ``configs/metadata.json``.

    Args:
        task: which bundle.
        model: of the run; ``model.file`` lies in the run's folder.
        description: ``model.json`` of the weights.
        small: whether the run was a small one that only shows that the bundle works.

    Raises:
        InputError: a class that MONAI Label would leave out, or a file of the run that cannot be read.
    """
    if hidden := [name for name in model.class_names if name.lower() == "background"]:
        raise InputError(
            f"{model.file}: found a class {hidden[0]!r}, which MONAI Label leaves out of labels and scores; expected "
            "another name: train with another one"
        )
    project = json.loads((ROOT / "configs" / "metadata.json").read_text(encoding="utf-8"))
    what = f"{task.about} {SMALL}" if small else task.about
    output = _output(model)
    return {
        "schema": project["schema"],
        "version": bundle.__version__,
        "changelog": project["changelog"],
        **{f"{name}_version": _release(package) for name, package in _BASE.items()},
        "required_packages_version": {name: _release(name) for name in _required()},
        "name": task.title,
        "task": task.about,
        "description": what,
        "authors": project["authors"],
        "copyright": f"{project['copyright']}; the weights: see docs/data_license.txt",
        "data_type": project["data_type"],
        "image_classes": f"{_channels(model)}; the scan sector of a frame, on a square of {model.image_size} pixels",
        "label_classes": ", ".join(model.class_names) or _WITHOUT_CLASSES[task.task],
        "pred_classes": output["meaning"],
        "eval_metrics": tested(model, description),
        "intended_use": f"{project['intended_use']}{f' {SMALL}' if small else ''}",
        "references": project["references"],
        **origin_in_metadata(sources(description), only_simulated(model.file.parent, description), small),
        "network_data_format": {"inputs": {"image": _input(model)}, "outputs": {"pred": output["format"]}},
        "encoder_data_format": {"inputs": {"image": _input(model)}, "outputs": {"features": _features(model)}},
    }


_BASE = {"monai": "monai", "pytorch": "torch", "numpy": "numpy"}
_WITHOUT_CLASSES = {EMBEDDING: "none are needed", "saliency": "where people looked: fixations"}


def _release(package: str) -> str:
    """As installed, without the name of a build such as ``+cpu``: others install it by this number."""
    return version(package).partition("+")[0]


def _required() -> list[str]:
    """The packages that the code needs beside those of `_BASE`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [Requirement(line).name for line in project["dependencies"]]
    return [name for name in names if name not in _BASE.values()]


def _channels(model: TrainedModel) -> str:
    kind = {1: "one channel, grey in 0 to 1", 3: "three channels, R = G = B, grey in 0 to 1"}[model.in_channels]
    return f"{kind}, less {model.mean}, divided by {model.std}"


def _input(model: TrainedModel) -> dict[str, Any]:
    means, stds = (one if isinstance(one, list) else [one] * model.in_channels for one in (model.mean, model.std))
    pairs = list(zip(means, stds, strict=True))
    channels = [f"B-mode, (grey in 0 to 1 - {mean}) / {std}" for mean, std in pairs]
    return {
        "type": "image",
        "format": "magnitude",
        "modality": "US",
        "num_channels": model.in_channels,
        "spatial_shape": [model.image_size, model.image_size],
        "dtype": "float32",
        "value_range": [min(-mean / std for mean, std in pairs), max((1 - mean) / std for mean, std in pairs)],
        "is_patch_data": False,
        "channel_def": {str(k): name for k, name in enumerate(channels)},
    }


def _output(model: TrainedModel) -> dict[str, Any]:
    """The ``format`` of the network's output, its shape as it is, and its ``meaning`` in words."""
    kind, form, meaning = OUTPUTS[model.task]
    names = model.class_names
    meaning = meaning.format(classes=", ".join(names) or "lesion")
    if isinstance(model.network, FrameClassifier) and model.network.attention is not None:
        meaning += ATTENTION
    channels = {  # of maps and masks the values in a label map, as MONAI Label reads it
        "classification": {str(k): name for k, name in enumerate(names)},
        "saliency": {"0": "background", "255": "saliency"},
        "segmentation": {"0": "background", "1": names[0] if names else "lesion"},
        "detection": {"4": names[0] if names else "lesion"},
    }.get(model.task, {})
    found = _run(model.network, model)
    return {
        "format": _tensor(kind, form, found, [0, 1] if model.task == "saliency" else [], channels),
        "meaning": meaning,
    }


def _features(model: TrainedModel) -> dict[str, Any]:
    encoder: Any = model.network if model.task == EMBEDDING else model.network.encoder
    kind, form, _ = OUTPUTS[EMBEDDING]
    return _tensor(kind, form, _run(encoder, model), [], {})


def _run(network: torch.nn.Module, model: TrainedModel) -> torch.Tensor:
    with torch.no_grad():
        return network(torch.zeros(1, model.in_channels, model.image_size, model.image_size))


def _tensor(kind: str, form: str, found: torch.Tensor, values: list[int], channels: dict[str, str]) -> dict[str, Any]:
    return {
        "type": kind,
        "format": form,
        "num_channels": found.shape[1],
        "spatial_shape": list(found.shape[2:]),
        "dtype": str(found.dtype).removeprefix("torch."),
        "value_range": values,
        "is_patch_data": False,
        "channel_def": channels,
    }
