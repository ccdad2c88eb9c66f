# SPDX-License-Identifier: Apache-2.0
"""Encoder files, and loading that refuses what does not fit."""

from __future__ import annotations

import json
import logging

import pytest
import torch

from bundle.errors import InputError
from bundle.networks import ENCODERS, ContrastiveHeads, Encoder, PretextNet, load_encoder, load_weights, save_encoder

ABOUT = {
    "normalisation": {"mean": 0.25, "std": 0.5},
    "image_size": 64,
    "trained": {"method": "uscl", "data": ["phantom"], "steps": 3},
}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(1)
    encoder = Encoder("resnet18")
    encoder.train()(torch.randn(4, 1, 64, 64))  # running figures other than 0 and 1
    return encoder.eval()


@pytest.fixture(scope="module")
def rgb() -> dict[str, torch.Tensor]:
    """A ResNet-18 as torchvision saves it."""
    torch.manual_seed(2)
    return Encoder("resnet18", 3).state_dict() | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("name", "channels"),
    [("resnet18", 1), ("resnet18", 3), ("seresnext50", 1), ("densenet121", 3), ("efficientnet-b0", 1)],
)
def test_round_trip_is_exact(tmp_path, name, channels):
    saved = Encoder(name, channels).to(memory_format=torch.channels_last)
    path = save_encoder(saved, tmp_path / "run" / "model", **ABOUT)
    assert path == tmp_path / "run" / "model" / "encoder.safetensors"
    assert sorted(p.name for p in path.parent.iterdir()) == ["encoder.json", "encoder.safetensors"]
    loaded, info = load_encoder(path.parent)
    assert_same(loaded.state_dict(), saved.state_dict())
    assert not loaded.training
    assert (info["architecture"], info["in_channels"], info["feature_dim"]) == (name, channels, saved.feature_dim)
    assert {key: info[key] for key in ABOUT} == ABOUT
    assert info["version"]


def test_same_output_after_the_round_trip(tmp_path, encoder):
    save_encoder(encoder, tmp_path / "mine.safetensors", **ABOUT)
    loaded, _ = load_encoder(str(tmp_path / "mine.safetensors"))
    x = torch.randn(2, 1, 64, 64)
    assert torch.equal(loaded(x), encoder(x))
    assert (tmp_path / "mine.json").is_file()


def test_loading_draws_no_random_numbers(tmp_path, encoder):
    save_encoder(encoder, tmp_path, **ABOUT)
    before = torch.get_rng_state()
    load_encoder(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_any_project_can_read_the_file(tmp_path, encoder):
    from safetensors.torch import load_file

    assert_same(load_file(save_encoder(encoder, tmp_path, **ABOUT)), encoder.state_dict())


def test_a_new_export_replaces_the_old_one(tmp_path, encoder):
    save_encoder(Encoder("resnet34"), tmp_path, **ABOUT)
    save_encoder(encoder, tmp_path, **ABOUT)
    assert load_encoder(tmp_path)[1]["architecture"] == "resnet18"


@pytest.mark.parametrize(
    "wrong",
    [
        {"normalisation": {"mean": 0.5}},
        {"normalisation": {"mean": 0.5, "std": 0.0}},
        {"normalisation": {"mean": [0.5, 0.5], "std": 0.1}},
        {"normalisation": {"mean": "0.5", "std": 0.1}},
        {"trained": {"by": object()}},
        {"trained": {"loss": float("nan")}},
    ],
)
def test_a_description_that_cannot_be_used_is_refused_and_nothing_written(tmp_path, encoder, wrong):
    with pytest.raises(InputError):
        save_encoder(encoder, tmp_path, **(ABOUT | wrong))
    assert list(tmp_path.iterdir()) == []


def test_a_pair_that_does_not_belong_together_is_refused(tmp_path, encoder):
    save_encoder(encoder, tmp_path / "one", **ABOUT)
    save_encoder(Encoder("resnet18"), tmp_path / "two", **ABOUT)
    (tmp_path / "two" / "encoder.json").replace(tmp_path / "one" / "encoder.json")
    with pytest.raises(InputError, match="SHA-256"):
        load_encoder(tmp_path / "one")


def without_the_width(text: str) -> str:
    return json.dumps({key: value for key, value in json.loads(text).items() if key != "feature_dim"})


@pytest.mark.parametrize("damage", [lambda text: text[:40], without_the_width, lambda text: "[]"])
def test_a_damaged_description_is_refused(tmp_path, encoder, damage):
    save_encoder(encoder, tmp_path, **ABOUT)
    description = tmp_path / "encoder.json"
    description.write_text(damage(description.read_text()))
    with pytest.raises(InputError, match="encoder.json"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"hello", b"\x80\x04\x95"])
