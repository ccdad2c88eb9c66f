# SPDX-License-Identifier: Apache-2.0
"""The losses of order and geometry: their masks, their gradients, their sum."""

from __future__ import annotations

import math

import pytest
import torch

from bundle.errors import InputError
from bundle.keys import Keys
from bundle.losses import GeometryLoss, OrderLoss, PretextLoss


def both(order: float = 1.0, geometry: float = 1.0) -> PretextLoss:
    weights = {"order": order, "geometry": geometry}
    return PretextLoss({"order": OrderLoss(), "geometry": GeometryLoss()}, weights)


def batch(moving: list[bool], classes: int = 12, parameters: int = 5, dtype: torch.dtype = torch.float32):
    random, n = torch.Generator().manual_seed(len(moving)), len(moving)
    outputs = {
        Keys.ORDER_LOGITS: torch.randn(n, classes, generator=random).to(dtype).requires_grad_(),
        Keys.GEOMETRY: (2 * torch.randn(n, parameters, generator=random)).to(dtype).requires_grad_(),
    }
    targets = {
        Keys.ORDER: torch.randint(classes, (n,), generator=random),
        Keys.MOVING: torch.tensor(moving),
        Keys.GEOMETRY: torch.randn(n, parameters, generator=random),
    }
    return outputs, targets


def slow_order(outputs, targets) -> float:
    losses = [
        math.log(sum(math.exp(x) for x in row.tolist())) - row.tolist()[order]
        for row, order, moves in zip(outputs[Keys.ORDER_LOGITS], targets[Keys.ORDER], targets[Keys.MOVING], strict=True)
        if moves
    ]
    return sum(losses) / len(losses) if losses else 0.0


def slow_geometry(outputs, targets) -> float:
    gaps = (outputs[Keys.GEOMETRY] - targets[Keys.GEOMETRY]).abs().flatten().tolist()
    return sum(gap**2 / 2 if gap < 1 else gap - 0.5 for gap in gaps) / len(gaps)


@pytest.mark.parametrize("moving", [[True] * 5, [True, False, True, False], [False, False, True]])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.3, 2.0), (0.0, 1.0)])
def test_is_the_weighted_sum_over_moving_clips_and_all_parameters(moving, weights):
    outputs, targets = batch(moving)
    loss = both(*weights)
    value = loss(outputs, targets)
    order, geometry = slow_order(outputs, targets), slow_geometry(outputs, targets)
    assert value.item() == pytest.approx(weights[0] * order + weights[1] * geometry, rel=1e-5)
    assert loss.parts["order"].item() == pytest.approx(order, rel=1e-5)
    assert loss.parts["geometry"].item() == pytest.approx(geometry, rel=1e-5)
    assert loss.parts["moving"].item() == pytest.approx(sum(moving) / len(moving))
    assert not any(part.requires_grad for part in loss.parts.values())


def test_still_clips_give_no_gradient_to_the_order_but_to_the_geometry():
    outputs, targets = batch([True, False, True, False])
    both()(outputs, targets).backward()
    assert (outputs[Keys.ORDER_LOGITS].grad.abs().sum(1) > 0).tolist() == [True, False, True, False]
    assert (outputs[Keys.GEOMETRY].grad.abs().sum(1) > 0).all()


def test_without_anything_moving_the_order_is_zero_and_finite():
    outputs, targets = batch([False] * 3)
    loss = both()
    loss(outputs, targets).backward()
    assert loss.parts["order"] == 0 and "order_accuracy" not in loss.parts
    assert torch.equal(outputs[Keys.ORDER_LOGITS].grad, torch.zeros(3, 12))


@pytest.mark.parametrize(("task", "slow"), [(OrderLoss, slow_order), (GeometryLoss, slow_geometry)])
def test_each_alone(task, slow):
    outputs, targets = batch([True, False, True])
    assert task()(outputs, targets).item() == pytest.approx(slow(outputs, targets), rel=1e-5)


def test_accuracy_is_of_moving_clips():
    logits = torch.eye(4)
    targets = {Keys.ORDER: torch.tensor([0, 0, 2, 0]), Keys.MOVING: torch.tensor([True, True, True, False])}
    loss = OrderLoss()
    loss({Keys.ORDER_LOGITS: logits}, targets)
    assert loss.parts["order_accuracy"].item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_single(dtype):
    outputs, targets = batch([True, False, True], dtype=dtype)
    loss = both()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(outputs, targets)
    exact = {name: output.detach().double() for name, output in outputs.items()}
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(slow_order(exact, targets) + slow_geometry(exact, targets), rel=1e-5)


def test_gradient():
    outputs, targets = batch([True, False, True], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda *given: both(0.7, 1.3)(dict(zip(outputs, given, strict=True)), targets),
        tuple(outputs.values()),
    )


def test_refuses_what_does_not_fit_the_network():
    outputs, targets = batch([True, True])
    with pytest.raises(InputError, match="expected 0 to 11"):
        OrderLoss()(outputs, {**targets, Keys.ORDER: torch.tensor([0, 12])})
    with pytest.raises(InputError, match=r"labels of shape \(2, 5\), expected \(2, 4\)"):
        GeometryLoss()({Keys.GEOMETRY: torch.zeros(2, 4)}, targets)
