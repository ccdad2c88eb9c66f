# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedEvaluator
from monai.handlers import CheckpointSaver, StatsHandler, ValidationHandler
from monai.metrics.embedding_collapse import compute_embedding_collapse

from bundle.errors import InputError
from bundle.keys import UNLABELLED, Keys
from bundle.metrics import FeatureCollapse, KNNProbe, ProbeFrames, effective_rank, feature_spread, probe_split


def clips(n=12, n_frames=5, seed=0, signal=2.0):
    """Labelled clips in two classes, the first two thirds gallery; a frame is its feature, (T, C=4, H=1, W=1)."""
    random = torch.Generator().manual_seed(seed)
    items = []
    for i in range(n):
        frames = torch.randn(n_frames, 4, 1, 1, generator=random)
        frames[:, i % 2] += signal
        items.append(
            {
                Keys.FRAMES: frames,
                Keys.LABEL: i % 2,
                Keys.PART: "gallery" if i < 2 * n // 3 else "query",
                Keys.VIDEO_ID: f"v{i}",
                Keys.PATIENT_ID: f"p{i // 2}",
            }
        )
    return items


class Flatten(torch.nn.Module):
    """Stands for an encoder on clips: (B, T, C, 1, 1) -> (B, T, C)."""

    def __init__(self, as_dict=False):
        super().__init__()
        self.as_dict = as_dict

    def forward(self, frames):
        features = frames.flatten(2)
        return {Keys.REPRESENTATION: features} if self.as_dict else features


def frames_and_labels(batch, device, non_blocking, **kwargs):
    return batch[Keys.FRAMES].to(device), batch[Keys.LABEL].to(device)


def evaluator(items, probe, *, batch_size=5, as_dict=False, decollate=False, **kwargs):
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=torch.utils.data.DataLoader(items, batch_size=batch_size),
        network=Flatten(as_dict),
        prepare_batch=frames_and_labels,
        key_val_metric={"knn": probe},
        decollate=decollate,
        **kwargs,
    )


def expected(items):
    def part(name):
        chosen = [item for item in items if item[Keys.PART] == name and item[Keys.LABEL] != UNLABELLED]
        rows = [(frame.flatten(), item) for item in chosen for frame in item[Keys.FRAMES]]
        return ProbeFrames(
            torch.stack([row for row, _ in rows]).numpy(),
            [item[Keys.VIDEO_ID] for _, item in rows],
            np.array([item[Keys.LABEL] for _, item in rows]),
            [item[Keys.PATIENT_ID] for _, item in rows],
        )

    return probe_split(part("gallery"), part("query"), "knn")


@pytest.mark.parametrize("decollate", [False, True])
@pytest.mark.parametrize("as_dict", [False, True])
@pytest.mark.parametrize("signal", [0.5, 9.0])
def test_in_a_monai_evaluator(decollate, as_dict, signal):
    items, probe = clips(n=24, signal=signal), KNNProbe()
    engine = evaluator(items, probe, as_dict=as_dict, decollate=decollate)
    engine.run()
    assert engine.state.metrics["knn"] == engine.state.best_metric == expected(items).per_clip
    assert probe.predictions == expected(items)
    assert isinstance(engine.state.metrics["knn"], float)
    assert signal < 1 or engine.state.metrics["knn"] == 1.0


def test_in_a_plain_ignite_engine_epoch_after_epoch():
    """The probe starts anew each epoch; batches of other sizes and another order change nothing."""
    items, probe, seen = clips(signal=0.7), KNNProbe(), []
    engine = Engine(lambda engine, batch: {"pred": batch[Keys.FRAMES].flatten(2)})
    probe.attach(engine, "knn")
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: seen.append(e.state.metrics["knn"]))
    for batch_size in (1, 4, 12):
        engine.run(torch.utils.data.DataLoader(items[::-1], batch_size=batch_size), max_epochs=2)
    assert seen == [expected(items).per_clip] * 6


def test_clips_of_unequal_length():
    items = [{**item, Keys.FRAMES: item[Keys.FRAMES][: 1 + i % 4]} for i, item in enumerate(clips(n=18, signal=1.0))]
    probe = KNNProbe()
    evaluator(items, probe, batch_size=1).run()
    assert probe.predictions == expected(items)


