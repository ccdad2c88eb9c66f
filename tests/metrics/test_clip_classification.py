# SPDX-License-Identifier: Apache-2.0
"""Collecting frames into clips while an evaluator runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator
from scipy.special import softmax

from bundle.data import PrepareFrames
from bundle.inferers import FramesInferer
from bundle.metrics import ClipClassification, main_figures


class Fixed(torch.nn.Module):
    """The logits are the pixels: frames (N, K, 1, 1) -> (N, K)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def batches(columns: int = 3) -> list[dict]:
    """Three clips of three frames in two batches; the second clip is a still."""
    frames = torch.randn(3, 3, columns, 1, 1, generator=torch.Generator().manual_seed(0))
    frames[1] = frames[1, 0]
    places = torch.tensor([[1, 4, 7], [0, 0, 0], [0, 1, 2]])
    known = {"video_id": ["a", "b", "c"], "patient_id": ["p", "p", "q"], "label": torch.tensor([2, 2, 0])}
    whole = {"frames": frames, "frame_index": places, **known}
    return [{name: values[:2] for name, values in whole.items()}, {name: values[2:] for name, values in whole.items()}]


def run(metric: ClipClassification, columns: int = 3) -> SupervisedEvaluator:
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=batches(columns),
        network=Fixed(),
        inferer=FramesInferer(),
        prepare_batch=PrepareFrames(),
        key_val_metric={"val_balanced_accuracy": metric},
        decollate=False,
    )
    evaluator.run()
    return evaluator


def test_figures_of_clips_and_frames():
    metric = ClipClassification(["x", "y", "z"], prefix="val_")
    found = run(metric).state.metrics
    logits = [[clip.flatten(1).double().numpy() for clip in batch["frames"]] for batch in batches()]
    first, still, last = (*logits[0], *logits[1])
    means = np.stack([softmax(clip, axis=1).mean(axis=0) for clip in (first, still, last)])
    expected = main_figures([2, 2, 0], means)
    assert found["val_balanced_accuracy"] == pytest.approx(expected["balanced_accuracy"])
    assert found["val_macro_f1"] == pytest.approx(expected["macro_f1"])
    told = softmax(np.concatenate([first, still[:1], last]), axis=1)  # the still counts once
    labels = [2, 2, 2, 2, 0, 0, 0]
    assert found["val_balanced_accuracy_per_frame"] == pytest.approx(main_figures(labels, told)["balanced_accuracy"])
    assert all(np.isfinite(value) for value in found.values())

    content = json.loads(json.dumps(metric.predictions(), allow_nan=False))
    assert [(item["video_id"], item["frame"]) for item in content["items"]] == [
        *(("a", 1), ("a", 4), ("a", 7)),
        ("b", 0),
        *(("c", 0), ("c", 1), ("c", 2)),
    ]
    assert [item["label"] for item in content["clips"]] == [2, 2, 0]
    assert np.array([item["probabilities"] for item in content["clips"]]) == pytest.approx(means, abs=1e-5)
    assert content["figures"]["per_patient"]["items"] == 2 and content["figures"]["per_frame"]["items"] == 7


def test_attention_column_is_no_class():
    metric = ClipClassification(["x", "y", "z"], clip_score="attention")
    run(metric, columns=4)
    clip = batches(4)[0]["frames"][0].flatten(1).double().numpy()
    assert metric.clips()["probabilities"][0] == pytest.approx(softmax(softmax(clip[:, 3]) @ clip[:, :3]))


def test_accuracy_of_frames_for_the_released_protocol():
    metric = ClipClassification(["x", "y", "z"], per_frame=True, prefix="legacy-uscl_")
    found = run(metric).state.metrics
    frames = metric.frames()
    right = np.mean(frames["probabilities"].argmax(axis=1) == np.array(frames["label"]))
    assert found["val_balanced_accuracy"] == pytest.approx(right)  # the name is the recipe's
    assert {name for name in found if name != "val_balanced_accuracy"} == {
        f"legacy-uscl_{name}" for name in ("balanced_accuracy", "macro_f1", "auroc", "ece", "brier")
    }
