# SPDX-License-Identifier: Apache-2.0
"""NT-Xent against a reference written as loops, and its properties."""

from __future__ import annotations

import math

import pytest
import torch
from monai.losses import ContrastiveLoss
from torch.utils._python_dispatch import TorchDispatchMode

from bundle.errors import InputError
from bundle.losses import NTXentLoss


def views(batch: int, dim: int, seed: int = 0, dtype: torch.dtype = torch.float32, n_views: int = 2) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(batch, n_views, dim, generator=random, dtype=torch.float64).to(dtype)


def slow(projection, temperature, video=None, patient=None, weights=None, negatives=None) -> float:
    """Equation 1 of SimCLR, one anchor and one comparison at a time, in Python floats.

    Views from the third on are extra negatives of every anchor.
    """
    batch, n_views = projection.shape[:2]
    vectors = {(i, v): [float(x) for x in projection[i, v]] for i in range(batch) for v in range(n_views)}

    def cosine(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))

    def same(ids, i, j):
        return ids is not None and int(ids[i]) >= 0 and int(ids[i]) == int(ids[j])

    weighted, all_weights = 0.0, 0.0
    for (i, v), anchor in vectors.items():
        if v > 1:
            continue
        positive = cosine(anchor, vectors[i, 1 - v]) / temperature
        others = [positive]
        for (j, u), other in vectors.items():
            if u > 1 and negatives is not None and not bool(negatives[j, u - 2]):
                continue
            if (j == i and u > 1) or (j != i and not same(video, i, j) and not same(patient, i, j)):
                others.append(cosine(anchor, other) / temperature)
        top = max(others)
        loss = top + math.log(sum(math.exp(o - top) for o in others)) - positive
        weight = 1.0 if weights is None else float(weights[i])
        weighted, all_weights = weighted + weight * loss, all_weights + weight
    return weighted / all_weights


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("dim", [1, 3, 32])
@pytest.mark.parametrize("batch", [1, 2, 5, 9])
def test_equals_the_loops(batch, dim, temperature):
    projection = views(batch, dim, seed=batch * 100 + dim, dtype=torch.float64)
    loss = NTXentLoss(temperature)(projection)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(slow(projection, temperature), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("batch", [2, 7])
def test_equals_monai(batch, temperature):
    projection = views(batch, 16)
    expected = ContrastiveLoss(temperature)(projection[:, 0], projection[:, 1])
    torch.testing.assert_close(NTXentLoss(temperature)(projection), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 8, 33])
def test_constant_projections_cost_the_log_of_the_number_of_candidates(batch):
    loss = NTXentLoss(0.1)(torch.ones(batch, 2, 4))
    assert loss.item() == pytest.approx(math.log(2 * batch - 1), abs=1e-5)


def test_orthogonal_items_with_equal_views():
    """Positive similarity 1 and 2B - 2 negatives of similarity 0."""
    batch, temperature = 6, 0.5
    projection = torch.eye(batch)[:, None].repeat(1, 2, 1)
    expected = -1 / temperature + math.log(math.exp(1 / temperature) + 2 * batch - 2)
    assert NTXentLoss(temperature)(projection).item() == pytest.approx(expected, rel=1e-5)


def test_views_can_be_swapped_items_permuted_and_vectors_scaled():
    projection = views(8, 16)
    loss = NTXentLoss(0.1)(projection)
    torch.testing.assert_close(NTXentLoss(0.1)(projection.flip(1)), loss)
    torch.testing.assert_close(NTXentLoss(0.1)(projection[torch.tensor([3, 1, 0, 7, 6, 5, 2, 4])]), loss)
    torch.testing.assert_close(NTXentLoss(0.1)(projection * torch.logspace(-2, 2, 8)[:, None, None]), loss)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("temperature", [0.01, 0.05, 0.5])
def test_half_precision_input_is_computed_in_single(dtype, temperature):
    half = views(16, 32).to(dtype).requires_grad_()
    loss = NTXentLoss(temperature)(half)
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, NTXentLoss(temperature)(half.detach().float()))
    assert half.grad.dtype == dtype and half.grad.isfinite().all() and half.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_close_to_double(dtype):
    projection = views(16, 32, dtype=torch.float64)
    loss = NTXentLoss(0.1)(projection.to(dtype))
    assert loss.item() == pytest.approx(NTXentLoss(0.1)(projection).item(), rel=1e-2)