def test_unlabelled_clips_are_left_out():
    items = clips(signal=1.0)
    noise = [{**item, Keys.LABEL: UNLABELLED, Keys.PATIENT_ID: ""} for item in clips(seed=9)]
    probe = KNNProbe(class_names=["dry", "wet"])
    evaluator(noise[:3] + items + noise[3:], probe).run()
    assert [clip.clip for clip in probe.predictions.clips] == ["v8", "v9", "v10", "v11"]
    assert probe.predictions.per_clip == expected(items).per_clip
    assert probe.predictions.class_names == ["dry", "wet"]


@pytest.mark.parametrize("left", [None, "gallery", "query"])
def test_without_labels_the_run_goes_on(tmp_path, caplog, left):
    """No gallery or no query: no figure, one line in the log, no best epoch, and handlers are unharmed."""
    items = [{**i, Keys.LABEL: i[Keys.LABEL] if i[Keys.PART] == left else UNLABELLED} for i in clips()]
    probe = KNNProbe()
    network = torch.nn.Linear(1, 1)
    saver = CheckpointSaver(
        str(tmp_path), {"net": network}, save_key_metric=True, key_metric_filename="model.pt",
        key_metric_greater_or_equal=True,
    )  # fmt: skip
    engine = evaluator(items, probe, val_handlers=[StatsHandler(output_transform=lambda output: None), saver])
    trainer = Engine(lambda engine, batch: torch.nn.init.constant_(network.weight, engine.state.epoch))
    ValidationHandler(1, engine).attach(trainer)
    with caplog.at_level(logging.WARNING):
        trainer.run([0], max_epochs=3)
    assert engine.state.metrics["knn"] is None and probe.predictions is None
    assert engine.state.best_metric_epoch == -1
    assert sum("no k-NN probe" in line for line in caplog.messages) == 1
    assert float(torch.load(tmp_path / "model.pt")["weight"]) == 3  # the last epoch's


def test_labels_without_parts_are_refused():
    items = [{k: v for k, v in item.items() if k != Keys.PART} for item in clips()]
    with pytest.raises(InputError, match="clip v0: found part '', expected 'gallery' or 'query'"):
        evaluator(items, KNNProbe()).run()


def test_a_patient_in_both_parts_stops_the_run():
    items = clips()
    items[-1][Keys.PATIENT_ID] = "p0"
    with pytest.raises(InputError, match="group p0 is in part gallery and in part query"):
        evaluator(items, KNNProbe()).run()


def test_spread_of_known_features():
    random = torch.Generator().manual_seed(0)
    assert float(feature_spread(torch.randn(4000, 64, generator=random))) == pytest.approx(1, abs=0.02)
    assert float(feature_spread(torch.ones(50, 64))) == pytest.approx(0, abs=1e-6)
    line = torch.arange(1, 51)[:, None] * torch.ones(1, 64)
    assert float(feature_spread(line)) == pytest.approx(0, abs=1e-5)
    # two opposite directions: +-1/sqrt(D) in every dimension
    both = torch.cat([torch.ones(10, 64), -torch.ones(10, 64)])
    assert float(feature_spread(both)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_rank_of_known_features(rank):
    rows = torch.eye(rank).repeat_interleave(6, dim=0) @ torch.linalg.qr(torch.randn(32, rank))[0].T
    rows = torch.cat([rows, -rows])
    assert float(effective_rank(rows)) == pytest.approx(rank, rel=1e-4)


def test_rank_equals_monai_and_is_zero_for_equal_features():
    features = torch.randn(40, 16, generator=torch.Generator().manual_seed(3)) * torch.arange(1, 17)
    score = compute_embedding_collapse(features, include_indicators=["effective_rank"])["effective_rank_score"]
    assert 1 - float(effective_rank(features)) / 16 == pytest.approx(float(score), abs=1e-5)
    assert float(effective_rank(torch.full((20, 8), 0.1))) == 0


def test_collapse_figures_in_an_evaluator():
    items = [{**item, Keys.LABEL: UNLABELLED} for item in clips()]
    collapse = {"spread": FeatureCollapse("spread"), "rank": FeatureCollapse("rank")}
    engine = evaluator(items, KNNProbe(), additional_metrics=collapse)
    engine.run()
    frames = torch.cat([item[Keys.FRAMES].flatten(1) for item in items])
    unit = frames / frames.norm(dim=1, keepdim=True)
    spread = sum(math.sqrt(float(((c - c.mean()) ** 2).mean())) for c in unit.T) / 4 * math.sqrt(4)
    assert engine.state.metrics["spread"] == pytest.approx(spread, rel=1e-5)
    assert engine.state.metrics["rank"] == pytest.approx(float(effective_rank(frames)), rel=1e-6)
    with pytest.raises(InputError, match="entropy"):
        FeatureCollapse("entropy")
