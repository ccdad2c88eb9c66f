# SPDX-License-Identifier: Apache-2.0
"""The dilated encoder gives what the encoder gave, only finer; the saliency network's map is a distribution."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bundle.errors import InputError
from bundle.networks import ENCODERS, Encoder, SaliencyNet, load_encoder, reduce_stride, save_encoder
from bundle.networks.dilation import DILATABLE, OUTPUT_STRIDES, map_offset


def two(name: str, output_stride: int) -> tuple[Encoder, Encoder]:
    """An encoder with batch statistics that are not 0 and 1, and the same dilated."""
    encoder = Encoder(name)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2.0)
    dilated = Encoder(name)
    dilated.load_state_dict(encoder.state_dict())
    return encoder.eval(), reduce_stride(dilated, output_stride).eval()


def up_to(encoder: Encoder, layers: int) -> nn.Sequential:
    return nn.Sequential(*list(encoder)[:layers])


@pytest.mark.parametrize(
    ("name", "output_stride", "size"),
    [("resnet18", 8, (64, 64)), ("resnet50", 8, (43, 58))] + [("resnet18", s, (43, 58)) for s in OUTPUT_STRIDES],
)
def test_what_was_there_before_is_a_part_of_the_finer_maps(name, output_stride, size):
    encoder, dilated = two(name, output_stride)
    x = torch.randn(1, 1, *size)
    every = 32 // output_stride
    with torch.no_grad():
        before, finer = encoder.feature_maps(x), dilated.feature_maps(x)
    assert finer.shape[2:] == tuple(-(-n // output_stride) for n in size)
    torch.testing.assert_close(finer[:, :, ::every, ::every], before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["seresnet50", "seresnext50"])
def test_squeeze_and_excitation_is_all_that_differs(name):
    encoder, dilated = (one.double() for one in two(name, 8))  # values grow large without what is taken out below
    x = torch.randn(1, 1, 70, 64, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(up_to(dilated, 2)(x), up_to(encoder, 2)(x))  # the undilated layers
        assert not torch.allclose(dilated.feature_maps(x)[..., ::4, ::4], encoder.feature_maps(x), rtol=1e-3)
        for one in (encoder, dilated):
            for block in one.modules():
                if hasattr(block, "se_layer"):
                    block.se_layer = nn.Identity()
        before, finer = encoder.feature_maps(x), dilated.feature_maps(x)
    torch.testing.assert_close(finer[:, :, ::4, ::4], before, rtol=1e-4, atol=1e-4)


def test_undilated_layers_give_the_same_and_the_weights_go_both_ways(tmp_path):
    encoder, dilated = two("resnet18", 8)
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(up_to(dilated, 6)(x), up_to(encoder, 6)(x))  # the stem, layer1, layer2
    save_encoder(dilated, tmp_path, normalisation={"mean": 0.5, "std": 0.25}, image_size=64, trained={})
    again, _ = load_encoder(tmp_path)
    with torch.no_grad():
        assert torch.equal(again(x), encoder(x))


@pytest.mark.parametrize("name", sorted(set(ENCODERS) - set(DILATABLE)))
def test_other_encoders_are_refused(name):
    with pytest.raises(InputError, match=f"{name}.*dilation.*resnet18"):
        SaliencyNet(Encoder(name))


def test_other_strides_and_a_second_time_are_refused():
    with pytest.raises(InputError, match="output_stride: found 6.*4, 8, 16, 32"):
        reduce_stride(Encoder(), 6)
    with pytest.raises(InputError, match="resnet18: it is dilated already"):
        SaliencyNet(SaliencyNet(Encoder(), 16).encoder)


@pytest.mark.parametrize(("name", "output_stride"), [("resnet18", 8), ("resnet18", 32), ("seresnet50", 16)])
def test_the_map_is_a_distribution_over_the_frame(name, output_stride):
    network = SaliencyNet(Encoder(name, 3), output_stride)
    for size in ((33, 60), (71, 47)):
        x = torch.randn(2, 3, *size)
        with torch.no_grad():
            p = network.eval()(x)
            logits = network.logits(x)
        assert p.shape == logits.shape == (2, 1, *size)
        torch.testing.assert_close(p.sum(dim=(1, 2, 3)), torch.ones(2))
        torch.testing.assert_close(p.log().flatten(1), logits.flatten(1).log_softmax(1), rtol=1e-4, atol=1e-4)
    log_p = network.train()(torch.randn(2, 3, 64, 64))
    torch.testing.assert_close(log_p.exp().sum(dim=(1, 2, 3)), torch.ones(2))


@pytest.mark.parametrize("name", DILATABLE)
def test_where_the_first_value_of_the_maps_is_centred(name):
    """The stem alone, with equal weights; all that follows is centred, as it adds the same on both sides."""
    encoder = Encoder(name).double().eval()
    stem = encoder[0] if "layer0" in dict(encoder.named_children()) else nn.Sequential(encoder.conv1, encoder.maxpool)
    nn.init.constant_(stem.conv1.weight if name.startswith("se") else stem[0].weight, 1.0)
    x = (torch.arange(64.0, dtype=torch.float64) + torch.zeros(1, 1, 64, 64)).requires_grad_()  # the last pixel wins
    at = 8
    (weight,) = torch.autograd.grad(stem(x)[0, 0, at, at], x)
    seen = weight[0, 0].sum(0).nonzero().flatten()
    winner = 4 * at + 2 * (1 + map_offset(encoder) // 2)  # the last of the pool's three pixels, two apart
    assert seen.tolist() == list(range(winner - 3, winner + 4))


@pytest.mark.parametrize(("name", "output_stride"), [("resnet18", 8), ("seresnet50", 16), ("resnet18", 4)])
def test_a_prediction_is_not_shifted(name, output_stride):
    """Maps that hold the column (and row) they are centred on become logits that hold the column of each pixel."""
    network = SaliencyNet(Encoder(name), output_stride)
    n = 80 // output_stride
    centres = output_stride * torch.arange(n) + network.offset
    network.readout = nn.Identity()
    inside = slice(network.offset, int(centres[-1]) + 1)
    for maps, pixels in ((centres[None, :], torch.arange(80)[None, :]), (centres[:, None], torch.arange(80)[:, None])):
        network.encoder.feature_maps = lambda x, maps=maps: maps.expand(1, 1, n, n).float()
        logits = network.logits(torch.zeros(1, 1, 80, 80))[0, 0, inside, inside]
        torch.testing.assert_close(logits, pixels.expand(80, 80)[inside, inside].float())


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated")
def test_can_be_scripted_and_exported(tmp_path):
    network = SaliencyNet(Encoder()).eval()
    x = torch.randn(2, 1, 64, 64)
    with torch.no_grad(), torch.jit.optimized_execution(False):
        expected = network(x)
        torch.jit.script(network).save(str(tmp_path / "saliency.ts"))
        torch.testing.assert_close(torch.jit.load(str(tmp_path / "saliency.ts"))(x), expected)
        program = torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},))
        torch.testing.assert_close(program.module()(x[:1]), expected[:1], rtol=1e-4, atol=1e-6)
