# SPDX-License-Identifier: Apache-2.0
"""The classifier of frames, what is trained of its encoder, and what a run starts from."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from safetensors.torch import save_file

from bundle.errors import InputError
from bundle.networks import Encoder, FrameClassifier, open_encoder, parameter_groups, save_encoder, tune


def test_attention_of_logits_is_attention_of_features():
    """The weighted mean of linear logits equals the logits of the weighted mean feature (Ilse et al., 2018)."""
    torch.manual_seed(0)
    network = FrameClassifier(Encoder(), 3, attention=True).eval()
    frames = torch.randn(5, 1, 64, 64)
    with torch.no_grad():
        out = network(frames)
        features = network.encoder(frames)
        weights = out[:, 3:].softmax(dim=0)
        pooled = network.classifier((weights * features).sum(dim=0))
    assert out.shape == (5, 4)
    assert torch.allclose((weights * out[:, :3]).sum(dim=0), pooled, atol=1e-5)
    scripted = torch.jit.script(network)
    assert torch.allclose(scripted(frames), out, atol=1e-5)
    with pytest.raises(InputError, match="at least 2"):
        FrameClassifier(Encoder(), 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", {"layer4.1"}),
        ("resnet34", {"layer4.2"}),
        ("seresnet50", {"layer4.2"}),
        ("densenet121", {"features.denseblock4", "features.norm5"}),
        ("efficientnet-b0", {"_blocks.6", "_conv_head", "_bn1"}),
    ],
)
def test_the_last_block(name, expected):
    with torch.device("meta"):
        encoder = tune(Encoder(name), "last_block")
    trained = [key for key, parameter in encoder.named_parameters() if parameter.requires_grad]
    assert trained and all(any(key.startswith(f"{start}.") for start in expected) for key in trained)
    assert all(any(key.startswith(f"{start}.") for key in trained) for start in expected)


def figures(network: FrameClassifier) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


@pytest.mark.parametrize(
    ("tuned", "keep_statistics", "changing"),
    [
        ("all", True, ("encoder", "classifier")),
        ("last_block", True, ("encoder.layer4.1", "classifier")),
        ("last_block", False, ("encoder.layer4.1", "classifier")),
        ("head", True, ("classifier",)),
    ],
)
def test_a_step_changes_what_is_tuned_and_nothing_else(tuned, keep_statistics, changing):
    torch.manual_seed(0)
    network = FrameClassifier(tune(Encoder(), tuned, keep_statistics), 3)
    optimizer = torch.optim.Adam(parameter_groups(network, 0.01, 0.01), weight_decay=0.01)
    before = figures(network)
    network.train()
    torch.nn.functional.cross_entropy(network(torch.randn(3, 1, 64, 64)), torch.tensor([0, 1, 2])).backward()
    optimizer.step()
    for key, value in figures(network).items():
        statistics = key.endswith(("running_mean", "running_var", "num_batches_tracked"))
        may_change = key.startswith(changing) or (statistics and not keep_statistics)
        assert torch.equal(value, before[key]) != may_change, key


def test_modes_come_and_go():
    network = FrameClassifier(tune(Encoder(), "last_block"), 3, dropout=0.5)
    network.train()
    training = {name for name, module in network.named_modules() if module.training}
    assert {"dropout", "encoder.layer4.1.bn1", "classifier"} <= training
    assert not training & {"encoder.bn1", "encoder.layer4.0.bn1", "encoder.layer1"}
    assert not any(module.training for module in network.eval().modules())
    tune(network.encoder, "all")
    assert all(module.training for module in network.train().modules())
    with pytest.raises(InputError, match="tuned: found 'some'"):
        tune(network.encoder, "some")


def test_learning_rates_of_old_and_new():
    network = FrameClassifier(tune(Encoder(), "last_block"), 3)
    old, new = parameter_groups(network, 0.1, 0.2)
    assert (old["lr"], new["lr"]) == (0.1, 0.2)
    assert {id(p) for p in old["params"]} == {id(p) for p in network.encoder.layer4[1].parameters()}
    assert {id(p) for p in new["params"]} == {id(p) for p in network.classifier.parameters()}
    tune(network.encoder, "head")
    (only,) = parameter_groups(network, 0.1, 0.2)
    assert only["lr"] == 0.2


def test_what_a_run_starts_from(tmp_path):
    random = open_encoder(None)
    assert (random.encoder.name, random.encoder.in_channels, random.mean, random.std) == ("resnet18", 1, 0.5, 0.25)
    assert random.file is None and open_encoder(None, "resnet34", 3).encoder.in_channels == 3

    about = {"normalisation": {"mean": [0.1, 0.2, 0.6], "std": [0.2, 0.3, 0.1]}, "image_size": 64}
    save_encoder(Encoder("resnet34", 3), tmp_path, trained={"data": "phantom"}, **about)
    loaded = open_encoder(tmp_path)
    assert (loaded.encoder.name, loaded.mean, loaded.std) == ("resnet34", [0.1, 0.2, 0.6], [0.2, 0.3, 0.1])
    assert loaded.trained == {"data": "phantom"} and loaded.file == tmp_path / "encoder.safetensors"
    assert loaded.sha256 == json.loads((tmp_path / "encoder.json").read_text())["sha256"]
    grey = open_encoder(tmp_path, in_channels=1)
    assert grey.mean == pytest.approx(0.3) and grey.std == pytest.approx(0.2)
    with pytest.raises(InputError, match="found resnet34, expected resnet18"):
        open_encoder(tmp_path, "resnet18")


def test_a_file_that_fits_in_part_needs_to_be_asked_for(tmp_path, caplog):
    torch.manual_seed(0)
    whole = Encoder("resnet18", 3).state_dict()
    part = {key: value for key, value in whole.items() if not key.startswith("layer4.1")}
    save_file(part, tmp_path / "part.safetensors")
    file = tmp_path / "part.safetensors"
    with pytest.raises(InputError, match=r"part.safetensors: .*missing 1[0-9] \(layer4.1.bn1.bias, ") as caught:
        open_encoder(file, "resnet18")
    assert "\n" not in str(caught.value) and "90.0% of the tensors match and 100% must" in str(caught.value)
    with pytest.raises(InputError, match="95% must"):
        open_encoder(file, "resnet18", min_matched=0.95)
    caplog.set_level(logging.WARNING)
    loaded = open_encoder(file, "resnet18", min_matched=0.8).encoder.state_dict()
    assert "loaded in part" in caplog.text and "layer4.1.bn1.bias" in caplog.text
    assert all(torch.equal(loaded[key], part[key]) for key in part)
    assert loaded["layer4.1.conv1.weight"].std() > 0 and torch.isfinite(loaded["layer4.1.conv1.weight"]).all()
