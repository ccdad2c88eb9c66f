# SPDX-License-Identifier: Apache-2.0
"""Every layout in and out: the same names as the others' networks, and the same output on real frames."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.networks.nets import DenseNet121, EfficientNetBN, SEResNet50, resnet18, resnet50
from monai.transforms import Compose
from plain_networks import DenseNet121 as PlainDenseNet121
from plain_networks import LegacySENet, ResNetSimCLR, with_statistics
from plain_networks import resnet18 as plain_resnet18
from plain_networks import resnet50 as plain_resnet50
from torch import nn

from bundle.errors import InputError
from bundle.keys import Keys
from bundle.networks import ENCODERS, ContrastiveHeads, Encoder, FrameClassifier, PretextNet
from bundle.networks.conversion import Checkpoint, converted, read_checkpoint
from bundle.networks.layouts import LAYOUTS, family_of, names
from bundle.transforms import LoadCined, ResizeFramesd, ToGreyd

CLASSES = 5


@pytest.fixture(scope="module", params=["noise", "real"])
def frames(request: pytest.FixtureRequest) -> torch.Tensor:
    """Grey frames (4, 1, 64, 64) as a network takes them: drawn, or of a DICOM cine and a video."""
    if request.param == "noise":
        return torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(3))
    data: Path = request.getfixturevalue("ultrasound_data")
    clips = data / "pocus_lung/videos/convex"
    files = [data / "dicom_us/files/US-RGB-8-epicard.dcm", clips / "Reg_liftl_pneucase3_clip1.mp4"]
    load = Compose([LoadCined(Keys.IMAGE), ToGreyd(Keys.IMAGE), ResizeFramesd(Keys.IMAGE, 64)])
    cines = [load({Keys.IMAGE: str(file)})[Keys.IMAGE] for file in files]
    images = torch.cat([torch.as_tensor(cine[:, [0, cine.shape[1] // 2]]).movedim(1, 0) for cine in cines])
    return (images.float() / 255 - 0.5) / 0.25


PLAIN = {
    "torchvision-resnet18": ("resnet18", plain_resnet18),
    "torchvision-resnet50": ("resnet50", plain_resnet50),
    "torchvision-densenet121": ("densenet121", PlainDenseNet121),
    "timm-seresnet50": ("seresnet50", lambda *sizes: LegacySENet("seresnet", *sizes)),
    "timm-seresnext50": ("seresnext50", lambda *sizes: LegacySENet("seresnext", *sizes)),
    "monai-resnet18": (
        "resnet18",
        lambda k, c: resnet18(
            spatial_dims=2, n_input_channels=c, num_classes=k, conv1_t_stride=2, bias_downsample=False
        ),
    ),
    "monai-seresnet50": ("seresnet50", lambda k, c: SEResNet50(spatial_dims=2, in_channels=c, num_classes=k)),
    "monai-densenet121": ("densenet121", lambda k, c: DenseNet121(spatial_dims=2, in_channels=c, out_channels=k)),
    "monai-efficientnet-b0": (
        "efficientnet-b0",
        lambda k, c: EfficientNetBN("efficientnet-b0", False, spatial_dims=2, in_channels=c, num_classes=k),
    ),
}


@pytest.fixture(scope="module", params=PLAIN)
def theirs(request: pytest.FixtureRequest) -> tuple[str, str, nn.Module]:
    """A layout, our name of the architecture, and the whole network of the others for grey images."""
    architecture, make = PLAIN[request.param]
    torch.manual_seed(1)
    return request.param.split("-")[0], architecture, with_statistics(make(CLASSES, 1))


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(first[key].dtype == second[key].dtype and torch.equal(first[key], second[key]) for key in first)


def assert_close(first: torch.Tensor, second: torch.Tensor) -> None:
    """To float32's rounding, of numbers that do not all look alike."""
    assert second.std() > 1e-4
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5 * second.abs().max().item())


def ours(checkpoint: Checkpoint) -> FrameClassifier:
    with torch.device("meta"):  # drawing weights first takes longer than all the rest
        network = FrameClassifier(Encoder(checkpoint.architecture, checkpoint.in_channels), CLASSES)
    network.load_state_dict(converted(checkpoint, "classifier"), assign=True)
    return network.eval()


def test_in_and_out_again(theirs: tuple[str, str, nn.Module], frames: torch.Tensor) -> None:
    layout, architecture, network = theirs
    state_dict = network.state_dict()
    checkpoint = read_checkpoint(state_dict)
    assert (checkpoint.architecture, checkpoint.matched, checkpoint.in_channels) == (architecture, 1.0, 1)
    assert names(architecture, checkpoint.layout) == names(architecture, layout) and checkpoint.prefix == ""
    report = checkpoint.report
    assert report.loaded == sorted(state_dict) and not report.missing + report.unexpected + report.mismatched
    own = ours(checkpoint)
    with torch.no_grad():
        assert_close(own(frames), network(frames))
    again = read_checkpoint(own.state_dict())
    assert (again.layout, again.architecture) == ("classifier", architecture)
    assert_same(converted(again, layout), state_dict)


