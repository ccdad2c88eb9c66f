# SPDX-License-Identifier: Apache-2.0
"""The two files that others use, and the place of a bundle's that only the same kind of model takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bundle.errors import InputError
from bundle.files import sha256_of
from bundle.networks import (
    EMBEDDING,
    Encoder,
    SegmentationNet,
    open_model,
    origin,
    publish,
    save_encoder,
    write_description,
    write_model,
)
from bundle.networks.provenance import REPLACED, SMALL


def run_of(folder: Path, structure: str = "lesion", image_size: int = 32) -> Path:
    folder.mkdir()
    network = SegmentationNet(Encoder()).to(memory_format=torch.channels_last)
    torch.save(network.state_dict(), folder / "model.pt")
    about = {"task": "segmentation", "class_names": [structure], "architecture": "resnet18", "in_channels": 1}
    about |= {"image_size": image_size, "normalisation": {"mean": 0.5, "std": 0.25}, "network": {}, "settings": {}}
    write_description(folder, {**about, "data": "x"})
    return folder


def test_weights_are_plain_flat_and_contiguous(tmp_path: Path) -> None:
    model = open_model(run_of(tmp_path / "run"))
    path = write_model(tmp_path / "models", model)
    state = torch.load(path, weights_only=True)
    assert set(state) == set(model.network.state_dict())
    for name, tensor in state.items():
        assert type(tensor) is torch.Tensor and tensor.is_contiguous()
        assert torch.equal(tensor, model.network.state_dict()[name])
    assert json.loads((tmp_path / "models" / "model.json").read_text())["data"] == "x"
    assert open_model(tmp_path / "models").task == "segmentation"


def test_an_encoder_becomes_a_model_of_embeddings(tmp_path: Path) -> None:
    encoder = Encoder().eval()
    save_encoder(
        encoder, tmp_path / "run", normalisation={"mean": 0.3, "std": 0.2}, image_size=48, trained={"data": "y"}
    )
    publish(tmp_path / "run", tmp_path / "models")
    model = open_model(tmp_path / "models", EMBEDDING)
    assert (model.task, model.mean, model.image_size) == (EMBEDDING, 0.3, 48)
    frames = torch.rand(2, 1, 48, 48)
    with torch.no_grad():
        assert torch.equal(model.network(frames), encoder(frames))


def test_a_bundle_keeps_its_model_unless_the_new_one_is_of_its_kind(tmp_path: Path) -> None:
    models = tmp_path / "models"
    publish(run_of(tmp_path / "first"), models)
    before = (models / "model.pt").read_bytes()
    with pytest.raises(InputError, match=r"class_names \['cyst'\].*describe \['lesion'\].*left as it was"):
        publish(run_of(tmp_path / "other", structure="cyst"), models)
    with pytest.raises(InputError, match="image_size 64"):
        publish(run_of(tmp_path / "larger", image_size=64), models)
    assert (models / "model.pt").read_bytes() == before
    publish(run_of(tmp_path / "second"), models)
    second = torch.load(tmp_path / "second" / "model.pt", weights_only=True)
    now = torch.load(models / "model.pt", weights_only=True)
    assert all(torch.equal(now[name], second[name]) for name in second)


def test_a_bundle_says_that_its_weights_are_others_now(tmp_path: Path) -> None:
    root, pages = tmp_path / "bundle", {"README.md": "# Model Overview\n\nold\n", "data_license.txt": "CC BY 4.0\n"}
    for name in ("configs", "docs"):
        (root / name).mkdir(parents=True)
    for name, text in pages.items():
        (root / "docs" / name).write_text(text)
    said = {"description": f"Masks. {SMALL}", "intended_use": f"Research. {SMALL}", "eval_metrics": {"figures": 1}}
    said |= {"data_source": "a phantom", "weights_origin": {"data": ["phantom"], "simulated_only": True}, "name": "n"}
    (root / "configs" / "metadata.json").write_text(json.dumps(said))
    listed = "large_files:\n- path: models/model.pt\n  url: https://x.invalid\n  hash_val: ab\n  hash_type: sha256\n"
    (root / "large_files.yml").write_text(listed)
    for again in ("first", "second"):
        publish(run_of(tmp_path / again), root / "models")
        now = json.loads((root / "configs" / "metadata.json").read_text())
        assert now["weights_origin"] == {"data": ["x"], "simulated_only": False, "demonstration_only": False}
        assert (now["description"], now["intended_use"], now["eval_metrics"]) == ("Masks.", "Research.", {})
        assert now["data_source"].endswith(": x") and now["name"] == "n"
        for name, text in pages.items():
            first, _, *rest = (root / "docs" / name).read_text().split("\n")
            assert first.startswith(REPLACED) and "trained with the data x" in first and "earlier weights" in first
            assert "\n".join(rest) == text
        digest = sha256_of(root / "models" / "model.pt")
        expected = listed.replace("https://x.invalid", "''").replace(": ab", f": {digest}")
        assert (root / "large_files.yml").read_text() == expected
        assert ("licence" in first) == (name == "data_license.txt")


def test_weights_remember_all_their_data_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file.*from_model False"):
        origin(tmp_path)
    about = {
        "data": "mine",
        "trained": {"encoder": {"data": "a", "encoder": {"data": "mine", "encoder": {"data": "b"}}}},
    }
    (tmp_path / "model.json").write_text(json.dumps(about))
    assert origin(tmp_path) == {"data": "mine", "encoder": {"data": "a", "encoder": {"data": "b"}}}
    again = {"data": "mine", "trained": {"encoder": origin(tmp_path)}}
    (tmp_path / "model.json").write_text(json.dumps(again))
    assert origin(tmp_path) == {"data": "mine", "encoder": {"data": "a", "encoder": {"data": "b"}}}
    (tmp_path / "model.json").write_text(json.dumps({"data": "x", "trained": {"encoder": {}}}))
    assert origin(tmp_path) == {"data": "x"}
    unknown = {"data": "phantom", "trained": {"encoder": {}, "encoder_sha256": "ab12"}}
    (tmp_path / "model.json").write_text(json.dumps(unknown))
    assert origin(tmp_path)["encoder"] == {"data": "an encoder of unknown training (SHA-256 ab12)"}
