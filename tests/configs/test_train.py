# SPDX-License-Identifier: Apache-2.0
"""The contrastive recipe at tiny size: what it writes, that it resumes exactly, what it says of bad input."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from PIL import Image

from bundle.keys import UNLABELLED
from bundle.networks import load_encoder

WRITTEN = [
    "curves.png",
    "datalist.json",
    "encoder.clips.npz",
    "encoder.json",
    "encoder.safetensors",
    "last.pt",
    "metrics.csv",
    "metrics.json",
    "model.pt",
    "pairs.png",
    "probe.json",
    "run.json",
]


def test_nothing_is_missing_from_the_recipe(workflow, tiny):
    assert workflow("train.yaml", **tiny).check_properties() == []


def test_a_run_writes_all_it_promises(workflow, tiny, pictures):
    workflow("train.yaml", **tiny).run()
    folder = Path(tiny["output_dir"])
    assert sorted(path.name for path in folder.iterdir()) == WRITTEN

    probe = json.loads((folder / "probe.json").read_text())
    datalist = json.loads((folder / "datalist.json").read_text())
    tested = {record["video_id"]: record["label"] for record in datalist["testing"]}
    assert {clip["clip"]: probe["after"]["class_names"][clip["label"]] for clip in probe["after"]["clips"]} == tested
    for side in ("before", "after"):
        right = {name: [] for name in probe[side]["class_names"]}
        for clip in probe[side]["clips"]:
            right[tested[clip["clip"]]].append(np.argmax(clip["probabilities"]) == clip["label"])
        assert probe[side]["per_clip"] == pytest.approx(np.mean([np.mean(hits) for hits in right.values()]))
    difference = probe["after"]["per_clip"] - probe["before"]["per_clip"]
    assert probe["difference"]["value"] == pytest.approx(difference)
    patients = [{record["patient_id"] for record in datalist[part]} for part in ("training", "validation", "testing")]
    assert not patients[0] & patients[1] and not patients[0] & patients[2] and not patients[1] & patients[2]

    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert rows[0]["knn"] and not rows[0]["loss"], "row 0 is the probe before training"
    for row in rows[1:]:
        label = float(row["label"] or 0)
        assert float(row["loss"]) == pytest.approx(float(row["contrast"]) + 0.2 * label, rel=1e-3)
    assert float(rows[-1]["learning_rate"]) == pytest.approx(0, abs=1e-12), "the cosine ends at 0"

    encoder, info = load_encoder(folder / "encoder.safetensors")
    assert info["image_size"] == 32 and info["normalisation"] == {"mean": 0.5, "std": 0.25}
    weights = torch.load(folder / "model.pt", weights_only=True)
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, weights[f"encoder.{name}"])
    for picture in ("pairs.png", "curves.png"):
        assert np.asarray(Image.open(folder / picture).convert("L")).std() > 10


class Interruption(Exception):
    """Stands for a power cut."""


def test_an_interrupted_run_resumes_exactly(workflow, tiny, tmp_path):
    tiny["max_epochs"] = 4
    workflow("train.yaml", **tiny).run()

    broken = {**tiny, "output_dir": str(tmp_path / "broken")}
    interrupted = workflow("train.yaml", **broken)

    def cut(engine):
        raise Interruption

    interrupted.parser.get_parsed_content("train#trainer").add_event_handler(Events.ITERATION_COMPLETED(once=6), cut)
    with pytest.raises(Exception) as caught:
        interrupted.run()
    assert isinstance(caught.value.__cause__ or caught.value, Interruption)
    torch.manual_seed(1234)
    workflow("train.yaml", **broken, resume=True).run()

    whole, resumed = (
        torch.load(Path(folder) / "last.pt", weights_only=True) for folder in (tiny["output_dir"], broken["output_dir"])
    )
    assert resumed["trainer"] == whole["trainer"]
    assert resumed["lr_scheduler"] == whole["lr_scheduler"]
    assert resumed["best"] == whole["best"]
    assert [row.keys() for row in resumed["log"]["rows"]] == [row.keys() for row in whole["log"]["rows"]]
    assert resumed["log"] == whole["log"]
    for name, value in whole["network"].items():
        assert torch.equal(value, resumed["network"][name]), name
    for key, state in whole["optimizer"]["state"].items():
        for name, value in state.items():
            assert torch.equal(value, resumed["optimizer"]["state"][key][name])
    reports = [json.loads((Path(o) / "probe.json").read_text()) for o in (tiny["output_dir"], broken["output_dir"])]
    assert reports[0] == reports[1]


@pytest.mark.parametrize(
    "overrides",
    [
        {"pair_preset": "uscl-released"},
        {"pair_preset": "simclr", "label_fraction": 0.0},
        {"label_fraction": 1.0, "accumulation_steps": 2, "use_tensorboard": True},
        {"num_workers": 2, "in_channels": 3, "loss_def::losses::contrast::mask_same_patient": True},
        {"architecture": "seresnet50", "loss_def::losses::contrast::temperature": 0.1},
    ],
    ids=lambda value: ",".join(value),
)
def test_switches(workflow, tiny, overrides):
    workflow("train.yaml", **{**tiny, "max_epochs": 1, **overrides}).run()
    folder = Path(tiny["output_dir"])
    row = json.loads((folder / "metrics.json").read_text())[-1]
    assert np.isfinite(row["loss"])
    assert ("label" in row) == (overrides.get("label_fraction", 1.0) > 0)
    assert (folder / "tensorboard").exists() == overrides.get("use_tensorboard", False)
    info = json.loads((folder / "encoder.json").read_text())
    assert info["architecture"] == overrides.get("architecture", "resnet18")


def test_label_fraction_hides_labels_from_the_loss_only(workflow, tiny):
    run = workflow("train.yaml", **{**tiny, "label_fraction": 0.5})
    seen = run.parser.get_parsed_content("train#dataset").data
    labelled = {record["patient_id"] for record in seen if record["label"] != UNLABELLED}
    assert 0.4 < len(labelled) / len({record["patient_id"] for record in seen}) < 0.6
    reference = [
        record for record in run.parser.get_parsed_content("validate#dataset").data if record["part"] == "gallery"
    ]
    assert all(record["label"] != UNLABELLED for record in reference)


def test_a_bare_folder_without_labels_is_enough(workflow, tiny, phantom, tmp_path, caplog):
    clips = tmp_path / "clips"
    clips.mkdir()
    for number, path in enumerate(sorted(phantom.rglob("*.dcm"))[:6]):
        shutil.copy(path, clips / f"{number}.dcm")
    caplog.set_level("INFO")
    workflow("train.yaml", **{**tiny, "dataset_dir": str(clips), "batch_size": 4}).run()
    folder = Path(tiny["output_dir"])
    assert sorted(path.name for path in folder.iterdir()) == [name for name in WRITTEN if name != "probe.json"]
    assert "no k-NN probe" in caplog.text
    last = torch.load(folder / "last.pt", weights_only=True)["network"]
    assert all(
        torch.equal(value, last[name]) for name, value in torch.load(folder / "model.pt", weights_only=True).items()
    )


def test_the_schedule_ends_at_zero_however_the_epochs_are_given(workflow, tiny):
    workflow("train.yaml", **{**tiny, "train::trainer::max_epochs": 3}).run()
    rows = json.loads((Path(tiny["output_dir"]) / "metrics.json").read_text())
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert rows[-1]["learning_rate"] == pytest.approx(0, abs=1e-12) and rows[-2]["learning_rate"] > 1e-5


def test_one_clip_cannot_be_contrasted(refused, tiny, phantom, tmp_path):
    (tmp_path / "one").mkdir()
    shutil.copy(next(phantom.rglob("*.dcm")), tmp_path / "one" / "a.dcm")
    assert "at least two" in refused(**{**tiny, "dataset_dir": str(tmp_path / "one")})


def test_paper_sizes_are_one_overlay(workflow, tiny):
    for name in ("image_size", "batch_size", "max_epochs", "val_interval"):
        tiny.pop(name)
    parser = workflow("train.yaml", "paper.yaml", **tiny).parser
    assert [parser.get_parsed_content(n) for n in ("image_size", "batch_size", "max_epochs", "learning_rate")] == [
        224,
        32,
        300,
        3e-4,
    ]
    intensity = parser.get_parsed_content("train#random_transforms").transforms[0].pairs.augment.transforms[1]
    assert (intensity.gain, intensity.contrast, intensity.shadow_prob) == (0.8, 0.8, 0)


def test_a_finished_run_is_not_overwritten_unasked(refused, workflow, tiny):
    workflow("train.yaml", **tiny).run()
    before = {path.name: path.read_bytes() for path in Path(tiny["output_dir"]).iterdir()}
    assert "--overwrite True" in refused(**tiny)
    assert {path.name: path.read_bytes() for path in Path(tiny["output_dir"]).iterdir()} == before
    assert "architecture resnet18, now it is resnet34" in refused(**tiny, resume=True, architecture="resnet34")
    assert "max_epochs 2, now it is 5" in refused(**{**tiny, "max_epochs": 5}, resume=True)
    refused(**{**tiny, "dataset_dir": "nowhere"}, overwrite=True)
    after = {path.name: path.read_bytes() for path in Path(tiny["output_dir"]).iterdir()}
    assert {**after, "run.json": b""} == {**before, "run.json": b""}, "bad input loses nothing"
    assert (Path(tiny["output_dir"]) / "model.pt").read_bytes() == before["model.pt"]
    assert "batch_size 8, now it is 4" in refused(**{**tiny, "batch_size": 4}, resume=True)
    workflow("train.yaml", **tiny, overwrite=True).run()


def test_bad_input_is_told_in_one_line(refused, tiny, tmp_path, phantom):
    assert "nowhere" in refused(**{**tiny, "dataset_dir": str(tmp_path / "nowhere")})
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(**{**tiny, "dataset_dir": str(tmp_path / "empty")})
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.dcm").write_text("not a DICOM file")
    assert "a.dcm" in refused(**{**tiny, "dataset_dir": str(tmp_path / "text")})
    datalist = tmp_path / "list.json"
    datalist.write_text(json.dumps({"training": [{"image": "a.dcm", "video_id": "a"}]}))
    assert "patient_id" in refused(**tiny, datalist_file=str(datalist))
    assert "resume" in refused(**{**tiny, "resume": True, "output_dir": str(tmp_path / "new")})
    assert "resnet18" in refused(**tiny, architecture="resnet1")


def test_diverged_training_stops_and_exports_nothing(refused, tiny):
    assert "finite" in refused(**tiny, learning_rate=1e30, warmup=0)
    assert not (Path(tiny["output_dir"]) / "encoder.safetensors").exists()


def test_command_line_from_another_folder(command_line, tiny, tmp_path):
    done = command_line("train.yaml", tmp_path, **{**tiny, "max_epochs": 1, "output_dir": "out"})
    assert done.returncode == 0, done.stderr
    assert "k-NN probe on" in done.stderr
    assert (tmp_path / "out" / "encoder.safetensors").exists()
    again = command_line("train.yaml", tmp_path, **{**tiny, "max_epochs": 1, "output_dir": "out"})
    assert again.returncode == 1
    assert "Traceback" not in again.stderr and again.stderr.strip().splitlines()[-1].startswith("error: out already")