def test_in_without_the_classifier_and_out(theirs: tuple[str, str, nn.Module]) -> None:
    layout, architecture, network = theirs
    with torch.device("meta"):
        encoder = Encoder(architecture)
    encoder.load_state_dict(converted(read_checkpoint(network.state_dict()), "monai", heads=False), assign=True)
    out = converted(read_checkpoint(encoder.state_dict()), layout)
    missing, unexpected = network.load_state_dict(out, strict=False)
    assert not unexpected and len(missing) == 2  # the classifier's weight and bias
    with pytest.raises(InputError, match="found no classifier"):
        converted(read_checkpoint(out), "classifier")


@pytest.mark.parametrize("make", [resnet18, resnet50])
def test_monais_biased_shortcuts(make, frames: torch.Tensor) -> None:
    """MONAI's own default. A bias before a batch normalisation is one with its mean."""
    torch.manual_seed(2)
    network = with_statistics(make(spatial_dims=2, n_input_channels=1, num_classes=CLASSES, conv1_t_stride=2))
    checkpoint = read_checkpoint(network.state_dict())
    biases = [key for key in network.state_dict() if key.endswith("downsample.0.bias")]
    assert len(biases) == (3 if make is resnet18 else 4) and set(biases) <= set(checkpoint.report.loaded)
    assert checkpoint.matched == 1 and not checkpoint.report.unexpected
    plain = make(
        spatial_dims=2, n_input_channels=1, num_classes=CLASSES, conv1_t_stride=2, bias_downsample=False
    ).eval()
    plain.load_state_dict(converted(checkpoint, "monai"))
    with torch.no_grad():
        expected = network(frames)
        assert_close(plain(frames), expected)
        assert_close(ours(checkpoint)(frames), expected)
        network.load_state_dict({key: value for key, value in network.state_dict().items() if key not in biases}, False)
        for key in biases:
            network.state_dict()[key].zero_()
        assert (network(frames) - expected).abs().max() > 1e-3  # they do count


@pytest.fixture(scope="module")
def uscl() -> ResNetSimCLR:
    torch.manual_seed(4)
    return with_statistics(ResNetSimCLR(plain_resnet18(), num_classes=12))


def test_uscl_in_and_out(uscl: ResNetSimCLR, frames: torch.Tensor) -> None:
    checkpoint = read_checkpoint({f"module.{key}": value for key, value in uscl.state_dict().items()})
    assert (checkpoint.architecture, checkpoint.layout, checkpoint.in_channels) == ("resnet18", "uscl", 3)
    assert checkpoint.matched == 1 and not checkpoint.report.missing
    assert checkpoint.report.unexpected == ["fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight"]
    heads = ContrastiveHeads(512, 256, num_classes=12, classify=Keys.PROJECTION)
    network = PretextNet(Encoder("resnet18", 1), {"contrast": heads}).eval()
    network.load_state_dict(converted(checkpoint, "pretext", in_channels=1))
    with torch.no_grad():
        found = network({Keys.VIEWS: frames[:, None]})
        expected = uscl(frames.expand(-1, 3, -1, -1))
    for key, value in zip((Keys.REPRESENTATION, Keys.PROJECTION, Keys.LOGITS), expected, strict=True):
        assert_close(found[key].squeeze(1), value)
    again = read_checkpoint(network.state_dict())
    assert again.layout == "pretext"
    back = converted(again, "uscl", in_channels=3)
    other = with_statistics(ResNetSimCLR(plain_resnet18(), num_classes=12), seed=9)
    assert other.load_state_dict(back, strict=False).unexpected_keys == []
    with torch.no_grad():
        for first, second in zip(other(frames.expand(-1, 3, -1, -1)), expected, strict=True):
            assert_close(first, second)


def test_uscls_evaluation_takes_our_encoder(uscl: ResNetSimCLR) -> None:
    """It drops what begins with l or fc and then loads strictly."""
    checkpoint = read_checkpoint(Encoder("resnet18", 3).state_dict())
    given = converted(checkpoint, "uscl")
    own = uscl.state_dict()
    assert all(key.startswith("features.") for key in given)
    assert given.keys() == {key for key in own if not key.startswith(("l", "fc"))}
    assert given["features.7.1.conv2.weight"].shape == own["features.7.1.conv2.weight"].shape


def test_where_a_classifier_reads_is_told_by_its_width() -> None:
    for classify, size, found in (
        (Keys.REPRESENTATION, 256, "classifier"),
        (Keys.PROJECTION, 256, "projection_classifier"),
        (Keys.REPRESENTATION, 512, None),  # both are 512 wide: not to be told, so it is left alone
    ):
        heads = ContrastiveHeads(512, size, num_classes=3, classify=classify)
        checkpoint = read_checkpoint(PretextNet(Encoder(), {"contrast": heads}).state_dict())
        expected = {f"{name}.{part}" for name in ("projector.0", "projector.2", found) for part in ("weight", "bias")}
        assert checkpoint.heads.keys() == {key for key in expected if not key.startswith("None")}
        assert checkpoint.report.unexpected == (
            [] if found else ["heads.contrast.classifier.bias", "heads.contrast.classifier.weight"]
        )
        assert checkpoint.matched == 1


