# SPDX-License-Identifier: Apache-2.0
"""Several tasks on one encoder, in one pass."""

from __future__ import annotations

import pytest
import torch

from bundle.errors import InputError
from bundle.keys import Keys
from bundle.networks import ContrastiveHeads, Encoder, OrderGeometryHeads, PretextNet


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder("resnet18")


def images(batch: int = 2, side: int = 32) -> dict[str, torch.Tensor]:
    return {Keys.VIEWS: torch.randn(batch, 3, 1, side, side), Keys.CLIPS: torch.randn(batch, 2, 4, 1, side, side)}


def test_together_they_say_what_each_says_alone(encoder):
    heads = {"contrast": ContrastiveHeads(num_classes=2), "clips": OrderGeometryHeads(hidden_dim=16)}
    together, given = PretextNet(encoder, heads).eval(), images()
    with torch.no_grad():
        out = together(given)
        alone = [PretextNet(encoder, {name: one}).eval()(given) for name, one in heads.items()]
    assert out.keys() == alone[0].keys() | alone[1].keys()
    for one in alone:
        for key, value in one.items():
            torch.testing.assert_close(out[key], value, rtol=1e-4, atol=1e-5)


def test_one_pass_and_one_encoder_in_the_weights(encoder):
    heads = {"contrast": ContrastiveHeads(), "clips": OrderGeometryHeads(hidden_dim=16)}
    network = PretextNet(encoder, heads).train()
    seen: list[int] = []
    hook = encoder.register_forward_hook(lambda module, given, out: seen.append(len(given[0])))
    network(images())
    hook.remove()
    assert seen == [2 * 3 + 2 * 2 * 4]
    assert sum(name.endswith("conv1.weight") and "layer" not in name for name in network.state_dict()) == 1


def test_what_does_not_fit_is_refused(encoder):
    heads = {"contrast": ContrastiveHeads(), "clips": OrderGeometryHeads(hidden_dim=16)}
    network = PretextNet(encoder, heads)
    with pytest.raises(InputError, match="clips: found no clips in the batch, found views"):
        network.train()({Keys.VIEWS: images()[Keys.VIEWS]})
    assert Keys.GEOMETRY not in network.eval()({Keys.VIEWS: images()[Keys.VIEWS]}), "evaluation may ask one task"
    with pytest.raises(InputError, match="contrast: found no views in the batch, found nothing"):
        network.eval()({})
    with pytest.raises(InputError, match=r"of \(1, 32, 32\), \(1, 64, 64\), expected one size with 1 channels"):
        network({Keys.VIEWS: images()[Keys.VIEWS], Keys.CLIPS: images(side=64)[Keys.CLIPS]})
    with pytest.raises(InputError, match="tasks: found none"):
        PretextNet(encoder, {})
