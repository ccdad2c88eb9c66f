# SPDX-License-Identifier: Apache-2.0
"""The heads of order and geometry: what each sees, and which frames are encoded."""

from __future__ import annotations

import itertools

import pytest
import torch

from bundle.errors import InputError
from bundle.keys import Keys
from bundle.losses import GeometryLoss, OrderLoss, PretextLoss
from bundle.networks import Encoder, OrderGeometryHeads, PretextNet
from bundle.networks.order_geometry import OrderHead


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder("resnet18")


def network_of(encoder: Encoder, *frames: int, **options) -> PretextNet:
    return PretextNet(encoder, {"clips": OrderGeometryHeads(encoder.feature_dim, *frames, **options)})


def clips(batch: int = 2, n: int = 4, channels: int = 1) -> torch.Tensor:
    return torch.randn(batch, 2, n, channels, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("features", ["concatenated", "pairwise"])
@pytest.mark.parametrize("n", [3, 4])
def test_shapes(encoder, n, features):
    network = network_of(encoder, n, n_orders=7, n_parameters=6, order_features=features, hidden_dim=16).eval()
    out = network({Keys.CLIPS: clips(3, n)})
    assert {name: tuple(value.shape) for name, value in out.items()} == {
        Keys.ORDER_LOGITS: (3, 7),
        Keys.GEOMETRY: (3, 6),
    }


def reads(encoder, key: str, **kind) -> set[int]:
    """Which of the two clips change an output: 0 as it is, 1 transformed."""
    network = network_of(encoder, hidden_dim=16, **kind).eval()
    given, changed = clips(), clips()
    read = set()
    with torch.no_grad():
        before = network({Keys.CLIPS: given})[key]
        for clip in (0, 1):
            changed = given.clone()
            changed[:, clip] += torch.randn(changed[:, clip].shape, generator=torch.Generator().manual_seed(2))
            if not torch.equal(network({Keys.CLIPS: changed})[key], before):
                read.add(clip)
    return read


def test_parallel_reads_the_order_from_the_clip_as_it_is_and_sequential_from_the_transformed(encoder):
    assert reads(encoder, Keys.ORDER_LOGITS, combination="parallel") == {0}
    assert reads(encoder, Keys.ORDER_LOGITS, combination="sequential") == {1}
    for combination in ("parallel", "sequential"):
        assert reads(encoder, Keys.GEOMETRY, combination=combination) == {0, 1}
        assert reads(encoder, Keys.GEOMETRY, combination=combination, geometry_input="transformed") == {1}


@pytest.mark.parametrize(
    ("kind", "frames"),
    [
        ({}, 16),
        ({"combination": "sequential"}, 16),
        ({"combination": "sequential", "geometry_input": "transformed"}, 8),
        ({"n_parameters": 0}, 8),
        ({"n_parameters": 0, "combination": "sequential"}, 8),
        ({"n_orders": 0}, 16),
        ({"n_orders": 0, "geometry_input": "transformed"}, 8),
    ],
)
def test_each_frame_that_is_read_goes_through_the_encoder_once_and_no_other(encoder, kind, frames):
    network = network_of(encoder, hidden_dim=16, **kind).train()
    seen: list[tuple[int, ...]] = []
    hook = encoder.register_forward_hook(lambda module, given, out: seen.append(tuple(given[0].shape)))
    out = network({Keys.CLIPS: clips()})
    hook.remove()
    assert seen == [(frames, 1, 32, 32)]
    assert set(out) == {Keys.ORDER_LOGITS, Keys.GEOMETRY} - {
        {"n_orders": Keys.ORDER_LOGITS, "n_parameters": Keys.GEOMETRY}[name] for name in kind if kind[name] == 0
    }


def test_heads_get_the_features_of_their_frames(encoder):
    """Against frame by frame."""
    network = network_of(encoder, hidden_dim=16).eval()
    heads, given = network.heads["clips"], clips()
    with torch.no_grad():
        out = network({Keys.CLIPS: given})
        features = torch.stack([torch.stack([encoder(clip) for clip in item]) for item in given])  # (B, 2, n, D)
        order = heads.order_head(features[:, 0])
        each = [heads.geometry_head(torch.cat([features[:, 0, k], features[:, 1, k]], dim=1)) for k in range(4)]
    torch.testing.assert_close(out[Keys.ORDER_LOGITS], order, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out[Keys.GEOMETRY], torch.stack(each).mean(0), rtol=1e-4, atol=1e-5)


def test_the_order_shown_changes_the_order_logits_and_not_the_geometry(encoder):
    network = network_of(encoder, hidden_dim=16).eval()
    given = clips()
    with torch.no_grad():
        out, other = (network({Keys.CLIPS: one}) for one in (given, given[:, :, [2, 0, 3, 1]]))
    torch.testing.assert_close(out[Keys.GEOMETRY], other[Keys.GEOMETRY], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(out[Keys.ORDER_LOGITS], other[Keys.ORDER_LOGITS], atol=1e-4)


def test_pairs_share_one_layer():
    head = OrderHead(8, n_frames=4, n_orders=12, hidden_dim=6, features="pairwise").eval()
    features = torch.randn(3, 4, 8)
    centred = features - features.mean(dim=1, keepdim=True)
    normal = (centred - head.normalise.running_mean) / (head.normalise.running_var + head.normalise.eps).sqrt()
    pairs = [
        (torch.cat([normal[:, i], normal[:, j]], dim=1) @ head.compare[0].weight.T + head.compare[0].bias).clamp(min=0)
        for i, j in itertools.combinations(range(4), 2)
    ]
    expected = torch.cat(pairs, dim=1) @ head.classify.weight.T + head.classify.bias
    torch.testing.assert_close(head(features), expected)
    torch.testing.assert_close(head(features + torch.randn(3, 1, 8)), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("features", ["concatenated", "pairwise"])
def test_the_order_head_learns_what_features_tell(features):
    """Features in which time is a small part of what differs between clips."""
    from bundle.transforms import FrameOrders

    torch.manual_seed(0)
    orders, direction = FrameOrders(4), torch.randn(16)
    head = OrderHead(16, 4, 12, 32, features).train()
    optimiser = torch.optim.Adam(head.parameters(), 3e-3)

    def draw(n: int):
        order = torch.stack([torch.randperm(4) for _ in range(n)])
        clip = 5 * torch.randn(n, 1, 16) + 0.1 * order[..., None] * direction + 0.01 * torch.randn(n, 4, 16)
        return clip, torch.tensor([orders.index(row) for row in order.numpy()])

    for _ in range(150):
        clip, label = draw(64)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(head(clip), label).backward()
        optimiser.step()
    clip, label = draw(300)
    assert (head.eval()(clip).argmax(1) == label).float().mean() > 0.8  # chance: 0.08


def test_gradients_reach_encoder_and_heads():
    network = network_of(Encoder("resnet18"), hidden_dim=16).train()
    targets = {Keys.ORDER: torch.tensor([3, 7]), Keys.MOVING: torch.tensor([True, True])}
    loss = PretextLoss({"order": OrderLoss(), "geometry": GeometryLoss()})
    loss(network({Keys.CLIPS: clips()}), {**targets, Keys.GEOMETRY: torch.randn(2, 5)}).backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in network.encoder.parameters())
    assert all(value.grad is not None for value in network.parameters())


def test_the_papers_kind_of_encoder():
    network = network_of(Encoder("seresnext50"), hidden_dim=16).eval()
    with torch.no_grad():
        assert network({Keys.CLIPS: clips(1)})[Keys.ORDER_LOGITS].shape == (1, 12)
    assert network.encoder.feature_dim == 2048, "full width; half of it would be 1024"


@pytest.mark.parametrize("shape", [(2, 2, 3, 1, 32, 32), (2, 1, 4, 1, 32, 32), (2, 2, 4, 3, 32, 32), (2, 4, 1, 32, 32)])
def test_refuses_other_clips(encoder, shape):
    with pytest.raises(
        InputError,
        match=r"clips: found shape .* expected \(batch, 2, 4 frames, |images: found .* one size with 1 channels",
    ):
        network_of(encoder)({Keys.CLIPS: torch.zeros(shape)})


@pytest.mark.parametrize("wrong", [{"combination": "both"}, {"geometry_input": "one"}, {"order_features": "sum"}])
def test_refuses_other_words(encoder, wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))}: found '{next(iter(wrong.values()))}'"):
        network_of(encoder, **wrong)


def test_refuses_to_do_nothing(encoder):
    with pytest.raises(InputError, match="both are off"):
        network_of(encoder, n_orders=0, n_parameters=0)