def test_channels_there_and_back(frames: torch.Tensor) -> None:
    torch.manual_seed(5)
    colour = with_statistics(plain_resnet18(CLASSES, 3))
    checkpoint = read_checkpoint(colour.state_dict())
    grey, again = plain_resnet18(CLASSES, 1).eval(), plain_resnet18(CLASSES, 3).eval()
    grey.load_state_dict(converted(checkpoint, "torchvision", in_channels=1))
    again.load_state_dict(converted(read_checkpoint(grey.state_dict()), "torchvision", in_channels=3))
    with torch.no_grad():
        expected = colour(frames.expand(-1, 3, -1, -1))
        assert_close(grey(frames), expected)
        assert_close(again(frames.expand(-1, 3, -1, -1)), expected)
    with pytest.raises(InputError, match="found 2, expected 1 .grey. or 3"):
        converted(checkpoint, "torchvision", in_channels=2)


@pytest.mark.parametrize(
    ("put", "given", "found"),
    [
        ("module.", None, ""),
        ("module._orig_mod.", None, ""),
        ("backbone.", None, "backbone."),
        ("module.encoder.", None, "encoder."),
        ("module.encoder_q.", "encoder_q.", "encoder_q."),
    ],
)
def test_prefixes(put: str, given: str | None, found: str) -> None:
    plain = plain_resnet18(CLASSES).state_dict()
    wrapper = "module." if put.startswith("module.") else ""
    beside = {f"{wrapper}neck.weight": torch.zeros(2)} if found else {}
    checkpoint = read_checkpoint({put + key: value for key, value in plain.items()} | beside, prefix=given)
    assert (checkpoint.architecture, checkpoint.prefix, checkpoint.matched) == ("resnet18", found, 1.0)
    assert checkpoint.report.unexpected == (["neck.weight"] if found else [])
    assert_same(converted(checkpoint, "torchvision"), plain)
    again = converted(checkpoint, "torchvision", prefix="backbone.")
    assert_same(again, {f"backbone.{key}": value for key, value in plain.items()})


def test_half_and_strided_tensors_and_missing_counters() -> None:
    plain = {key: value for key, value in plain_resnet18().half().state_dict().items() if "num_batches" not in key}
    plain["conv1.weight"] = plain["conv1.weight"].to(memory_format=torch.channels_last)
    checkpoint = read_checkpoint(plain)
    assert checkpoint.matched == 1 and all("num_batches_tracked" in key for key in checkpoint.report.missing)
    out = converted(checkpoint, "timm")
    assert out.keys() == plain_resnet18().state_dict().keys() and out["bn1.num_batches_tracked"] == 0
    assert out["conv1.weight"].dtype == torch.float16 and out["conv1.weight"].is_contiguous()


def test_nothing_is_made_up() -> None:
    part = {key: value for key, value in plain_resnet18().state_dict().items() if not key.startswith("layer4.1")}
    part["layer1.0.conv1.weight"] = torch.zeros(2)
    part["more.weight"] = torch.zeros(3)
    checkpoint = read_checkpoint(part)
    assert checkpoint.architecture == "resnet18" and len(checkpoint.report.missing) == 12
    assert checkpoint.report.mismatched == ["layer1.0.conv1.weight"]
    assert checkpoint.report.unexpected == ["more.weight"]
    assert checkpoint.matched == pytest.approx(91 / 102)  # of 100 of the encoder and 2 of the classifier
    assert converted(checkpoint, "torchvision").keys() == part.keys() - {"layer1.0.conv1.weight", "more.weight"}


def test_without_its_first_convolution_the_architecture_must_be_said() -> None:
    part = {key: value for key, value in plain_resnet50().state_dict().items() if key != "conv1.weight"}
    assert read_checkpoint(part).matched < 0.5
    said = read_checkpoint(part, architecture="resnet50")
    assert said.report.missing == ["conv1.weight"] and said.matched > 0.98 and said.in_channels == 0


def test_what_is_no_encoder_matches_nothing() -> None:
    checkpoint = read_checkpoint({"weight": torch.zeros(3)})
    assert checkpoint.matched == 0 and not checkpoint.encoder and checkpoint.in_channels == 0
    solid = resnet18(spatial_dims=3, n_input_channels=1)
    assert read_checkpoint(solid.state_dict()).matched < 0.9


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("architecture", ENCODERS)
def test_names_are_told_apart_in_every_layout(architecture: str, layout: str) -> None:
    if family_of(architecture) not in LAYOUTS[layout].rules:
        with pytest.raises(InputError, match=f"{layout}, which has no {architecture}, expected one of .*monai"):
            names(architecture, layout)
        return
    with torch.device("meta"):
        expected = Encoder(architecture).state_dict().keys()
    given = names(architecture, layout)
    assert given.keys() == expected and len(set(given.values())) == len(given)
