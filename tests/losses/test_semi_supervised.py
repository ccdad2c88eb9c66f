# SPDX-License-Identifier: Apache-2.0
"""The semi-supervised contrastive loss: its sum, its guards, what it hands to the log."""

from __future__ import annotations

import math

import pytest
import torch

from bundle.errors import InputError
from bundle.keys import UNLABELLED, Keys
from bundle.losses import NTXentLoss, SemiSupervisedContrastiveLoss


def batch(labels: list[int], classes: int = 3, dtype: torch.dtype = torch.float32):
    random = torch.Generator().manual_seed(len(labels))
    outputs = {
        Keys.PROJECTION: torch.randn(len(labels), 2, 8, generator=random).to(dtype).requires_grad_(),
        Keys.LOGITS: torch.randn(len(labels), 2, classes, generator=random).to(dtype).requires_grad_(),
    }
    return outputs, {Keys.LABEL: torch.tensor(labels)}


def slow_label_loss(logits: torch.Tensor, labels: list[int]) -> float:
    """CE of view 1 plus CE of view 2, each a mean over labelled items, in Python floats."""
    both = 0.0
    for view in range(2):
        losses = [
            math.log(sum(math.exp(x) for x in row[view].tolist())) - row[view].tolist()[label]
            for row, label in zip(logits, labels, strict=True)
            if label != UNLABELLED
        ]
        both += sum(losses) / len(losses) if losses else 0.0
    return both


@pytest.mark.parametrize("labels", [[0, 1, 2, 2], [-1, 1, -1, 0, -1], [-1, -1, 2], [-1, -1, -1]])
@pytest.mark.parametrize("weight", [0.0, 0.2, 1.5])
def test_is_contrast_plus_weighted_label_loss(labels, weight):
    outputs, targets = batch(labels)
    loss = SemiSupervisedContrastiveLoss(0.3, weight)
    value = loss(outputs, targets)
    contrast = NTXentLoss(0.3)(outputs[Keys.PROJECTION]).item()
    label = slow_label_loss(outputs[Keys.LOGITS], labels)
    assert value.item() == pytest.approx(contrast + weight * label, rel=1e-5)
    assert loss.parts["contrast"].item() == pytest.approx(contrast, rel=1e-6)
    assert loss.parts["label"].item() == pytest.approx(label, rel=1e-5)
    assert not any(part.requires_grad for part in loss.parts.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_without_any_label_the_label_part_is_zero_and_gradients_are_finite(dtype):
    outputs, targets = batch([-1, -1, -1, -1], dtype=dtype)
    loss = SemiSupervisedContrastiveLoss()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype != torch.float32):
        value = loss(outputs, targets)
    value.backward()
    assert loss.parts["label"].item() == 0
    assert "label_accuracy" not in loss.parts
    assert value.dtype == torch.float32 and value.item() == loss.parts["contrast"].item()
    assert torch.equal(outputs[Keys.LOGITS].grad, torch.zeros_like(outputs[Keys.LOGITS]))
    assert outputs[Keys.PROJECTION].grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_computed_in_single(dtype):
    outputs, targets = batch([0, 1, 2, -1, 1], dtype=dtype)
    loss = SemiSupervisedContrastiveLoss()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss(outputs, targets)
    expected = slow_label_loss(outputs[Keys.LOGITS].detach().double(), [0, 1, 2, -1, 1])
    assert loss.parts["label"].item() == pytest.approx(expected, rel=1e-6)


def test_unlabelled_items_get_no_gradient_from_the_label_part():
    outputs, targets = batch([1, -1, 0, -1])
    SemiSupervisedContrastiveLoss()(outputs, targets).backward()
    per_item = outputs[Keys.LOGITS].grad.abs().sum(dim=(1, 2))
    assert (per_item > 0).tolist() == [True, False, True, False]


def test_accuracies():
    projection = torch.eye(3)[:, None].repeat(1, 2, 1)
    logits = torch.tensor([[[9.0, 0], [9, 0]], [[0, 9], [9, 0]], [[9, 0], [9, 0]]])
    loss = SemiSupervisedContrastiveLoss()
    loss({Keys.PROJECTION: projection, Keys.LOGITS: logits}, {Keys.LABEL: torch.tensor([0, 1, -1])})
    assert loss.parts["label_accuracy"].item() == pytest.approx(3 / 4)
    moved = torch.randn(16, 1, 64, generator=torch.Generator().manual_seed(0)).repeat(1, 2, 1)
    loss({Keys.PROJECTION: moved}, {})
    assert loss.parts["contrast_accuracy"].item() == 1
    swapped = moved.clone()
    swapped[0, 1], swapped[1, 1] = moved[1, 1], moved[0, 1]  # the four views of two items look at the wrong item
    loss({Keys.PROJECTION: swapped}, {})
    assert loss.parts["contrast_accuracy"].item() == pytest.approx(28 / 32)