def test_autocast_does_not_change_it():
    projection = views(16, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = NTXentLoss(0.05)(projection)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, NTXentLoss(0.05)(projection), rtol=0, atol=0)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_temperature_of_a_hundredth_is_right(scale):
    projection = views(6, 8, dtype=torch.float64) * scale
    single = projection.float().requires_grad_()
    loss = NTXentLoss(0.01)(single)
    loss.backward()
    assert loss.item() == pytest.approx(slow(projection, 0.01), rel=1e-4)
    assert single.grad.isfinite().all()


VIDEO = torch.tensor([0, 0, 1, 2, 1, -1, -1])
PATIENT = torch.tensor([5, 5, 5, 6, 7, -1, 6])


@pytest.mark.parametrize("by_video", [False, True])
@pytest.mark.parametrize("by_patient", [False, True])
def test_masks_equal_the_loops(by_video, by_patient):
    projection = views(7, 5, dtype=torch.float64)
    loss = NTXentLoss(0.2, mask_same_video=by_video, mask_same_patient=by_patient)
    expected = slow(projection, 0.2, VIDEO if by_video else None, PATIENT if by_patient else None)
    assert loss(projection, video=VIDEO, patient=PATIENT).item() == pytest.approx(expected, rel=1e-9)


def test_masks_keep_the_positive_and_drop_only_the_shared():
    logits, positive = NTXentLoss(1.0, mask_same_video=True).compare(views(3, 4), video=torch.tensor([4, 4, 9]))
    inf = float("-inf")
    masked = torch.tensor(
        [[1, 1, 0, 0, 1, 0], [1, 1, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0]] + [[0, 1, 0, 1, 1, 0], [1, 0, 0, 1, 1, 0]]
        + [[0, 0, 0, 0, 0, 1]],
        dtype=torch.bool,
    )  # fmt: skip
    assert torch.equal(logits == inf, masked)
    assert positive.tolist() == [3, 4, 5, 0, 1, 2]


