# SPDX-License-Identifier: Apache-2.0
"""The divergence from the fixation density, against loops, and where there is nothing to diverge from."""

from __future__ import annotations

import math

import pytest
import torch

from bundle.errors import InputError
from bundle.losses import SaliencyLoss
from bundle.metrics.saliency import kld


def log_map(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    values = torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return values.flatten(-2).log_softmax(-1).view(shape)


def test_the_mean_divergence_of_frames_as_a_loop_gives_it():
    log_p, q = log_map(2, 3, 1, 4, 5), torch.rand(2, 3, 1, 4, 5, dtype=torch.float64)
    q[0, 0, 0, :2] = 0
    divergences = []
    for frame, density in zip(log_p.flatten(0, 2), q.flatten(0, 2), strict=True):
        mass = sum(density.flatten().tolist())
        parts = zip(frame.flatten().tolist(), density.flatten().tolist(), strict=True)
        divergences.append(sum(v / mass * (math.log(v / mass) - lp) for lp, v in parts if v > 0))
    loss = SaliencyLoss()
    value = loss(log_p, q)
    assert float(value) == pytest.approx(sum(divergences) / 6)
    assert float(loss.parts["kld"]) == float(value)
    one = loss(log_p[:1, :1], q[:1, :1])
    assert float(one) == pytest.approx(kld(log_p[0, 0, 0].exp().numpy(), q[0, 0, 0].numpy()))


def test_the_density_itself_has_none_and_a_level_map_has_the_missing_entropy():
    q = torch.rand(1, 1, 6, 6, dtype=torch.float64)
    q = q / q.sum()
    assert float(SaliencyLoss()(q.log(), q)) == pytest.approx(0, abs=1e-12)
    level = torch.full_like(q, -math.log(36))
    assert float(SaliencyLoss()(level, q)) == pytest.approx(math.log(36) + float((q * q.log()).sum()))


def test_frames_without_density_are_left_out():
    log_p, q = log_map(4, 1, 4, 4).requires_grad_(), torch.rand(4, 1, 4, 4, dtype=torch.float64)
    q[1] = 0
    q[3] *= 0.09 / q[3].sum()
    value = SaliencyLoss()(log_p, q)
    expected = SaliencyLoss()(log_p[[0, 2]], q[[0, 2]])
    assert value.item() == pytest.approx(expected.item())
    value.backward()
    assert not log_p.grad[[1, 3]].any() and log_p.grad[0].any()


def test_no_density_at_all_is_0_with_finite_gradients():
    log_p = log_map(2, 1, 4, 4).requires_grad_()
    value = SaliencyLoss()(log_p, torch.zeros(2, 1, 4, 4))
    value.backward()
    assert value.item() == 0 and log_p.grad.isfinite().all()


def test_gradient():
    q = torch.rand(2, 1, 3, 4, dtype=torch.float64)
    logits = torch.randn(2, 1, 3, 4, dtype=torch.float64, requires_grad=True)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return SaliencyLoss()(x.flatten(1).log_softmax(1).view_as(x), q)

    assert torch.autograd.gradcheck(loss, logits)


def test_half_precision_is_computed_in_single():
    log_p, q = log_map(1, 1, 64, 64, dtype=torch.float32), torch.rand(1, 1, 64, 64)
    expected = float(SaliencyLoss()(log_p, q))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = SaliencyLoss()(log_p.bfloat16(), q)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(expected, abs=0.01)


def test_another_size_is_refused():
    with pytest.raises(InputError, match=r"\(1, 1, 8, 8\), expected \(1, 1, 4, 4\).*image_size"):
        SaliencyLoss()(log_map(1, 1, 4, 4), torch.rand(1, 1, 8, 8))
