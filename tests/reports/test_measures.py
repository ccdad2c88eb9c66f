# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from bundle.reports import Entry, pool_folds, task_results, with_baselines
from bundle.reports.measures import difference_of, figure_names, measured


def slow_mean(run, name):
    """Over patients, of the means over each patient's frames that have the figure."""
    means = []
    for patient in sorted({item["patient_id"] for item in run.items}):
        values = [i[name] for i in run.items if i["patient_id"] == patient and i[name] is not None]
        means += [np.mean(values)] if values else []
    return np.array(means)


def test_frames_are_averaged_to_patients_and_patients_to_one_figure(measures):
    runs = [measures(seed) for seed in range(2)]
    assert figure_names(runs) == ["dice", "hd95_mm"]
    found = measured(runs)
    for name in ("dice", "hd95_mm"):
        seeds = [slow_mean(run, name).mean() for run in runs]
        assert found[name]["value"] == pytest.approx(np.mean(seeds)) and found[name]["of_seeds"] == pytest.approx(seeds)
    assert (found["dice"]["frames"], found["hd95_mm"]["frames"], found["dice"]["patients"]) == (15, 13, 8)
    # patients' means drawn one by one
    random = np.random.default_rng(1)
    means = np.mean([slow_mean(run, "dice") for run in runs], axis=0)
    slow = [means[random.integers(0, 8, 8)].mean() for _ in range(5000)]
    interval = found["dice"]["interval"]
    assert [interval["low"], interval["high"]] == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.004)


def test_a_patient_without_the_figure_is_left_out(measures):
    run = measures()
    for item in run.items:
        if item["patient_id"] == "breast/0":
            item["hd95_mm"] = None
    found = measured([run])["hd95_mm"]
    assert (found["patients"], found["of_patients"]) == (7, 8)
    assert found["value"] == pytest.approx(slow_mean(run, "hd95_mm").mean())
    for item in run.items:
        item["hd95_mm"] = None
    assert "hd95_mm" not in figure_names([run])


def test_differences_are_paired(measures):
    run, other = measures(0), measures(0)
    for item in other.items:
        item["dice"] += 0.05
    gain = difference_of([other], [run], "dice")
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.05, 0.05, 0.05))


def test_a_difference_is_of_the_frames_that_both_have(measures):
    run, other = measures(0), measures(0)
    known = [item for item in other.items if item["hd95_mm"] is not None]
    for item in known:
        item["hd95_mm"] += 1.0
    for item in known[: len(known) // 2]:  # missing half of the lesions is no gain
        item["hd95_mm"] = None
    lost = difference_of([other], [run], "hd95_mm")
    assert (lost.value, lost.low, lost.high) == pytest.approx((1, 1, 1))
    for item in known:
        item["hd95_mm"] = None
    assert difference_of([other], [run], "hd95_mm") is None


def test_a_fold_without_the_figure_is_left_out_over_folds(measures):
    folds = [measures(0, fold="0", patients=range(4)), measures(0, fold="1", patients=range(4, 8))]
    empty = measures(0, fold="2", patients=range(8, 10))
    for item in empty.items:
        item["hd95_mm"] = None
    two, three = (
        measured([pool_folds({run.folds[run.items[0]["video_id"]]: run for run in runs})])["hd95_mm"]["over_folds"]
        for runs in (folds, [*folds, empty])
    )
    assert (three["mean"], three["spread"]) == (two["mean"], two["spread"]) and np.isnan(three["per_fold"]["2"])


def test_baselines_become_entries_of_their_own(measures):
    runs = [measures(seed) for seed in range(2)]
    for run in runs:
        for item in run.items:
            item["dice_centre_prior"] = 0.5
    random, prior = with_baselines([Entry("random", [0, 1], runs)])
    assert (prior.encoder, prior.seeds) == ("centre prior", [0])
    assert figure_names(random.runs) == ["dice", "hd95_mm"] and figure_names(prior.runs) == ["dice"]
    results = task_results([random, prior], "Masks", [], [("random", "centre prior")])
    (gain,) = results["differences"]
    assert gain["value"] == pytest.approx(measured(runs)["dice"]["value"] - 0.5)
