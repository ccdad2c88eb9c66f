# SPDX-License-Identifier: Apache-2.0
"""What an exported bundle says of itself (to be completed)."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def metadata(task, model, description, small):
    said = json.loads((ROOT / "configs" / "metadata.json").read_text())
    said["name"], said["task"], said["description"] = task.title, task.about, task.about
    io = said["network_data_format"]
    io["inputs"]["image"]["num_channels"] = model.in_channels
    io["inputs"]["image"]["spatial_shape"] = [model.image_size] * 2
    pred = io["outputs"]["pred"]
    if task.task == "classification":
        pred |= {"type": "probabilities", "format": "classes", "num_channels": len(model.class_names)}
        pred["channel_def"] = {str(k): name for k, name in enumerate(model.class_names)}
    elif task.task in ("segmentation", "saliency", "detection"):
        pred |= {
            "num_channels": 5 if task.task == "detection" else 1,
            "channel_def": {"0": "lesion" if task.task != "saliency" else "saliency"},
        }
    return said


def readme(task, model, description, about, small):
    return f"# Model Overview\n{task.about}\n"


def data_license(description, text):
    return text or "Apache-2.0\n"