def test_a_damaged_file_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name) as caught:
        load_encoder(tmp_path / name, architecture="resnet18")
    assert "weights_only" not in str(caught.value), "torch's advice is to run what is in the file"
    assert name.endswith(".safetensors") or "(damaged, no file of PyTorch" in str(caught.value)


def test_a_missing_file_or_architecture_is_refused(tmp_path, rgb):
    with pytest.raises(InputError, match="no such file"):
        load_encoder(tmp_path)
    torch.save(rgb, tmp_path / "plain.pt")
    with pytest.raises(InputError, match="setting architecture"):
        load_encoder(tmp_path / "plain.pt")


class Harmful:
    """Would run code on a plain unpickling."""

    def __reduce__(self):
        return (print, ("ran",))


def test_weights_that_are_no_numbers_are_refused(tmp_path, encoder):
    broken = {name: value.clone() for name, value in encoder.state_dict().items()}
    broken["layer1.0.bn1.running_var"][3] = float("nan")
    torch.save(broken, tmp_path / "broken.pt")
    with pytest.raises(InputError, match="broken.pt: found values that are no numbers in 1 tensors, layer1.0.bn1.runn"):
        load_encoder(tmp_path / "broken.pt", architecture=encoder.name, in_channels=encoder.in_channels)


def test_pickled_code_is_not_run(tmp_path, capsys):
    torch.save({"conv1.weight": Harmful()}, tmp_path / "plain.pt")
    with pytest.raises(InputError, match="plain.pt"):
        load_encoder(tmp_path / "plain.pt", architecture="resnet18")
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
def test_torchvision_named_state_dicts_load(tmp_path, rgb, wrap, prefix):
    torch.save(wrap({prefix + key: value for key, value in rgb.items()}), tmp_path / "plain.pt")
    loaded, info = load_encoder(tmp_path / "plain.pt", architecture="resnet18")
    assert info == {"architecture": "resnet18", "in_channels": 3, "feature_dim": 512}
    assert_same(loaded.state_dict(), {key: value for key, value in rgb.items() if not key.startswith("fc.")})


