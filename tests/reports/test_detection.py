# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from bundle.metrics.box_figures import average_precision, match_boxes
from bundle.reports import Entry, Predictions, task_results
from bundle.reports.detection import RESAMPLES, detected, detected_difference
from bundle.reports.pictures import froc


def boxes(seed, shift=0.0, patients=6):
    """Stills with a lesion each; a box at the lesion, up to ``shift`` pixels beside it, and one at random."""
    random = np.random.default_rng(seed)
    items = []
    for patient in range(patients):
        for still in range(1 + patient % 2):
            x, y = np.random.default_rng([patient, still]).uniform(0, 60, 2)
            beside = random.uniform(-shift, shift, 2)
            found = [[x + beside[0], y + beside[1], x + beside[0] + 20, y + beside[1] + 20], [70, 70, 90, 90]]
            ids = {"video_id": f"b/{patient}_{still}", "patient_id": f"b/{patient}", "frame": 0}
            items.append({**ids, "boxes": found, "scores": random.uniform(0.1, 1, 2).tolist()})
            items[-1]["true_boxes"] = [[x, y, x + 20, y + 20]]
    folds = {item["video_id"]: str(int(item["patient_id"][2:]) % 2) for item in items}
    return Predictions("detection", "patient", "b", ["lesion"], items, [], folds)


def slow(items):
    return average_precision(match_boxes(items))["ap50"]


def test_figures_are_of_all_frames_together():
    runs = [boxes(seed, shift=12) for seed in (0, 1)]
    found = detected(runs)["ap50"]
    assert found["value"] == pytest.approx(np.mean([slow(run.items) for run in runs]))
    assert found["of_seeds"] == pytest.approx([slow(run.items) for run in runs])
    per_fold = [np.mean([slow([i for i in r.items if r.folds[i["video_id"]] == k]) for r in runs]) for k in "01"]
    assert list(found["over_folds"]["per_fold"].values()) == pytest.approx(per_fold)
    random = np.random.default_rng(7)
    drawn = []
    for _ in range(RESAMPLES):
        patients = [f"b/{patient}" for patient in random.integers(0, 6, 6)]
        drawn.append(np.mean([slow([i for p in patients for i in r.items if i["patient_id"] == p]) for r in runs]))
    bounds = [found["interval"]["low"], found["interval"]["high"]]
    assert bounds == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.06)


def test_differences_are_paired_and_the_page_has_a_curve():
    first, second = boxes(0), boxes(1, shift=15)
    assert detected_difference([first], [first], "ap").to_dict() == {"value": 0, "low": 0, "high": 0, "level": 0.95}
    gain = detected_difference([first], [second], "ap50")
    assert gain.value == pytest.approx(slow(first.items) - slow(second.items)) and gain.low <= gain.value <= gain.high
    entries = [Entry("random", [0], [second]), Entry("joint", [0], [first])]
    results = task_results(entries, "Boxes", ["random"])
    told = {one["figure"]: one["value"] for one in results["differences"]}
    assert told["ap50"] == pytest.approx(gain.value)
    lines = froc(results, entries).axes[0].get_lines()
    value = results["rows"][1]["figures"]["froc"]["value"]
    assert len(lines) == 2 and lines[1].get_label() == f"joint, mean {value:.2f}"
