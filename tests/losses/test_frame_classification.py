# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bundle.errors import InputError
from bundle.losses import FrameClassificationLoss


def test_every_frame_has_its_clips_label():
    outputs = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    labels, weights = torch.tensor([1, 3]), torch.tensor([1.0, 2.0, 0.0, 0.5])
    loss = FrameClassificationLoss(4, class_weights=weights)
    each = torch.stack([F.cross_entropy(outputs[b, t], labels[b]) for b in range(2) for t in range(3)])
    weight = weights[labels].repeat_interleave(3)
    assert loss(outputs, labels).item() == pytest.approx(float((weight * each).sum() / weight.sum()))
    right = (outputs.argmax(dim=2) == labels[:, None]).float().mean()
    assert loss.parts["train_accuracy"] == right
    assert FrameClassificationLoss(4)(outputs, labels).item() == pytest.approx(float(each.mean()))


def test_attention_trains_the_clip():
    outputs = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = FrameClassificationLoss(4, attention=True)
    value = loss(outputs, torch.tensor([1, 3]))
    weights = outputs[..., 4].softmax(dim=1)
    clips = torch.stack([sum(weights[b, t] * outputs[b, t, :4] for t in range(3)) for b in range(2)])
    assert value.item() == pytest.approx(F.cross_entropy(clips, torch.tensor([1, 3])).item())
    value.backward()
    assert (outputs.grad[..., 4] != 0).all()
    with pytest.raises(InputError, match="found outputs of 4 columns, expected 4 classes and an attention score"):
        loss(outputs[..., :4], torch.tensor([1, 3]))
