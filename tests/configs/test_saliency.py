# SPDX-License-Identifier: Apache-2.0
"""The saliency recipe at tiny size, and what it refuses."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch

from bundle.metrics.saliency import FIGURES
from bundle.networks import Encoder, SaliencyNet
from bundle.readers import read_cine

RECIPE = ("finetune.yaml", "saliency.yaml")


@pytest.fixture
def small(tiny):
    # one validation, one drawing of the curves, few pictures
    less = {"val_interval": 2, "frames_per_clip": 2, "test_frames_per_clip": 2, "pictures::n_clips": 2}
    return {**tiny, **less, "output_stride": 16}


def test_a_run_leaves_figures_beside_the_prior_pictures_and_a_network(small, workflow, tmp_path, caplog, pictures):
    with caplog.at_level("INFO"):
        made = workflow(*RECIPE, **small)
        made.run()
    run = tmp_path / "run"
    content = json.loads((run / "predictions.json").read_text())
    assert (content["task"], content["protocol"], content["part"], content["data"]) == (
        *("saliency", "patient", "testing", "phantom"),
    )
    assert content["trained"]["fixations"]["blur_mm"] == 3.5 and content["trained"]["output_stride"] == 16
    testing = {r["video_id"]: r["patient_id"] for r in json.loads((run / "datalist.json").read_text())["testing"]}
    assert {item["video_id"]: item["patient_id"] for item in content["items"]} == testing
    assert len({(item["video_id"], item["frame"]) for item in content["items"]}) == len(content["items"])
    for item in content["items"]:
        for name in FIGURES:
            assert all(np.isfinite(item[name + behind]) for behind in ("", "_centre_prior", "_uniform")), name
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 and all(float(row["kld"]) > 0 for row in rows) and rows[1]["val_kld_gain"]
    assert "phantom as simulated: saliency of" in caplog.text and "centre prior" in caplog.text

    assert (run / "overlays.png").stat().st_size > 10_000
    video = read_cine(run / "overlay.mp4")
    assert video.frames.shape[1:3] == (256, 640) and len(video.frames) % 6 == 0  # 240 rows and a title; whole rounds
    assert (video.frames[:, 16:, :320].max(axis=(0, 3)) < 60).mean() > 0.1  # black around the sector

    network = SaliencyNet(Encoder(), 16)
    network.load_state_dict(torch.load(run / "model.pt", weights_only=True))
    with torch.no_grad():
        p = network.eval()(torch.randn(1, 1, 32, 32))
    assert p.shape == (1, 1, 32, 32) and float(p.sum()) == pytest.approx(1, abs=1e-5)
    with np.load(run / "embeddings.npz") as embeddings:
        assert len(embeddings["frame"]) == len(content["items"])


def test_without_validation_and_with_another_table(small, phantom, workflow, tmp_path):
    """A gaze table as a person would give: times only, few clips, another width."""
    with (phantom / "fixations.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["video_id"].endswith("-1")]
    table = tmp_path / "gaze.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["video_id", "time", "x", "y", "duration"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    parts = {"training": 0.5, "validation": 0.0, "testing": 0.5}
    given = {"fixations_file": str(table), "blur_mm": None, "blur_degrees": 1, "pixels_per_degree": 20.0}
    workflow(*RECIPE, **{**small, "max_epochs": 1}, **given, parts=parts, labelled_patients=2).run()
    content = json.loads((tmp_path / "run" / "predictions.json").read_text())
    assert content["part"] == "testing" and content["trained"]["fixations"]["blur_degrees"] == 1


@pytest.mark.parametrize("recipe", ["saliency.yaml", "segmentation.yaml"])
def test_all_for_training_leaves_no_figures(recipe, tiny, workflow, tmp_path):
    workflow("finetune.yaml", recipe, **{**tiny, "max_epochs": 1, "frames_per_clip": 1}, parts={"training": 1.0}).run()
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert "model.pt" in written and not written & {"predictions.json", "overlays.png", "embeddings.npz"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"architecture": "densenet121"}, "encoder densenet121: its stride cannot be reduced by dilation"),
        ({"output_stride": 5}, "output_stride: found 5"),
        ({"blur_pixels": 3}, "found mm 3.5, pixels 3, expected one of degrees, mm and pixels"),
        ({"blur_mm": None, "blur_degrees": 1}, "in degrees: found none, expected pixels_per_degree"),
        ({"fixations_file": "nowhere.csv"}, "nowhere.csv: cannot be read"),
        ({"fixation_frames": "all"}, "fixation_frames: found 'all'"),
    ],
)
def test_what_is_refused_before_anything_is_written(small, refused, tmp_path, given, says):
    assert says in refused(*RECIPE, **{**small, **given})
    assert not (tmp_path / "run").exists()


def test_a_bad_row_ends_the_run_in_one_line(small, phantom, refused, tmp_path):
    table = tmp_path / "fixations.csv"
    shutil.copy(phantom / "fixations.csv", table)
    with table.open("a") as file:
        file.write("phantom-0001-1,99,,10,10,0.2\n")
    lines = len(table.read_text().splitlines())
    assert f"{table}, line {lines}: " in refused(*RECIPE, **{**small, "fixations_file": str(table)})