def test_without_logits_there_is_no_label_part():
    outputs, _ = batch([0, 1])
    del outputs[Keys.LOGITS]
    loss = SemiSupervisedContrastiveLoss()
    value = loss(outputs, {})
    assert set(loss.parts) == {"contrast", "contrast_accuracy"}
    torch.testing.assert_close(value, NTXentLoss()(outputs[Keys.PROJECTION]))


def test_parts_are_of_the_last_call_only():
    loss = SemiSupervisedContrastiveLoss()
    loss(*batch([0, 1]))
    outputs, targets = batch([-1, -1, -1])
    loss(outputs, targets)
    assert "label_accuracy" not in loss.parts
    assert loss.parts["contrast"].item() == pytest.approx(NTXentLoss()(outputs[Keys.PROJECTION]).item())


def test_ids_and_pair_weights_reach_the_contrast():
    outputs, targets = batch([-1, -1, -1, -1])
    ids, weights = torch.tensor([0, 0, 1, 2]), torch.tensor([1.0, 2.0, 0.0, 0.5])
    targets |= {Keys.VIDEO_ID: ids, Keys.PATIENT_ID: ids.flip(0), Keys.PAIR_WEIGHT: weights}
    for by_video, by_patient in [(True, False), (False, True)]:
        loss = SemiSupervisedContrastiveLoss(0.5, mask_same_video=by_video, mask_same_patient=by_patient)
        expected = NTXentLoss(0.5, by_video, by_patient)(
            outputs[Keys.PROJECTION], video=ids, patient=ids.flip(0), weights=weights
        )
        torch.testing.assert_close(loss(outputs, targets), expected)
        assert not torch.isclose(expected, NTXentLoss(0.5)(outputs[Keys.PROJECTION], weights=weights))


@pytest.mark.parametrize("labels", [[[0, 1], [2, 2], [-1, 1], [0, -1]], [[-1, -1], [-1, 2], [-1, 1], [-1, -1]]])
def test_views_of_two_videos_have_a_label_each(labels):
    outputs, _ = batch([0] * 4)
    loss = SemiSupervisedContrastiveLoss()
    loss(outputs, {Keys.LABEL: torch.tensor(labels)})
    expected = 0.0
    for view in range(2):
        one_view = outputs[Keys.LOGITS][:, view : view + 1].repeat(1, 2, 1)
        expected += slow_label_loss(one_view, [pair[view] for pair in labels]) / 2
    assert loss.parts["label"].item() == pytest.approx(expected, rel=1e-6)
    right = [
        int(outputs[Keys.LOGITS][item, view].argmax()) == pair[view]
        for item, pair in enumerate(labels)
        for view in range(2)
        if pair[view] != UNLABELLED
    ]
    assert loss.parts["label_accuracy"].item() == pytest.approx(sum(right) / len(right))


def test_extra_negatives_reach_the_contrast_and_not_the_label_part():
    outputs, targets = batch([0, 1, -1, 2])
    random = torch.Generator().manual_seed(7)
    third = {name: torch.randn(4, 1, value.shape[2], generator=random) for name, value in outputs.items()}
    three = {name: torch.cat([value, third[name]], dim=1) for name, value in outputs.items()}
    targets[Keys.NEGATIVE_MASK] = torch.tensor([[True], [False], [True], [True]])
    two_loss, three_loss = SemiSupervisedContrastiveLoss(0.2), SemiSupervisedContrastiveLoss(0.2)
    two_loss(outputs, {Keys.LABEL: targets[Keys.LABEL]})
    three_loss(three, targets)
    for part in ("label", "label_accuracy"):
        assert three_loss.parts[part].item() == two_loss.parts[part].item()
    expected = NTXentLoss(0.2)(three[Keys.PROJECTION], negatives=targets[Keys.NEGATIVE_MASK])
    assert three_loss.parts["contrast"].item() == pytest.approx(expected.item())


def test_gradient():
    outputs, targets = batch([0, -1, 2, 1], dtype=torch.float64)
    loss = SemiSupervisedContrastiveLoss(0.2, 0.7)
    keys = (Keys.PROJECTION, Keys.LOGITS)
    assert torch.autograd.gradcheck(
        lambda *given: loss(dict(zip(keys, given, strict=True)), targets), tuple(outputs[key] for key in keys)
    )


@pytest.mark.parametrize("labels", [[0, 3], [0, -2]])
def test_refuses_labels_that_are_no_class(labels):
    with pytest.raises(InputError, match="0 to 2"):
        SemiSupervisedContrastiveLoss()(*batch(labels))


@pytest.mark.parametrize("targets", [{}, {Keys.LABEL: torch.zeros(3, dtype=torch.long)}])
def test_refuses_logits_without_labels(targets):
    with pytest.raises(InputError, match="labels"):
        SemiSupervisedContrastiveLoss()(batch([0, 1])[0], targets)
