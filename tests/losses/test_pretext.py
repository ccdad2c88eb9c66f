# SPDX-License-Identifier: Apache-2.0
"""The weights of several tasks: fixed, scheduled, learned."""

from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from bundle.errors import InputError
from bundle.handlers import LossProgress
from bundle.losses import PretextLoss


class Task(nn.Module):
    """Its loss is what the outputs hold under its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.parts: dict[str, torch.Tensor] = {}

    def forward(self, outputs, targets):
        self.parts = {self.name: outputs[self.name].detach()}
        return outputs[self.name]


OUTPUTS = {"a": torch.tensor(2.0), "b": torch.tensor(0.5)}


def loss_of(**options) -> PretextLoss:
    return PretextLoss({"a": Task("a"), "b": Task("b")}, **options)


def test_fixed_weights():
    loss = loss_of(weights={"b": 3, "absent": 7})
    assert loss(OUTPUTS, {}).item() == 2 + 3 * 0.5
    assert loss.parts == OUTPUTS and list(loss.parameters()) == []
    assert loss_of()(OUTPUTS, {}).item() == 2.5
    assert loss_of(weights={"a": 0})(OUTPUTS, {}).item() == 0.5


def test_scheduled_weights_follow_the_run():
    loss = loss_of(weights={"a": [0.0, 1.0], "b": [2, 1]})
    seen = []

    def step(engine, batch):
        seen.append(loss(OUTPUTS, {}).item())
        assert loss.parts["weight_a"].item() == pytest.approx(loss.progress)

    engine = Engine(step)
    LossProgress(loss).attach(engine)
    engine.run([0, 1], max_epochs=2)
    assert seen == pytest.approx([2 * k / 4 + 0.5 * (2 - k / 4) for k in range(4)])


def test_learned_weights_are_kendalls():
    loss = loss_of(learned=True, weights={"b": 2.0})
    with torch.no_grad():
        loss.log_variances["a"].fill_(0.4)
        loss.log_variances["b"].fill_(-1.0)
    expected = math.exp(-0.4) * 2 + 0.2 + 2 * (math.exp(1.0) * 0.5 - 0.5)
    assert loss(OUTPUTS, {}).item() == pytest.approx(expected)
    assert loss.parts["weight_a"].item() == pytest.approx(math.exp(-0.4))
    assert loss.parts["weight_b"].item() == pytest.approx(2 * math.e)


def test_a_learned_weight_settles_at_half_the_inverse_of_its_loss():
    """The minimum of exp(-s) L + s / 2 is at exp(-s) = 1 / (2 L): a task with a larger loss counts less."""
    loss = loss_of(learned=True)
    optimiser = torch.optim.Adam(loss.parameters(), 0.05)
    for _ in range(400):
        optimiser.zero_grad()
        loss(OUTPUTS, {}).backward()
        optimiser.step()
    assert loss.parts["weight_a"].item() == pytest.approx(1 / (2 * 2.0), rel=0.02)
    assert loss.parts["weight_b"].item() == pytest.approx(1 / (2 * 0.5), rel=0.02)


@pytest.mark.parametrize("weight", [-1, [1], [1, 2, 3], [0, float("inf")], "much", [None, 1]])
def test_other_weights_are_refused(weight):
    with pytest.raises(InputError, match="weight of b: found"):
        loss_of(weights={"b": weight})


def test_no_task_is_refused():
    with pytest.raises(InputError, match="found none"):
        PretextLoss({})
