# SPDX-License-Identifier: Apache-2.0
"""The encoders: shapes, the names of their weights, scripting and export."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DenseNet121, EfficientNetBN, SEResNext50, resnet18, resnet50

from bundle.errors import InputError
from bundle.networks import ENCODERS, Encoder

DIMS = {
    "resnet18": 512,
    "resnet34": 512,
    "resnet50": 2048,
    "seresnet50": 2048,
    "seresnext50": 2048,
    "densenet121": 1024,
    "efficientnet-b0": 1280,
    "efficientnet-b1": 1280,
    "efficientnet-b2": 1408,
    "efficientnet-b3": 1536,
    "efficientnet-b4": 1792,
}
OF_EACH_KIND = ("resnet18", "seresnext50", "densenet121", "efficientnet-b0")


def torchvision_names(blocks: tuple[int, ...], expansion: int, channels: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's ResNet without ``fc``, by rule."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, width: int) -> None:
        shapes.update({f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    shapes["conv1.weight"] = (64, channels, 7, 7)
    norm("bn1", 64)
    inside = 64
    for stage, count in enumerate(blocks, start=1):
        width = 64 * 2 ** (stage - 1)
        outside = width * expansion
        for block in range(count):
            at = f"layer{stage}.{block}"
            kernels = ((width, inside, 3), (width, width, 3))
            if expansion == 4:
                kernels = ((width, inside, 1), (width, width, 3), (outside, width, 1))
            for number, (out, into, size) in enumerate(kernels, start=1):
                shapes[f"{at}.conv{number}.weight"] = (out, into, size, size)
                norm(f"{at}.bn{number}", out)
            if block == 0 and (stage > 1 or expansion == 4):
                shapes[f"{at}.downsample.0.weight"] = (outside, inside, 1, 1)
                norm(f"{at}.downsample.1", outside)
            inside = outside
    return shapes


@pytest.mark.parametrize(
    ("name", "blocks", "expansion", "parameters"),
    [
        ("resnet18", (2, 2, 2, 2), 1, 11_176_512),  # torchvision's 11,689,512 less fc's 513,000
        ("resnet34", (3, 4, 6, 3), 1, 21_284_672),
        ("resnet50", (3, 4, 6, 3), 4, 23_508_032),
    ],
)
def test_resnets_have_torchvisions_names_and_shapes(name, blocks, expansion, parameters):
    encoder = Encoder(name, in_channels=3)
    found = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    assert found == torchvision_names(blocks, expansion, channels=3)
    assert sum(p.numel() for p in encoder.parameters()) == parameters


def test_resnet18_computes_what_the_layout_says():
    """The strides and the order of layers, which a state dict does not show, written out with plain functions."""
    functional = torch.nn.functional
    encoder = Encoder("resnet18").eval()
    w = encoder.state_dict()
    for key in w:
        if w[key].ndim == 1:
            w[key].uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(len(key)))

    def norm(x, name):
        parts = (w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, *parts)

    x = torch.randn(2, 1, 70, 90)
    expected = norm(functional.conv2d(x, w["conv1.weight"], stride=2, padding=3), "bn1").relu()
    expected = functional.max_pool2d(expected, 3, stride=2, padding=1)
    for stage in range(1, 5):
        for block in range(2):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = functional.conv2d(expected, w[f"{at}.conv1.weight"], stride=stride, padding=1)
            y = functional.conv2d(norm(y, f"{at}.bn1").relu(), w[f"{at}.conv2.weight"], padding=1)
            if stride == 2:
                expected = functional.conv2d(expected, w[f"{at}.downsample.0.weight"], stride=2)
                expected = norm(expected, f"{at}.downsample.1")
            expected = (norm(y, f"{at}.bn2") + expected).relu()
    with torch.no_grad():
        torch.testing.assert_close(encoder.feature_maps(x), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(encoder(x), expected.mean(dim=(2, 3)), rtol=1e-4, atol=1e-4)


WHOLE = {
    "resnet18": (resnet18, {"n_input_channels": 1, "conv1_t_stride": 2, "bias_downsample": False, "num_classes": 2}),
    "resnet50": (resnet50, {"n_input_channels": 1, "conv1_t_stride": 2, "bias_downsample": False, "num_classes": 2}),
    "seresnext50": (SEResNext50, {"in_channels": 1, "num_classes": 2}),
    "densenet121": (DenseNet121, {"in_channels": 1, "out_channels": 2}),
    "efficientnet-b0": (EfficientNetBN, {"in_channels": 1, "num_classes": 2, "pretrained": False}),
}
CLASSIFIERS = {"seresnext50": "last_linear", "densenet121": "class_layers.out"}


@pytest.mark.parametrize("name", WHOLE)
def test_equals_monais_network_below_its_classifier(name):
    make, settings = WHOLE[name]
    first = ("efficientnet-b0",) if name.startswith("efficientnet") else ()
    whole = make(*first, spatial_dims=2, **settings).eval()
    encoder = Encoder(name).eval()
    encoder.load_state_dict({key: value for key, value in whole.state_dict().items() if key in encoder.state_dict()})
    classifier = CLASSIFIERS.get(name, "_fc" if first else "fc")
    x = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        logits = whole.get_submodule(classifier)(encoder(x))
        torch.testing.assert_close(logits, whole(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ENCODERS)
def test_shapes(name):
    for channels, batch in ((1, 3), (3, 1)):
        encoder = Encoder(name, channels).eval()
        assert (encoder.name, encoder.in_channels, encoder.feature_dim) == (name, channels, DIMS[name])
        x = torch.randn(batch, channels, 64, 64)
        with torch.no_grad():
            maps, features = encoder.feature_maps(x), encoder(x)
        assert maps.shape == (batch, DIMS[name], 2, 2)
        assert features.shape == (batch, DIMS[name])
        assert features.isfinite().all()
        torch.testing.assert_close(features, maps.mean(dim=(2, 3)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_other_precisions(name, dtype):
    encoder = Encoder(name).eval()
    x = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        single = encoder(x)
        other = encoder.to(dtype)(x.to(dtype))
    assert other.dtype == dtype
    tolerance = 1e-4 if dtype == torch.float64 else 0.1
    torch.testing.assert_close(other.float(), single, rtol=tolerance, atol=tolerance * single.abs().max().item())


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_can_be_trained(name):
    encoder = Encoder(name).train()
    encoder(torch.randn(2, 1, 64, 64)).square().sum().backward()
    for key, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", OF_EACH_KIND)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated")
def test_can_be_scripted(name, tmp_path):
    encoder = Encoder(name)
    with torch.jit.optimized_execution(False):  # optimising takes longer than all the rest
        scripted = torch.jit.script(encoder)
        scripted.train()(torch.randn(2, 1, 64, 64))  # has branches of its own (random depth, batch statistics)
        scripted.eval().save(str(tmp_path / "encoder.ts"))
        encoder.eval()
        loaded = torch.jit.load(str(tmp_path / "encoder.ts"))
        x = torch.randn(1, 1, 96, 64)
        with torch.no_grad():
            torch.testing.assert_close(loaded(x), encoder(x), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(loaded.feature_maps(x), encoder.feature_maps(x), rtol=1e-4, atol=1e-5)


def test_can_be_exported():
    encoder = Encoder("resnet18").eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    x = torch.randn(2, 1, 64, 64)
    program = torch.export.export(encoder, (x,), dynamic_shapes=({0: batch},))
    for size in (1, 5):
        x = torch.randn(size, 1, 64, 64)
        with torch.no_grad():
            torch.testing.assert_close(program.module()(x), encoder(x), rtol=1e-4, atol=1e-5)


def test_weights_come_from_the_global_seed():
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in Encoder().parameters()])

    assert torch.equal(drawn(3), drawn(3))
    assert not torch.equal(drawn(3), drawn(4))


@pytest.mark.parametrize("name", ["resnet19", "ResNet18", ""])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(InputError) as error:
        Encoder(name)
    assert all(known in str(error.value) for known in ENCODERS) and repr(name) in str(error.value)


def test_no_channel_is_refused():
    with pytest.raises(InputError, match="in_channels=0"):
        Encoder("resnet18", 0)
