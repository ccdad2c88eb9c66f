# SPDX-License-Identifier: Apache-2.0
"""Maps, prior and uniform map of the same frames in MONAI's evaluator, and their means over patients."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator

from bundle.data import PrepareFrames
from bundle.keys import Keys
from bundle.metrics import SaliencyMaps
from bundle.metrics.saliency import FIGURES, saliency_figures
from bundle.metrics.saliency_maps import CENTRE_PRIOR, GAIN, UNIFORM

SIZE = 8


@pytest.fixture
def batches() -> list[dict]:
    """Three clips of two patients, the last with one frame twice; the network's input is its prediction."""
    generator = torch.Generator().manual_seed(0)

    def batch(videos: list[str], patients: list[str], frames: list[list[int]]) -> dict:
        shape = (len(videos), 2, 1, SIZE, SIZE)
        maps = [torch.rand(shape, generator=generator).flatten(3).softmax(-1).view(shape) for _ in range(2)]
        fixations = torch.randint(0, 2, shape, generator=generator, dtype=torch.int32)
        if frames[-1][0] == frames[-1][1]:
            for values in (*maps, fixations):
                values[-1, 1] = values[-1, 0]
        return {
            **{Keys.FRAMES: maps[0], Keys.SALIENCY: maps[1], Keys.FIXATIONS: fixations},
            **{Keys.VIDEO_ID: videos, Keys.PATIENT_ID: patients, Keys.FRAME_INDEX: torch.tensor(frames)},
        }

    return [batch(["a", "b"], ["p", "q"], [[0, 5], [1, 2]]), batch(["c"], ["q"], [[3, 3]])]


def counts_of(batches: list[dict]) -> dict[str, np.ndarray]:
    counts = {patient: np.zeros((SIZE, SIZE), dtype=int) for patient in "pq"}
    for batch in batches:
        for patient, fixations in zip(batch[Keys.PATIENT_ID], batch[Keys.FIXATIONS], strict=True):
            counts[patient] += fixations.sum(dim=(0, 1)).numpy()
    return counts


def test_figures_are_means_over_patients_of_those_of_each_frame(batches):
    prior = np.random.default_rng(0).random((SIZE, SIZE))
    counts = counts_of(batches)
    metric = SaliencyMaps(prior, counts, prefix="val_")
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=batches,
        network=torch.nn.Identity(),
        prepare_batch=PrepareFrames(Keys.SALIENCY),
        key_val_metric={"val_kld_gain": metric},
        decollate=False,
    )
    for _ in range(2):  # baselines are kept, predictions are not
        evaluator.run()
    frames = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (1, 0, 0)]  # batch, clip, frame
    expected = []
    for b, clip, t in frames:
        at = {key: batches[b][key][clip, t, 0].numpy() for key in (Keys.FRAMES, Keys.SALIENCY, Keys.FIXATIONS)}
        patient = batches[b][Keys.PATIENT_ID][clip]
        others = sum(counts[other] for other in counts if other != patient)
        seen = at[Keys.SALIENCY].astype(np.float64), at[Keys.FIXATIONS], others
        every = {"": at[Keys.FRAMES].astype(np.float64), CENTRE_PRIOR: prior, UNIFORM: np.ones((SIZE, SIZE))}
        found = {
            name + behind: value
            for behind, one in every.items()
            for name, value in saliency_figures(one, *seen).items()
        }
        expected.append(found)
    items = metric.predictions()["items"]
    assert [(item["video_id"], item["frame"]) for item in items] == [("a", 0), ("a", 5), ("b", 1), ("b", 2), ("c", 3)]
    for item, found in zip(items, expected, strict=True):
        assert {name: item[name] for name in found} == pytest.approx(found, abs=1e-6)
        assert item[GAIN] == pytest.approx(found["kld" + CENTRE_PRIOR] - found["kld"], abs=2e-6)
    metrics = evaluator.state.metrics
    for name in FIGURES:
        of_patients = [[found[name] for found in expected[:2]], [found[name] for found in expected[2:]]]
        assert metrics["val_" + name] == pytest.approx(np.mean([np.mean(values) for values in of_patients]), abs=1e-6)
    assert metrics["val_kld_gain"] == pytest.approx(metric.figures()[GAIN]) == pytest.approx(metric.compute())
    assert evaluator.state.key_metric_name == "val_kld_gain"
    figures = metric.predictions()["figures"]
    assert set(figures) == {GAIN, *(name + behind for name in FIGURES for behind in ("", CENTRE_PRIOR, UNIFORM))}
    assert (figures["kld"]["frames"], figures["kld"]["patients"]) == (5, 2)
    assert figures["nss" + UNIFORM]["per_patient"]["value"] == 0
    assert figures["auc" + UNIFORM]["per_frame"] == 0.5


def test_one_patient_has_no_shuffled_auc_and_json_has_no_nan(batches):
    batches[0][Keys.PATIENT_ID] = ["q", "q"]
    metric = SaliencyMaps(np.ones((SIZE, SIZE)), {"q": counts_of(batches)["q"]})
    metric.update((batches[0][Keys.FRAMES], batches[0]))
    content = metric.predictions()
    assert "shuffled_auc" not in content["figures"] and content["items"][0]["shuffled_auc"] is None
    assert "auc" in metric.figures()
    json.dumps(content, allow_nan=False)
