# SPDX-License-Identifier: Apache-2.0
"""The losses of segmentation and detection against slow references."""

from __future__ import annotations

import math

import pytest
import torch
from monai.losses import DiceCELoss

from bundle.losses import DetectionLoss, SegmentationLoss
from bundle.networks import DetectionNet, Encoder


def test_segmentation_is_dice_of_the_batch_and_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 1, 8, 10, generator=generator)
    masks = (torch.rand(2, 3, 1, 8, 10, generator=generator) > 0.7).float()
    masks[0, 1] = 0  # a frame without a lesion
    loss = SegmentationLoss(dice_weight=0.5, ce_weight=2.0)
    value = loss(logits, masks)
    p = logits.sigmoid()
    dice = 1 - 2 * (p * masks).sum() / (p.sum() + masks.sum())
    entropy = -(masks * p.log() + (1 - masks) * (1 - p).log()).mean()
    assert value.item() == pytest.approx((0.5 * dice + 2 * entropy).item(), rel=1e-4)
    assert loss.parts["dice_loss"].item() == pytest.approx(dice.item(), rel=1e-4)
    together = DiceCELoss(sigmoid=True, batch=True, lambda_dice=0.5, lambda_ce=2.0)
    torch.testing.assert_close(value, together(logits.flatten(0, 1), masks.flatten(0, 1)))


@pytest.fixture(scope="module")
def detection() -> DetectionLoss:
    torch.manual_seed(0)
    return DetectionLoss(DetectionNet(Encoder("resnet18")), image_size=64, box_weight=2.0)


def giou(one: list[float], other: list[float]) -> float:
    width, height = (min(one[k + 2], other[k + 2]) - max(one[k], other[k]) for k in (0, 1))
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    union = sum(areas) - both
    hull = math.prod(max(one[k + 2], other[k + 2]) - min(one[k], other[k]) for k in (0, 1))
    return both / union - (hull - union) / hull


def test_detection_against_loops(detection: DetectionLoss) -> None:
    generator = torch.Generator().manual_seed(1)
    anchors = detection.anchors
    predicted = torch.cat([anchors + torch.randn(2, 1, *anchors.shape, generator=generator)], dim=-1)
    logits = torch.randn(2, 1, len(anchors), 1, generator=generator)
    tensor = torch.cat([predicted, logits], dim=-1).transpose(2, 3)  # (2, 1, 5, M)
    boxes = torch.zeros(2, 1, 3, 4)
    boxes[0, 0, 0] = torch.tensor([8.0, 20.0, 40.0, 44.0])
    boxes[0, 0, 2] = torch.tensor([50.0, 5.0, 61.0, 15.0])  # the filling can lie anywhere
    value = detection(tensor, boxes)

    focal, box_loss, count = 0.0, 0.0, 0
    for frame in range(2):
        true = [box.tolist() for box in boxes[frame, 0] if box[2] > box[0]]
        matched = detection.match(torch.tensor(true).reshape(-1, 4)).tolist()
        for k, m in enumerate(matched):
            p = 1 / (1 + math.exp(-logits[frame, 0, k, 0].item()))
            if m >= 0:
                focal += -0.25 * (1 - p) ** 2 * math.log(p)
                box_loss += 1 - giou(predicted[frame, 0, k].tolist(), true[m])
                count += 1
            else:
                focal += -0.75 * p**2 * math.log(1 - p)
    assert count > 4
    assert value.item() == pytest.approx((focal + 2 * box_loss) / count, rel=1e-3)
    assert detection.parts["box_loss"].item() == pytest.approx(box_loss / count, rel=1e-3)


def test_every_lesion_gets_an_anchor_that_overlaps_it(detection: DetectionLoss) -> None:
    boxes = torch.tensor([[10.0, 30.0, 30.0, 40.0], [52.0, 3.0, 54.0, 4.5], [0.0, 0.0, 63.0, 62.0]])
    matched = detection.match(boxes)
    assert set(matched.tolist()) == {-1, 0, 1, 2}
    for k, box in enumerate(boxes):
        chosen = detection.anchors[matched == k]
        low, high = torch.maximum(chosen[:, :2], box[:2]), torch.minimum(chosen[:, 2:], box[2:])
        assert (high > low).all()
    assert (detection.match(torch.zeros(0, 4)) == -1).all()


def test_a_batch_without_lesions_teaches_that_there_is_none(detection: DetectionLoss) -> None:
    tensor = torch.zeros(1, 2, 5, len(detection.anchors), requires_grad=True)
    detection(tensor, torch.zeros(1, 2, 4, 4)).backward()
    assert tensor.grad is not None
    assert (tensor.grad[:, :, 4] > 0).all() and not tensor.grad[:, :, :4].any()


def test_a_detector_learns_a_box_where_it_is_and_not_mirrored() -> None:
    """A few steps on one frame that is not symmetric in any way: the best box is that of the bright patch."""
    torch.manual_seed(0)
    net = DetectionNet(Encoder("resnet18"), width=16)
    loss = DetectionLoss(net, image_size=32)
    frame = torch.full((1, 1, 32, 32), -1.0)
    x0, y0, x1, y1 = 17, 4, 30, 10
    frame[..., y0:y1, x0:x1] = 2
    boxes = torch.tensor([[[[x0, y0, x1, y1]]]], dtype=torch.float32)
    optimizer = torch.optim.Adam(net.parameters(), 0.003)
    batch = torch.cat([frame, frame + 0.1 * torch.randn(1, 1, 32, 32)])
    for _ in range(15):
        optimizer.zero_grad()
        loss(net(batch)[:, None], boxes.expand(2, -1, -1, -1)).backward()
        optimizer.step()
    with torch.no_grad():
        found = net(batch)[0]
    best = found[:4, found[4].argmax()]
    assert giou(best.tolist(), [x0, y0, x1, y1]) > 0.5
