# SPDX-License-Identifier: Apache-2.0
"""A trained network found again by its folder, and refused where its two files do not belong together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from bundle.errors import InputError
from bundle.networks import EMBEDDING, Encoder, open_model, save_encoder, write_description
from bundle.networks.trained_model import NETWORKS

OPTIONS: dict[str, dict[str, Any]] = {
    "classification": {"num_classes": 3, "attention": True},
    "segmentation": {},
    "detection": {},
    "saliency": {"output_stride": 16},
}


def saved(folder: Path, task: str, channels: int = 1, **changed: Any) -> torch.nn.Module:
    network = NETWORKS[task](Encoder("resnet18", channels), **OPTIONS[task]).eval()
    folder.mkdir(exist_ok=True)
    torch.save(network.state_dict(), folder / "model.pt")
    described = {
        "task": task,
        "class_names": ["a", "b", "c"],
        "architecture": "resnet18",
        "in_channels": channels,
        "image_size": 64,
        "normalisation": {"mean": 0.4, "std": 0.2},
        "network": OPTIONS[task],
        "settings": {"min_score": 0.1},
    }
    write_description(folder, {**described, **changed})
    return network


@pytest.mark.parametrize("task", OPTIONS)
def test_the_network_is_the_one_that_was_saved(tmp_path: Path, task: str) -> None:
    network = saved(tmp_path / "run", task)
    model = open_model(tmp_path / "run")
    assert (model.task, model.class_names, model.image_size, model.mean) == (task, ["a", "b", "c"], 64, 0.4)
    assert model.settings == {"min_score": 0.1} and not model.network.training
    frames = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.network(frames), network(frames))
        within = open_model(tmp_path / "run", EMBEDDING)
        assert within.task == EMBEDDING and torch.equal(within.network(frames), network.encoder(frames))  # type: ignore[operator]


def test_an_encoder_by_itself(tmp_path: Path) -> None:
    encoder = Encoder().eval()
    save_encoder(encoder, tmp_path, normalisation={"mean": 0.3, "std": 0.2}, image_size=48, trained={})
    frames = torch.rand(1, 1, 48, 48)
    for place in (tmp_path, tmp_path / "encoder.safetensors"):
        model = open_model(place)
        assert (model.task, model.image_size, model.std) == (EMBEDDING, 48, 0.2)
        assert torch.equal(model.network(frames), encoder(frames))
    with pytest.raises(InputError, match="was trained for embedding, not for 'saliency'"):
        open_model(tmp_path, "saliency")


def test_frames_of_another_shape_are_refused_with_both(tmp_path: Path) -> None:
    saved(tmp_path, "segmentation")
    model = open_model(tmp_path)
    model.check_input(1, 64)
    with pytest.raises(InputError, match=r"found frames \(C, H, W\) of \(3, 64, 64\), expected \(1, 64, 64\)"):
        model.check_input(3, 64)
    with pytest.raises(InputError, match=r"\(1, 128, 128\), expected \(1, 64, 64\)"):
        model.check_input(1, 128)


def test_what_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no model.json with model.pt and no encoder.safetensors"):
        open_model(tmp_path)
    saved(tmp_path / "grey", "classification")
    saved(tmp_path / "rgb", "classification", channels=3, in_channels=1)
    with pytest.raises(InputError, match=r"found \(64, 3, 7, 7\) for encoder.conv1.weight, expected \(64, 1, 7, 7\)"):
        open_model(tmp_path / "rgb")
    with pytest.raises(InputError, match="was trained for classification, not for 'detection'"):
        open_model(tmp_path / "grey", "detection")
    saved(tmp_path / "fewer", "classification", network={"num_classes": 2})
    with pytest.raises(InputError, match=r"found \(3, 512\) for .*, expected \(2, 512\)"):
        open_model(tmp_path / "fewer")
    saved(tmp_path / "odd", "classification", network={"num_class": 2})
    with pytest.raises(InputError, match="no network can be made of it"):
        open_model(tmp_path / "odd")
    shutil.copy(tmp_path / "rgb" / "model.pt", tmp_path / "grey" / "model.pt")
    with pytest.raises(InputError, match="describes other weights than model.pt"):
        open_model(tmp_path / "grey")
    (tmp_path / "grey" / "model.pt").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        open_model(tmp_path / "grey")
    content = json.loads((tmp_path / "fewer" / "model.json").read_text())
    for broken, said in (({**content, "task": "x"}, "task 'x'"), ({**content, "image_size": None}, "image_size")):
        (tmp_path / "fewer" / "model.json").write_text(json.dumps(broken))
        with pytest.raises(InputError, match=f"found no usable {said}"):
            open_model(tmp_path / "fewer")
