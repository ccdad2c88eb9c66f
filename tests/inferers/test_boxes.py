# SPDX-License-Identifier: Apache-2.0
"""From a detector's tensor to boxes, on frames that are not square."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from bundle.errors import InputError
from bundle.inferers import BoxesInferer, ClipDetector, unpack_boxes


def slow(boxes: list[list[float]], scores: list[float], overlap: float) -> list[int]:
    """Non-maximum suppression with loops: which boxes stay."""

    def iou(a: list[float], b: list[float]) -> float:
        w, h = (min(a[k + 2], b[k + 2]) - max(a[k], b[k]) for k in (0, 1))
        both = max(w, 0) * max(h, 0)
        return both / (sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - both)

    kept: list[int] = []
    for k in sorted(range(len(boxes)), key=lambda k: -scores[k]):
        if all(iou(boxes[k], boxes[other]) <= overlap for other in kept):
            kept.append(k)
    return kept


def test_boxes_that_overlap_a_better_one_go() -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(60, 2, generator=generator) * torch.tensor([100.0, 40.0])
    boxes = torch.cat([low, low + 4 + torch.rand(60, 2, generator=generator) * 20], dim=1)
    boxes = boxes.minimum(torch.tensor([120.0, 50.0, 120.0, 50.0]))
    logits = torch.randn(60, generator=generator) * 2
    found = unpack_boxes(torch.cat([boxes.T, logits[None]]), 50, 120, max_boxes=60, min_score=0.2, overlap=0.3)
    scores = logits.sigmoid()
    counting = [k for k in range(60) if scores[k] >= 0.2]
    expected = slow(boxes[counting].tolist(), scores[counting].tolist(), 0.3)
    assert 5 < len(expected) < len(counting)
    torch.testing.assert_close(found[:, :4], boxes[counting][expected])
    torch.testing.assert_close(found[:, 4], scores[counting][expected])
    fewer = unpack_boxes(torch.cat([boxes.T, logits[None]]), 50, 120, max_boxes=3, min_score=0.2, overlap=0.3)
    torch.testing.assert_close(fewer, found[:3])


def test_a_frame_is_wider_than_high() -> None:
    """Boxes are cut at the frame's own sides, and what lies beside it is none."""
    boxes = torch.tensor([[90.0, 30.0, 140.0, 70.0], [-5.0, -8.0, 20.0, 10.0], [10.0, 55.0, 30.0, 70.0]])
    found = unpack_boxes(torch.cat([boxes.T, torch.tensor([[3.0, 2.0, 5.0]])]), height=50, width=120)
    assert found[:, :4].tolist() == [[90, 30, 120, 50], [0, 0, 20, 10]]


def test_clips_are_filled_up_with_zeros() -> None:
    frames = torch.arange(6, dtype=torch.float32).reshape(2, 3, 1, 1, 1).expand(-1, -1, 1, 40, 80)

    def network(x: torch.Tensor) -> torch.Tensor:
        """A box whose left side says which frame it was, with a score that frame 0 does not reach."""
        value = x[:, 0, 0, 0]
        box = torch.stack([value, value + 1, value + 10, value + 5, 4 * value - 4], dim=1)
        return box[..., None]

    found = BoxesInferer(batch_size=4, max_boxes=5)(frames, network)
    assert found.shape == (2, 3, 5, 5)
    assert not found[0, 0].any() and not found[:, :, 1:].any()
    assert found[:, :, 0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found[1, 2, 0, :4].tolist() == [5, 6, 15, 10]


def test_options_of_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent as text they count as numbers, and one that cannot be used is refused in one line."""
    frames = torch.zeros(1, 2, 1, 40, 80)

    def detected(**options: Any) -> torch.Tensor:
        detector = ClipDetector(batch_size=1, **options)
        box = torch.tensor([[2.0, 3, 20, 9, 0.0], [30, 3, 40, 9, 1.0]]).T
        detector.network = lambda x: box.expand(len(x), -1, -1)
        return detector(frames)

    found = detected(max_boxes="3", min_score="0.4", overlap="1e-1")
    assert torch.equal(found, detected(max_boxes=3, min_score=0.4, overlap=0.1)) and found[..., 4].count_nonzero() == 4
    assert detected(min_score="0.6")[..., 4].count_nonzero() == 2
    monkeypatch.setitem(sys.modules, "starlette.exceptions", None)
    for name, value in (("max_boxes", -1), ("max_boxes", "many"), ("min_score", "nan"), ("overlap", None)):
        with pytest.raises(InputError, match=f"^{name}: found {value!r}, expected a .*number"):
            detected(**{name: value})