def test_all_of_one_video_leaves_nothing_to_contrast():
    projection = views(5, 4).requires_grad_()
    loss = NTXentLoss(0.5, mask_same_video=True)(projection, video=torch.zeros(5, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(projection.grad, torch.zeros_like(projection))


def test_unknown_ids_mask_nothing():
    projection = views(5, 4)
    loss = NTXentLoss(mask_same_patient=True)(projection, patient=torch.full((5,), -1))
    torch.testing.assert_close(loss, NTXentLoss()(projection), rtol=0, atol=0)


def test_weights_equal_the_loops():
    projection, weights = views(6, 5, dtype=torch.float64), torch.tensor([0.0, 1.0, 0.5, 2.0, 0.1, 3.0])
    expected = slow(projection, 0.3, weights=weights)
    assert NTXentLoss(0.3)(projection, weights=weights).item() == pytest.approx(expected, rel=1e-6)
    assert NTXentLoss(0.3)(projection, weights=weights * 1e-20).item() == pytest.approx(expected, rel=1e-6)
    equal = NTXentLoss(0.3)(projection, weights=torch.full((6,), 0.7))
    torch.testing.assert_close(equal, NTXentLoss(0.3)(projection))


def test_no_weight_at_all_is_zero_with_zero_gradient():
    projection = views(4, 5).requires_grad_()
    loss = NTXentLoss()(projection, weights=torch.zeros(4))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(projection.grad, torch.zeros_like(projection))


def test_gradient():
    projection = views(4, 3, dtype=torch.float64).requires_grad_()
    ids, weights = torch.tensor([0, 0, 1, 2]), torch.tensor([1.0, 0.2, 3.0, 0.0])
    assert torch.autograd.gradcheck(NTXentLoss(0.1), (projection,))
    masked = NTXentLoss(0.5, mask_same_video=True)
    assert torch.autograd.gradcheck(lambda p: masked(p, video=ids, weights=weights), (projection,))


def test_a_zero_projection_gives_finite_gradients():
    projection = views(4, 3)
    projection[1, 0] = 0
    projection.requires_grad_()
    NTXentLoss(0.1)(projection).backward()
    assert projection.grad.isfinite().all()


class LargestTensor(TorchDispatchMode):
    """Notes the largest tensor that any operation gives."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for one in out if isinstance(out, tuple | list) else (out,):
            if isinstance(one, torch.Tensor):
                self.largest = max(self.largest, one.numel())
        return out


def test_memory_grows_with_the_batch_squared_and_not_with_the_features_too():
    batch, dim = 16, 64
    projection = views(batch, dim).requires_grad_()
    with LargestTensor() as seen:
        NTXentLoss(0.1, mask_same_video=True)(projection, video=torch.arange(batch)).backward()
    assert seen.largest <= max((2 * batch) ** 2, 2 * batch * dim)


@pytest.mark.parametrize("n_views", [3, 4])
@pytest.mark.parametrize("by_video", [False, True])
@pytest.mark.parametrize("by_patient", [False, True])
@pytest.mark.parametrize("some", [False, True])
def test_extra_negatives_equal_the_loops(n_views, by_video, by_patient, some):
    projection = views(7, 5, dtype=torch.float64, n_views=n_views)
    there = torch.rand(7, n_views - 2, generator=torch.Generator().manual_seed(1)) < 0.5 if some else None
    loss = NTXentLoss(0.2, mask_same_video=by_video, mask_same_patient=by_patient)
    weights = torch.tensor([1, 0.5, 0, 2, 1, 1, 3.0])
    found = loss(projection, video=VIDEO, patient=PATIENT, weights=weights, negatives=there)
    given = (VIDEO if by_video else None, PATIENT if by_patient else None)
    assert found.item() == pytest.approx(slow(projection, 0.2, *given, weights, there), rel=1e-6)
    pair_only = slow(projection[:, :2], 0.2, *given, weights)
    assert found.item() > pair_only + 1e-3, "more negatives, more loss"


def test_no_extra_negative_there_is_the_loss_of_the_pairs():
    projection = views(6, 5, n_views=4).requires_grad_()
    loss = NTXentLoss(0.2)(projection, negatives=torch.zeros(6, 2, dtype=torch.bool))
    torch.testing.assert_close(loss, NTXentLoss(0.2)(projection[:, :2]))
    loss.backward()
    assert projection.grad[:, 2:].abs().max() == 0 < projection.grad[:, :2].abs().min()


def test_an_extra_negative_is_pushed_away_from_its_own_pair():
    """Alone in the world: one item, its pair alike, its third view alike too."""
    projection = torch.ones(1, 3, 4, dtype=torch.float64)
    loss = NTXentLoss(0.5, mask_same_video=True, mask_same_patient=True)
    one = torch.zeros(1, dtype=torch.long)
    assert loss(projection, video=one, patient=one).item() == pytest.approx(math.log(2))
    assert loss(projection, video=one, patient=one, negatives=torch.zeros(1, 1, dtype=torch.bool)).item() == 0


def test_gradient_with_extra_negatives():
    projection = views(3, 3, dtype=torch.float64, n_views=3).requires_grad_()
    there, ids = torch.tensor([[True], [False], [True]]), torch.tensor([0, 0, 1])
    masked = NTXentLoss(0.5, mask_same_video=True)
    assert torch.autograd.gradcheck(lambda p: masked(p, video=ids, negatives=there), (projection,))


@pytest.mark.parametrize("there", [torch.ones(4, 2, dtype=torch.bool), torch.ones(3, 1).bool(), torch.ones(4, 1)])
def test_refuses_a_mask_that_does_not_fit(there):
    with pytest.raises(InputError, match="extra negatives"):
        NTXentLoss()(views(4, 8, n_views=3), negatives=there)


@pytest.mark.parametrize("shape", [(4, 8), (4, 1, 8), (4, 2, 8, 1)])
def test_refuses_other_shapes(shape):
    with pytest.raises(InputError, match="2 views"):
        NTXentLoss()(torch.zeros(shape))


@pytest.mark.parametrize("temperature", [0, -0.1, float("nan")])
def test_refuses_a_temperature_not_above_zero(temperature):
    with pytest.raises(InputError, match="temperature"):
        NTXentLoss(temperature)


@pytest.mark.parametrize("ids", [None, torch.zeros(3, dtype=torch.long), torch.zeros(4)])
def test_refuses_to_mask_without_ids(ids):
    with pytest.raises(InputError, match="mask_same_patient"):
        NTXentLoss(mask_same_patient=True)(views(4, 8), patient=ids)


def test_refuses_weights_of_another_length():
    with pytest.raises(InputError, match="weights"):
        NTXentLoss()(views(4, 8), weights=torch.ones(8))