def test_files_without_batch_counters_load_in_full(tmp_path, rgb, caplog):
    old = {key: value for key, value in rgb.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    loaded, _ = load_encoder(tmp_path / "old.pth", architecture="resnet18")
    assert_same(loaded.state_dict(), {key: value for key, value in rgb.items() if not key.startswith("fc.")})
    with caplog.at_level(logging.WARNING):
        report = load_weights(Encoder("resnet18", 3), old)
    assert len(report.missing) == 20 and all(key.endswith("num_batches_tracked") for key in report.missing)
    assert report.unexpected == ["fc.bias", "fc.weight"] and not report.mismatched
    assert not caplog.records


def test_rgb_weights_in_a_grey_encoder_give_the_same_output_for_grey_images(tmp_path, rgb):
    torch.save(rgb, tmp_path / "plain.pt")
    colour, _ = load_encoder(tmp_path / "plain.pt", architecture="resnet18")
    grey, info = load_encoder(tmp_path / "plain.pt", architecture="resnet18", in_channels=1)
    assert info["in_channels"] == grey.in_channels == 1
    torch.testing.assert_close(grey.conv1.weight, colour.conv1.weight.sum(dim=1, keepdim=True))
    x = torch.randn(2, 1, 64, 64)
    torch.testing.assert_close(grey(x), colour(x.repeat(1, 3, 1, 1)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "seresnet50", "densenet121", "efficientnet-b0"])
def test_grey_weights_in_an_rgb_encoder_give_the_same_output_for_grey_images(tmp_path, name):
    grey = Encoder(name).eval()
    save_encoder(grey, tmp_path, **ABOUT)
    colour, _ = load_encoder(tmp_path, in_channels=3)
    x = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(colour(x.repeat(1, 3, 1, 1)), grey(x), rtol=1e-3, atol=1e-4)


def test_other_numbers_of_channels_are_refused(rgb):
    with pytest.raises(InputError, match="mismatched 1 .conv1.weight"):
        load_weights(Encoder("resnet18", 2), rgb)


@pytest.mark.parametrize(
    ("found", "expected"),
    [(name, "resnet18") for name in ENCODERS if name != "resnet18"]
    + [("resnet18", "resnet34"), ("seresnext50", "seresnet50"), ("efficientnet-b2", "efficientnet-b1")],
)
def test_another_architecture_is_refused_by_name_and_nothing_is_changed(found, expected):
    """Close ones: ResNet-34 holds all of ResNet-18; SE-ResNet and -ResNeXt, EfficientNet b1 and b2 share all names."""
    module = Encoder(expected)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with torch.device("meta"):
        other = Encoder(found, 3).state_dict()
    with pytest.raises(InputError) as error:
        load_weights(module, other)
    assert f"found {found}, expected {expected}" in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 700
    assert_same(module.state_dict(), before)


def test_the_file_is_named_when_its_architecture_is_wrong(tmp_path, encoder):
    save_encoder(encoder, tmp_path, **ABOUT)
    with pytest.raises(InputError, match="encoder.safetensors: found resnet18, expected resnet50"):
        load_encoder(tmp_path, architecture="resnet50")
    torch.save(encoder.state_dict(), tmp_path / "plain.pt")
    with pytest.raises(InputError, match="plain.pt: weights: found resnet18, expected resnet50"):
        load_encoder(tmp_path / "plain.pt", architecture="resnet50")


def test_a_part_is_loaded_only_on_request_and_said(encoder, caplog):
    part = {key: value for key, value in encoder.state_dict().items() if not key.startswith("layer4.1")}
    part["layer1.0.conv1.weight"] = torch.zeros(2)
    module = Encoder("resnet18")
    with pytest.raises(InputError, match="missing 12 .layer4.1.bn1.bias"):
        load_weights(module, part)
    with caplog.at_level(logging.WARNING):
        report = load_weights(module, part, min_matched=0.85)
    assert "in part" in caplog.text
    assert report.mismatched == ["layer1.0.conv1.weight"]
    assert len(report.missing) == 12 and len(report.loaded) == 120 - 12 - 1
    assert torch.equal(module.conv1.weight, encoder.conv1.weight)
    assert not torch.equal(module.layer4[1].conv1.weight, encoder.layer4[1].conv1.weight)


def test_nothing_in_common_is_refused_even_at_a_share_of_zero(encoder):
    with pytest.raises(InputError, match="unknown architecture"):
        load_weights(encoder, {"weight": torch.zeros(3)}, min_matched=0)
    with pytest.raises(InputError, match="loaded 0"):
        load_weights(encoder, {})


def pretext(name: str, num_classes: int = 0) -> PretextNet:
    return PretextNet(Encoder(name), {"contrast": ContrastiveHeads(num_classes=num_classes)})


def test_whole_networks_load_too(encoder):
    first, second = (pretext("resnet18", num_classes=3) for _ in range(2))
    report = load_weights(second, {f"module.{key}": value for key, value in first.state_dict().items()})
    assert_same(first.state_dict(), second.state_dict())
    assert len(report.loaded) == len(first.state_dict())
    with pytest.raises(InputError, match="expected PretextNet"):
        load_weights(pretext("resnet18"), encoder.state_dict())


def test_a_network_with_another_encoder_is_named():
    with pytest.raises(InputError, match="found resnet34, expected PretextNet with a resnet18"):
        load_weights(pretext("resnet18"), pretext("resnet34").state_dict())
