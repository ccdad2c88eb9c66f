# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import json
import runpy
from pathlib import Path

import pytest
import torch
from plain_networks import ResNetSimCLR, resnet18, with_statistics
from safetensors.torch import load_file

from bundle.data.fingerprints import read_training_clips, write_fingerprints
from bundle.errors import InputError
from bundle.networks import (
    Encoder,
    FrameClassifier,
    description_of,
    load_encoder,
    open_model,
    save_encoder,
    sources,
    write_description,
)

MAIN = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "convert_checkpoint.py"))["main"]


def run(*arguments: object) -> None:
    MAIN([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def plain() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return with_statistics(resnet18(7)).state_dict()


@pytest.fixture
def source(tmp_path: Path, plain: dict[str, torch.Tensor]) -> Path:
    """A ResNet-18 as torchvision saves it, wrapped as many do."""
    torch.save({"state_dict": {f"module.{key}": value for key, value in plain.items()}}, tmp_path / "plain.pth")
    return tmp_path / "plain.pth"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_alone_it_only_tells(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(source)
    assert capsys.readouterr().out.splitlines() == [
        f"{source}: resnet18 in the layout torchvision, channels 3, heads classifier",
        "matched 122 (100.0% of what counts)",
        "missing 0",
        "unexpected 0",
        "mismatched 0",
    ]
    torch.save({"weight": torch.zeros(2)}, source)
    run(source)
    out = capsys.readouterr().out
    assert "matched 0 (0.0% of what counts)" in out and "unexpected 1: weight" in out and "missing 120: " in out
    assert files(source.parent) == ["plain.pth"]


@pytest.mark.parametrize("name", ["out.safetensors", "deep/out.pt"])
def test_state_dicts(source: Path, plain: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str], name) -> None:
    out = source.parent / name
    run(source, "--to", "timm", "--output", out, "--without-heads", "--add-prefix", "backbone.")
    assert capsys.readouterr().out.endswith(f"written {out}: layout timm, channels 3, left out classifier\n")
    found = load_file(out) if out.suffix == ".safetensors" else torch.load(out, weights_only=True)
    assert_same(found, {f"backbone.{key}": value for key, value in plain.items() if not key.startswith("fc.")})
    assert files(out.parent) == [out.name] or out.parent == source.parent
    run(out, "--to", "monai", "--output", source.parent / "back.pt", "--channels", 1)
    assert capsys.readouterr().out.startswith(f"{out}: resnet18 in the layout torchvision, behind backbone., ")
    back = torch.load(source.parent / "back.pt", weights_only=True)
    torch.testing.assert_close(back["conv1.weight"], plain["conv1.weight"].sum(1, keepdim=True))


def test_uscl_as_released_to_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(2)
    network = with_statistics(ResNetSimCLR(resnet18(7)))
    # files of 2021 are not zipped
    torch.save(network.state_dict(), tmp_path / "best_model.pth", _use_new_zipfile_serialization=False)
    run(tmp_path / "best_model.pth", "--to", "encoder", "--output", tmp_path / "ours", "--channels", 1)
    told = capsys.readouterr().out
    assert "resnet18 in the layout uscl, channels 3, heads projector.0, projector.2, projection_classifier" in told
    assert "unexpected 4: fc1.bias, fc1.weight, fc2.bias, fc2.weight" in told
    assert "channels 1, left out projector.0, projector.2, projection_classifier" in told
    encoder, info = load_encoder(tmp_path / "ours")
    assert (info["normalisation"], info["image_size"]) == ({"mean": 0.5, "std": 0.25}, 224)
    digest = hashlib.sha256((tmp_path / "best_model.pth").read_bytes()).hexdigest()
    assert info["trained"] == {"converted_from": {"file": "best_model.pth", "layout": "uscl", "sha256": digest}}
    x = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), network(x.expand(-1, 3, -1, -1))[0], rtol=1e-4, atol=1e-4)


def test_ours_goes_on_with_what_is_known_of_it(tmp_path: Path) -> None:
    sha = write_fingerprints(tmp_path / "encoder.clips.npz", [])
    about = {"normalisation": {"mean": [0.4, 0.5, 0.6], "std": 0.2}, "image_size": 96}
    save_encoder(Encoder("resnet18", 3), tmp_path, **about, trained={"method": "uscl", "clips_sha256": sha})
    run(tmp_path, "--to", "encoder", "--output", tmp_path / "grey", "--channels", 1)
    _, info = load_encoder(tmp_path / "grey")
    assert info["normalisation"] == {"mean": pytest.approx(0.5), "std": 0.2} and info["image_size"] == 96
    assert info["trained"]["method"] == "uscl" and info["trained"]["converted_from"]["file"] == "encoder.safetensors"
    assert read_training_clips(tmp_path / "grey" / "encoder.safetensors", info["trained"]) == []


