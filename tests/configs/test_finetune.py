# SPDX-License-Identifier: Apache-2.0
"""The downstream recipe at tiny size: what it writes, that the test set is looked at once, what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from PIL import Image

from bundle.data import write_fingerprints
from bundle.data.fingerprints import clips_beside
from bundle.metrics import main_figures
from bundle.networks import Encoder, FrameClassifier, open_model, save_encoder

LEGACY = ("finetune.yaml", "legacy_uscl.yaml")
WRITTEN = [
    *("confusion.png", "curves.png", "datalist.json", "embeddings.npz", "last.pt", "metrics.csv", "metrics.json"),
    *("model.json", "model.pt", "predictions.json", "run.json"),
]


@pytest.fixture
def small(tiny):
    """Few frames."""
    return {**tiny, "frames_per_clip": 2, "test_frames_per_clip": 3}


def exported(folder: Path, encoder: Encoder, **trained) -> Path:
    about = {"normalisation": {"mean": 0.4, "std": 0.2}, "image_size": 32}
    return save_encoder(encoder, folder, trained=trained, **about)


def predictions_of(overrides) -> dict:
    return json.loads((Path(overrides["output_dir"]) / "predictions.json").read_text())


def test_a_run_writes_all_it_promises(workflow, small, pictures):
    made = workflow("finetune.yaml", **small)
    assert made.check_properties() == []
    counted = []
    tester = made.parser.get_parsed_content("test#evaluator")
    trainer = made.parser.get_parsed_content("train#trainer")
    tester.add_event_handler(Events.STARTED, lambda engine: counted.append(trainer.state.epoch))
    made.run()
    folder = Path(small["output_dir"])
    assert sorted(path.name for path in folder.iterdir()) == WRITTEN
    assert counted == [2], "the test part is looked at once, when training is over"

    content = predictions_of(small)
    datalist = json.loads((folder / "datalist.json").read_text())
    assert (content["task"], content["protocol"], content["data"]) == ("classification", "patient", "phantom")
    assert content["class_names"] == datalist["labels"]
    tested = {record["video_id"]: (record["patient_id"], record["label"]) for record in datalist["testing"]}
    clips = {clip["video_id"]: clip for clip in content["clips"]}
    assert {name: (clip["patient_id"], content["class_names"][clip["label"]]) for name, clip in clips.items()} == tested
    assert sorted((item["video_id"], item["frame"]) for item in content["items"]) == sorted(
        (name, frame) for name in tested for frame in (1, 3, 5)
    )
    for name, clip in clips.items():
        rows = [item["probabilities"] for item in content["items"] if item["video_id"] == name]
        assert np.mean(rows, axis=0) == pytest.approx(clip["probabilities"], abs=1e-5)
    figures = main_figures(
        [clip["label"] for clip in content["clips"]], np.array([clip["probabilities"] for clip in content["clips"]])
    )
    assert figures == pytest.approx({name: content["figures"]["per_clip"][name] for name in figures}, abs=1e-4)

    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[-1]["learning_rate"]) < 1e-9
    chosen = [float(row["val_balanced_accuracy"]) for row in rows]
    assert content["trained"]["epoch"] == max((1, 2), key=lambda epoch: (chosen[epoch - 1], epoch))
    assert content["trained"]["training_patients"] == len({one["patient_id"] for one in datalist["training"]})

    last = torch.load(folder / "last.pt", weights_only=True)
    assert last["settings"]["class_names"] == content["class_names"]
    network = FrameClassifier(Encoder(), 5)
    network.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
    sample = made.parser.get_parsed_content("test#dataset")[0]
    with torch.no_grad():
        told = network.eval()(sample["frames"]).softmax(dim=1).numpy()
        features = network.encoder(sample["frames"]).numpy()
    rows = [item["probabilities"] for item in content["items"] if item["video_id"] == sample["video_id"]]
    assert told == pytest.approx(np.array(rows), abs=1e-4)
    with np.load(folder / "embeddings.npz") as file:
        embedded = {name: file[name] for name in file.files}
    here = embedded["video_id"] == sample["video_id"]
    assert embedded["features"][here] == pytest.approx(features, abs=1e-4) and embedded["frame"][here].tolist() == [
        *(1, 3, 5)
    ]
    assert len(embedded["label"]) == len(content["items"])
    for picture in ("confusion.png", "curves.png"):
        assert np.asarray(Image.open(folder / picture).convert("L")).std() > 10


class Interruption(Exception):
    """Stands for a power cut."""


def test_an_interrupted_run_resumes_exactly(workflow, refused, small, tmp_path):
    small = {**small, "tuned": "last_block"}
    workflow("finetune.yaml", **small).run()
    broken = {**small, "output_dir": str(tmp_path / "broken")}
    interrupted = workflow("finetune.yaml", **broken)

    def cut(engine):
        raise Interruption

    interrupted.parser.get_parsed_content("train#trainer").add_event_handler(Events.ITERATION_COMPLETED(once=4), cut)
    with pytest.raises(Exception) as caught:
        interrupted.run()
    assert isinstance(caught.value.__cause__ or caught.value, Interruption)
    assert not (Path(broken["output_dir"]) / "predictions.json").exists()
    for changed in ({"labelled_patients": 1}, {"clip_score": "max"}, {"class_weights": None}, {"frames_per_clip": 3}):
        ((name, value),) = changed.items()
        told = refused("finetune.yaml", **{**broken, **changed}, resume=True)
        assert f"{name} " in told.partition("made with")[2] and f", now it is {value}; resume" in told
    (Path(broken["output_dir"]) / "model.json").unlink()  # cut between the weights and their description
    workflow("finetune.yaml", **broken, resume=True).run()
    assert open_model(broken["output_dir"]).class_names == predictions_of(broken)["class_names"]
    assert predictions_of(small) == predictions_of(broken)
    assert "already holds a run; go on with it (--resume True), replace it" in refused("finetune.yaml", **small)
    (Path(small["output_dir"]) / "last.pt").unlink()
    assert "already holds a run; replace it" in refused("finetune.yaml", **small)


@pytest.mark.parametrize(
    ("overrides", "unchanged"),
    [
        ({"tuned": "head", "clip_score": "attention"}, "encoder."),
        ({"tuned": "last_block", "clip_score": "max", "class_weights": None}, "encoder.layer4.0."),
    ],
    ids=["head", "last_block"],
)
def test_a_pretrained_encoder_is_tuned_as_far_as_asked(workflow, small, tmp_path, caplog, overrides, unchanged):
    torch.manual_seed(1)
    encoder = Encoder("resnet18", 3)
    exported(tmp_path / "pre", encoder, data="elsewhere")
    run = {**small, "max_epochs": 1, "encoder_file": str(tmp_path / "pre"), **overrides}
    made = workflow("finetune.yaml", **run)
    sample = made.parser.get_parsed_content("validate#dataset")[0]["frames"]
    assert sample.shape == (3, 3, 32, 32) and sample.min() == pytest.approx((0 - 0.4) / 0.2)
    made.run()
    assert "no list of the clips it was pretrained on (elsewhere) lies beside it" in caplog.text
    content = predictions_of(run)
    assert content["clip_score"] == run["clip_score"] and content["trained"]["encoder"] == {"data": "elsewhere"}
    weights = torch.load(Path(run["output_dir"]) / "model.pt", weights_only=True)
    before = {f"encoder.{key}": value for key, value in encoder.state_dict().items()}
    kept = [key for key in before if key.startswith(unchanged)]
    assert len(kept) > 10 and all(torch.equal(weights[key], before[key]) for key in kept)
    assert all(np.sum(clip["probabilities"]) == pytest.approx(1, abs=1e-5) for clip in content["clips"])


def test_an_encoder_that_has_seen_a_tested_clip_stops_the_run(workflow, refused, small, tmp_path):
    made = workflow("finetune.yaml", **small)
    seen = made.parser.get_parsed_content("fingerprints")["testing"][:1]
    file = exported(tmp_path / "pre", Encoder())
    exported(tmp_path / "pre", Encoder(), clips_sha256=write_fingerprints(clips_beside(file), seen))
    told = refused("finetune.yaml", **small, encoder_file=str(file))
    assert "leakage: the pretraining of the encoder and the clips to judge share 1 patient" in told
    assert seen[0].video_id in told and not (Path(small["output_dir"]) / "last.pt").exists()
    leaks = workflow("finetune.yaml", **small, encoder_file=str(file), allow_leakage=True).parser
    assert {leak.kind for leak in leaks.get_parsed_content("leaks")} == {"patient", "video", "content"}


def test_few_patients_of_a_fold(workflow, small):
    run = {**small, "fold": 2, "labelled_patients": 1, "max_epochs": 1}
    made = workflow("finetune.yaml", **run)
    clips = made.parser.get_parsed_content("clips")
    assert sorted(record["label"] for record in clips.training) == [0, 1, 2, 3, 4]
    assert {record["fold"] for record in clips.testing} == {2} and len(clips.validation) == 5
    others = workflow("finetune.yaml", **{**run, "seed": 1}).parser.get_parsed_content("clips")
    assert others.testing == clips.testing and others.training != clips.training
    assert made.parser.get_parsed_content("trained#training_patients") == 5


def test_the_released_protocol_is_called_by_its_name(workflow, small, caplog):
    caplog.set_level("INFO")
    run = {**small, "fold": 1, "batch_size": 16}
    made = workflow(*LEGACY, **run)
    clips = made.parser.get_parsed_content("clips")
    frames = made.parser.get_parsed_content("train#dataset").data
    assert len(frames) == 2 * (len(clips.training) + len(clips.validation))
    assert made.parser.get_parsed_content("train#dataset")[1]["frames"].shape == (1, 1, 32, 32)
    assert made.parser.get_parsed_content("validate#dataset").data == clips.testing
    trained = [name for name, one in made.parser.get_parsed_content("network").named_parameters() if one.requires_grad]
    assert all(name.startswith(("encoder.layer4.1.", "classifier.")) for name in trained) and len(trained) == 8
    made.run()
    content = predictions_of(run)
    rows = json.loads((Path(run["output_dir"]) / "metrics.json").read_text())
    assert content["protocol"] == "legacy-uscl" and content["trained"]["fold"] == 1
    assert content["figures"]["per_frame"]["accuracy"] == pytest.approx(
        max(row["legacy-uscl_accuracy"] for row in rows)
    )
    ours = {name for row in rows for name in row} - {"epoch", "loss", "learning_rate", "train_accuracy"}
    assert ours and all(name.startswith("legacy-uscl_") for name in ours)
    lines = [record.message for record in caplog.records if record.levelname == "INFO"]
    told = [line for line in lines if any(word in line for word in ("accuracy", "AUROC", "best"))]
    assert len(told) >= 3 and all("legacy-uscl" in line for line in told), told


def test_all_for_training_leaves_no_figures(workflow, small, caplog):
    workflow("finetune.yaml", **{**small, "max_epochs": 1, "tuned": "head"}, parts={"training": 1.0}).run()
    written = {path.name for path in Path(small["output_dir"]).iterdir()}
    assert written == set(WRITTEN) - {"predictions.json", "confusion.png", "embeddings.npz"}
    assert "nothing to say how good the network is" in caplog.text


def test_bad_input_is_told_in_one_line(refused, small, tmp_path):
    def told(**overrides) -> str:
        return refused("finetune.yaml", **{**small, **overrides})

    assert "unknown label 'lung_b_lines': expected one of: fetal_head, heart" in told(
        class_names=["fetal_head", "heart", "liver_lesion", "lung_a_lines"]
    )
    assert "fold 9: there is none, found 0, 1, 2, 3, 4" in told(fold=9)
    assert "no column 'plane'" in told(label_column="plane")
    assert "class_names: found 5, expected a list" in told(class_names=5)
    assert "where is 'heart', expected cells by column" in told(where="heart")
    assert "labelled_patients: found 'all', expected a whole number" in told(labelled_patients="all")
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "other.pt")
    unfit = told(encoder_file=str(tmp_path / "other.pt"), architecture="resnet18")
    assert "other.pt: weights: found an unknown architecture, expected resnet18; 1.0% of the tensors match" in unfit
    assert "(loaded 1, missing 119 (bn1.bias, " in unfit
    assert "setting architecture" in told(encoder_file=str(tmp_path / "other.pt"))
    assert "tuned: found 'none'" in told(tuned="none")
    assert "clip_score: found 'median'" in told(clip_score="median")
    assert "protocol: found 'uscl', but this recipe follows 'patient'" in told(protocol="uscl")
    assert "protocol: found 'legacy-uscl', but this recipe follows 'patient'" in told(protocol="legacy-uscl")
    flattering = refused(*LEGACY, **{**small, "fold": 1, "protocol": "patient"})
    assert "protocol: found 'patient', but this recipe follows 'legacy-uscl'" in flattering
    assert not Path(small["output_dir"]).exists(), "before anything is written"
    rows = list(csv.reader((Path(small["dataset_dir"]) / "labels.csv").open()))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "clips").symlink_to(Path(small["dataset_dir"]) / "clips")
    hearts = {row[0]: number % 2 for number, row in enumerate(row for row in rows[1:] if "heart" in row)}
    with (tmp_path / "data" / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*rows[0], "fold"])
        table.writerows([*row, 0 if row[0] in hearts else 1 + number % 2] for number, row in enumerate(rows[1:]))
    where = {"dataset_dir": str(tmp_path / "data"), "fold": 0}
    assert "no training clip of heart, of which the testing part has some" in told(**where)


def test_command_line_from_another_folder(command_line, small, tmp_path):
    """A network of RGB frames with torchvision's names."""
    torch.save(Encoder("resnet18", 3).state_dict() | {"fc.bias": torch.zeros(1000)}, tmp_path / "resnet18.pth")
    run = {**small, "max_epochs": 1, "output_dir": "out", "encoder_file": "resnet18.pth", "architecture": "resnet18"}
    done = command_line("finetune.yaml", tmp_path, **run)
    assert done.returncode == 0, done.stderr
    assert "patient, phantom as simulated: balanced accuracy per clip" in done.stderr
    assert json.loads((tmp_path / "out" / "predictions.json").read_text())["trained"]["encoder_sha256"]
