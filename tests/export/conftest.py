# SPDX-License-Identifier: Apache-2.0
"""Exported bundles of random weights, and files of the kinds that people have."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bundle.data.phantom.dicom_writer import write_cine
from bundle.handlers.overlay_video import write_video
from bundle.networks import EMBEDDING, Encoder, open_model, write_description
from bundle.networks.trained_model import NETWORKS

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

CLASSES = ["a_lines", "b_lines"]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``exported("us_lesion_segmentation")``: the folder of a bundle with random weights for frames of 32 pixels."""
    import export_bundle
    from bundle_tasks import TASKS

    output = tmp_path_factory.mktemp("bundles")

    def make(name: str) -> Path:
        task = TASKS[name]
        if (output / name).exists():
            return output / name
        run = tmp_path_factory.mktemp(f"run_{name}")
        network = {"num_classes": 2, "attention": False} if task.task == "classification" else {}
        torch.manual_seed(0)
        torch.save(NETWORKS[task.task](Encoder(), **network).state_dict(), run / "model.pt")
        described = {"task": task.task, "architecture": "resnet18", "in_channels": 1, "image_size": 32}
        names = {"classification": CLASSES, "saliency": [], EMBEDDING: []}.get(task.task, ["lesion"])
        described |= {"class_names": names, "network": network}
        described |= {"normalisation": {"mean": 0.5, "std": 0.25}, "data": "phantom", "trained": {"seed": 0}}
        settings = {"classification": {"clip_score": "mean"}, "detection": {"max_boxes": 4, "min_score": 0.0}}
        write_description(run, {**described, "settings": settings.get(task.task, {})})
        return export_bundle.export(task, open_model(run), output, small=True)

    return make


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """A copy of a bundle that may be changed."""
    return lambda bundle: Path(shutil.copytree(bundle, tmp_path / "bundles" / bundle.name))


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Grey PNGs and an RGB one, a DICOM still and cine, an mp4: a bright textured sector that changes."""
    folder = tmp_path_factory.mktemp("files")
    frames = np.zeros((6, 96, 128), np.uint8)
    frames[:, 8:88, 16:112] = np.random.default_rng(0).integers(30, 220, (6, 10, 12)).repeat(8, 1).repeat(8, 2)
    for name, frame in (("grey", 0), ("other", 3), ("third", 5)):
        Image.fromarray(frames[frame]).save(folder / f"{name}.png")
    Image.fromarray(np.stack([frames[0], frames[1], frames[2]], axis=-1)).save(folder / "rgb.png")
    for name, some in (("still", frames[:1]), ("cine", frames)):
        write_cine(folder / f"{name}.dcm", some, 0.05, (16, 8, 111, 87), 0.05, "phantom", ("test", name, "1"), 0)
    write_video(folder / "clip.mp4", [frame[..., None].repeat(3, -1) for frame in frames], 20)
    return {path.name: path for path in sorted(folder.iterdir())}