@pytest.mark.parametrize("name", ["", "model.pt"])
def test_the_encoder_of_a_task_goes_on_with_what_is_known_of_it(tmp_path: Path, name: str) -> None:
    network = FrameClassifier(Encoder(), 2, attention=True)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    trained = {"seed": 3, "encoder": {"data": "pretrained_on"}, "encoder_sha256": "0"}
    about = {"task": "classification", "class_names": ["a", "b"], "architecture": "resnet18", "in_channels": 1}
    about |= {"image_size": 96, "normalisation": {"mean": 0.4, "std": 0.2}, "network": {}, "settings": {}}
    write_description(tmp_path, {**about, "data": "phantom", "trained": trained})
    run(tmp_path / name, "--to", "encoder", "--output", tmp_path / "out")
    encoder, info = load_encoder(tmp_path / "out")
    assert_same(encoder.state_dict(), network.encoder.state_dict())
    assert info["normalisation"] == about["normalisation"] and info["image_size"] == 96
    assert info["trained"]["seed"] == 3 and info["trained"]["converted_from"]["file"] == "model.pt"
    assert sources(description_of(open_model(tmp_path / "out"))) == ["phantom", "pretrained_on"]
    (tmp_path / "model.pt").write_bytes((tmp_path / "model.pt").read_bytes() + b" ")
    with pytest.raises(InputError, match="model.json: describes other weights than model.pt"):
        run(tmp_path / name)


def test_what_the_file_does_not_say_is_asked_for(source: Path) -> None:
    to = ("--to", "encoder", "--output", source.parent / "ours.safetensors")
    with pytest.raises(InputError, match="says nothing of its normalisation.*add --mean and --std"):
        run(source, *to)
    with pytest.raises(InputError, match="says nothing of its image_size.*add --image-size"):
        run(source, *to, "--mean", 0.5, "--std", 0.25)
    with pytest.raises(InputError, match="found 2 numbers, expected 1 or 3"):
        run(source, *to, "--mean", 0.5, 0.4, "--std", 0.25, "--image-size", 224)
    assert files(source.parent) == ["plain.pth"]
    run(source, *to, "--mean", 0.485, 0.456, 0.406, "--std", 0.229, 0.224, 0.225, "--image-size", 224)
    description = json.loads((source.parent / "ours.json").read_text())
    assert description["normalisation"]["mean"] == [0.485, 0.456, 0.406] and description["in_channels"] == 3


def test_nothing_is_replaced_unless_asked(source: Path) -> None:
    out = source.parent / "out.pt"
    out.write_bytes(b"mine")
    with pytest.raises(InputError, match="out.pt: is there already.*--overwrite"):
        run(source, "--to", "monai", "--output", out)
    assert out.read_bytes() == b"mine"
    run(source, "--to", "monai", "--output", out, "--overwrite")
    assert "fc.weight" in torch.load(out, weights_only=True)
    ours = source.parent / "ours"
    ours.mkdir()
    told = ("--to", "encoder", "--output", ours, "--mean", 0.5, "--std", 0.25, "--image-size", 64)
    (ours / "encoder.clips.npz").write_bytes(b"of another encoder")
    with pytest.raises(InputError, match="encoder.clips.npz: is there already"):
        run(source, *told)
    run(source, *told, "--overwrite")
    assert files(ours) == ["encoder.json", "encoder.safetensors"]


def test_too_little_is_refused(source: Path, plain: dict[str, torch.Tensor]) -> None:
    part = {key: value for key, value in plain.items() if not key.startswith("layer4.1")}
    torch.save(part, source)
    out = ("--to", "monai", "--output", source.parent / "out.pt")
    with pytest.raises(InputError, match=r"90.2% of the tensors match resnet18 .* 100% must .*missing 12 .layer4.1"):
        run(source, *out)
    assert files(source.parent) == ["plain.pth"]
    run(source, *out, "--min-matched", 0.9)
    assert torch.load(source.parent / "out.pt", weights_only=True).keys() == part.keys()
    with pytest.raises(InputError, match="found not all of resnet18"):  # nothing is drawn to fill the gaps
        told = ("--mean", 0.5, "--std", 0.25, "--image-size", 64, "--min-matched", 0.9)
        run(source, "--to", "encoder", "--output", source.parent / "ours", *told)
    assert files(source.parent) == ["out.pt", "plain.pth"]
    with pytest.raises(InputError, match="0.0% of the tensors match"):
        run(source, *out, "--overwrite", "--architecture", "densenet121")


class Harmful:
    """Would run code on a plain unpickling."""

    def __reduce__(self):
        return (print, ("ran",))


def test_pickled_code_is_not_run(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"conv1.weight": Harmful()}, source)
    with pytest.raises(InputError, match="plain.pth: found no readable weights"):
        run(source)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--to", "monai"], SystemExit),
        (["--output", "out.pt"], SystemExit),
        (["--to", "monai", "--output", "{}/out.pt", "--mean", "0.5"], SystemExit),
        (["--to", "encoder", "--output", "{}/out", "--add-prefix", "backbone."], SystemExit),
        (["--to", "monai", "--output", "{}/out.pt", "--min-matched", "0"], SystemExit),
        (["--to", "monai", "--output", "{}/out.onnx"], InputError),
        (["--to", "pretext", "--output", "{}/out.pt"], InputError),
        (["--to", "classifier", "--output", "{}/out.pt", "--without-heads"], InputError),
        (["--from", "uscl", "--architecture", "densenet121"], InputError),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(source: Path, arguments: list[str], error) -> None:
    with pytest.raises(error):
        run(source, *(argument.format(source.parent) for argument in arguments))
    assert files(source.parent) == ["plain.pth"]
