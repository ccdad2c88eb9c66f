# SPDX-License-Identifier: Apache-2.0
"""The contrastive heads, on an encoder."""

from __future__ import annotations

import pytest
import torch

from bundle.errors import InputError
from bundle.keys import Keys
from bundle.losses import SemiSupervisedContrastiveLoss
from bundle.networks import ContrastiveHeads, Encoder, LinearClassifier, PretextNet, ProjectionHead


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder("resnet18")


def contrastive(encoder: Encoder, **options) -> PretextNet:
    return PretextNet(encoder, {"contrast": ContrastiveHeads(**options)})


def test_the_projection_head_is_the_papers():
    head = ProjectionHead()
    linear = [(layer.in_features, layer.out_features) for layer in head if isinstance(layer, torch.nn.Linear)]
    assert linear == [(512, 512), (512, 256)]
    x = torch.randn(3, 512)
    expected = (x @ head[0].weight.T + head[0].bias).clamp(min=0) @ head[2].weight.T + head[2].bias
    torch.testing.assert_close(head(x), expected)
    assert ProjectionHead(20, None, 3)[0].out_features == 20
    assert ProjectionHead(20, 7, 3)[2].in_features == 7


def test_the_linear_classifier_is_linear():
    classifier = LinearClassifier(5, 3)
    x, y, zero = torch.randn(2, 5), torch.randn(2, 5), torch.zeros(2, 5)
    torch.testing.assert_close(classifier(x + y) + classifier(zero), classifier(x) + classifier(y))
    assert classifier(x).shape == (2, 3)


@pytest.mark.parametrize("classes", [0, 1, 4])
@pytest.mark.parametrize(("batch", "count"), [(1, 2), (3, 2), (2, 5)])
def test_shapes(encoder, batch, count, classes):
    network = contrastive(encoder, projection_dim=16, hidden_dim=24, num_classes=classes).eval()
    out = network({Keys.VIEWS: torch.randn(batch, count, 1, 64, 64)})
    assert out[Keys.REPRESENTATION].shape == (batch, count, 512)
    assert out[Keys.PROJECTION].shape == (batch, count, 16)
    assert (Keys.LOGITS in out) == (classes > 0)
    if classes:
        assert out[Keys.LOGITS].shape == (batch, count, classes)


def test_rgb_views():
    network = contrastive(Encoder("resnet18", in_channels=3)).eval()
    assert network({Keys.VIEWS: torch.randn(2, 2, 3, 64, 64)})[Keys.PROJECTION].shape == (2, 2, 256)


def test_each_view_of_each_item_is_at_its_place(encoder):
    network = contrastive(encoder, num_classes=3).eval()
    views = torch.randn(3, 2, 1, 64, 64)
    with torch.no_grad():
        out = network({Keys.VIEWS: views})
        for item in range(3):
            for view in range(2):
                feature = encoder(views[item, view][None])
                expected = {
                    Keys.REPRESENTATION: feature,
                    Keys.PROJECTION: network.heads["contrast"].projector(feature),
                    Keys.LOGITS: network.heads["contrast"].classifier(feature),
                }
                for key, value in expected.items():
                    torch.testing.assert_close(out[key][item, view], value[0], rtol=1e-4, atol=1e-5)


def test_all_views_go_through_the_encoder_once(encoder):
    network = contrastive(encoder).train()
    seen: list[tuple[int, ...]] = []
    hook = encoder.register_forward_hook(lambda module, given, out: seen.append(tuple(given[0].shape)))
    before = int(encoder.bn1.num_batches_tracked)
    network({Keys.VIEWS: torch.randn(3, 2, 1, 64, 64)})
    hook.remove()
    assert seen == [(6, 1, 64, 64)]
    assert int(encoder.bn1.num_batches_tracked) == before + 1


@pytest.mark.parametrize("classify", [Keys.REPRESENTATION, Keys.PROJECTION])
def test_what_is_classified(encoder, classify):
    network = contrastive(encoder, projection_dim=16, num_classes=3, classify=classify).eval()
    out = network({Keys.VIEWS: torch.randn(2, 2, 1, 64, 64)})
    expected = out[classify] @ network.heads["contrast"].classifier.weight.T + network.heads["contrast"].classifier.bias
    torch.testing.assert_close(out[Keys.LOGITS], expected)


def test_learns_to_tell_a_batch_apart():
    """Encoder, heads and loss together: the loss of one fixed batch falls far below that of chance."""
    torch.manual_seed(0)
    network = contrastive(Encoder("resnet18"), num_classes=2).train()
    loss_function = SemiSupervisedContrastiveLoss(temperature=0.5)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-4)
    views = torch.rand(6, 1, 1, 64, 64).repeat(1, 2, 1, 1, 1) + 0.1 * torch.randn(6, 2, 1, 64, 64)
    targets = {Keys.LABEL: torch.tensor([0, 1, -1, -1, -1, -1])}
    for _ in range(6):
        optimiser.zero_grad()
        loss = loss_function(network({Keys.VIEWS: views}), targets)
        loss.backward()
        optimiser.step()
    assert loss_function.parts["contrast_accuracy"] == 1
    assert loss_function.parts["label"] < 0.7  # chance: 2 log 2


@pytest.mark.parametrize("shape", [(2, 1, 64, 64), (2, 2, 3, 64, 64), (64, 64)])
def test_refuses_other_inputs(encoder, shape):
    with pytest.raises(InputError, match="views|channels"):
        contrastive(encoder)({Keys.VIEWS: torch.zeros(shape)})


@pytest.mark.parametrize("wrong", [{"classify": "logits"}, {"num_classes": -1}])
def test_refuses_other_settings(encoder, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        contrastive(encoder, **wrong)
