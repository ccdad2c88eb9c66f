# SPDX-License-Identifier: Apache-2.0
"""Metadata and README of an exported bundle say what is so, and no more."""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from bundle_checks import SECTIONS
from bundle_facts import tested as figures_of
from bundle_metadata import metadata
from bundle_page import LEAKAGE, data_license, readme
from bundle_tasks import ROOT, TASKS
from packaging.requirements import Requirement

from bundle.errors import InputError
from bundle.networks import (
    EMBEDDING,
    Encoder,
    TrainedModel,
    only_simulated,
    open_model,
    save_encoder,
    sources,
    write_description,
)
from bundle.networks.provenance import SMALL
from bundle.networks.trained_model import NETWORKS
from bundle.reports.tables import LEGACY_NOTE, SIMULATED

NAMES = {task.task: task for task in TASKS.values()}
NETWORK = {"classification": {"num_classes": 2, "attention": True}, "saliency": {"output_stride": 8}}
CLASSES = {"classification": ["a_lines", "b_lines"], "saliency": []}


def description_of(task: str, **changes: Any) -> dict[str, Any]:
    return {
        "task": task,
        "class_names": CLASSES.get(task, ["lesion"]),
        "architecture": "resnet18",
        "in_channels": 1,
        "image_size": 32,
        "normalisation": {"mean": 0.4, "std": 0.2},
        "network": NETWORK.get(task, {}),
        "settings": {},
        "data": "phantom",
        "trained": {"encoder": {}, "encoder_sha256": "", "training_patients": 12, "learning_rate": 0.0007},
        **changes,
    }


@pytest.fixture
def trained(tmp_path: Path):
    """``trained(task, **description)``: a run's model with random weights, and its description."""

    def make(task: str, **changes: Any) -> tuple[TrainedModel, dict[str, Any]]:
        said = description_of(task, **changes)
        torch.manual_seed(0)
        if task == EMBEDDING:
            save_encoder(Encoder(), tmp_path, normalisation=said["normalisation"], image_size=32, trained={})
        else:
            torch.save(NETWORKS[task](Encoder(), **said["network"]).state_dict(), tmp_path / "model.pt")
            write_description(tmp_path, said)
        return open_model(tmp_path), said

    return make


@pytest.mark.parametrize("task", NAMES)
def test_shapes_are_those_of_the_network(trained, task) -> None:
    model, said = trained(task)
    about = metadata(NAMES[task], model, said, small=False)
    assert json.loads(json.dumps(about, allow_nan=False)) == about
    with torch.no_grad():
        expected = model.network(torch.rand(2, 1, 32, 32))
    image = about["network_data_format"]["inputs"]["image"]
    assert (image["num_channels"], image["spatial_shape"]) == (1, [32, 32])
    assert image["value_range"] == pytest.approx([-2, 3])  # (0 - 0.4) / 0.2 and (1 - 0.4) / 0.2
    pred = about["network_data_format"]["outputs"]["pred"]
    assert (2, pred["num_channels"], *pred["spatial_shape"]) == tuple(expected.shape) and pred["dtype"] == "float32"
    features = about["encoder_data_format"]["outputs"]["features"]
    assert (features["num_channels"], features["spatial_shape"]) == (512, [])
    page = readme(NAMES[task], model, said, about, small=False)
    assert not set(SECTIONS) - set(page.splitlines())
    assert f"`({', '.join(map(str, ('N', *expected.shape[1:])))})`" in page
    assert ("Not for MONAI Label" in page) == (task == EMBEDDING)
    check_releases(about)
    assert about["eval_metrics"] == {} and "tested no clips" in page and "| figure |" not in page
    if task == "classification":  # the attention score is no class
        assert pred["channel_def"] == {"0": "a_lines", "1": "b_lines"} and pred["num_channels"] == 3
        assert "attention score" in about["pred_classes"]


def check_releases(about: dict[str, Any]) -> None:
    """They are those installed, of all that the project needs."""
    found = {"monai": about["monai_version"], "torch": about["pytorch_version"], "numpy": about["numpy_version"]}
    found |= about["required_packages_version"]
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert found == {name: version(name).split("+")[0] for name in (Requirement(line).name for line in needed)}
    assert about["version"] in about["changelog"]


def plain(folder: Path, **changes: Any) -> Any:
    """What stands for a model where its network does not matter."""
    return SimpleNamespace(file=folder / "model.pt", **changes)


def write_predictions(folder: Path, protocol: str = "patient") -> None:
    """Five clips of five patients, one of them told wrong."""
    told = [(0, 0.9), (0, 0.8), (0, 0.3), (1, 0.2), (1, 0.4)]  # class, probability of class 0
    clips = [
        {"video_id": f"v{k}", "patient_id": f"p{k}", "label": label, "probabilities": [p, 1 - p]}
        for k, (label, p) in enumerate(told)
    ]
    content = {
        "task": "classification",
        "protocol": protocol,
        "part": "testing",
        "data": "phantom",
        "simulated": True,
        "class_names": CLASSES["classification"],
        "clips": clips,
        "items": [{**clip, "frame": 0} for clip in clips],
    }
    (folder / "predictions.json").write_text(json.dumps(content))


def test_figures_are_those_of_the_run(trained) -> None:
    model, said = trained("classification")
    write_predictions(model.file.parent)
    about = metadata(NAMES["classification"], model, said, small=True)
    told = about["eval_metrics"]
    assert (told["protocol"], told["part"], told["simulated"]) == ("patient", "testing", True)
    assert (told["frames"], told["clips"], told["patients"], told["chance"]) == (5, 5, 5, 0.5)
    balanced = told["figures"]["balanced accuracy per clip"]
    assert balanced["value"] == pytest.approx((2 / 3 + 1) / 2, abs=1e-4)
    assert balanced["low"] < balanced["value"] < balanced["high"] == 1
    assert told["figures"]["accuracy per clip"]["value"] == 0.8
    assert told["figures"]["AUROC per clip"]["value"] == pytest.approx(5 / 6, abs=1e-4)  # of six pairs one is wrong
    page = readme(NAMES["classification"], model, said, about, small=True)
    assert f"| balanced accuracy per clip | 0.833 ({balanced['low']:.3f} to 1.000) |" in page.splitlines()
    for mark in (f"**{SIMULATED}**", f"**{SMALL}**", "- Training patients: 12"):
        assert mark in page.splitlines()
    assert SMALL in about["description"]
    assert about["weights_origin"] == {"data": ["phantom"], "simulated_only": True, "demonstration_only": True}
    assert "of patients never trained on" in page and "LEAKAGE" not in page
    (model.file.parent / "leakage.json").write_text("[]")
    about = metadata(NAMES["classification"], model, said, small=True)
    page = readme(NAMES["classification"], model, said, about, small=True)
    assert "never trained on" not in page and f"**{LEAKAGE}**" in page.splitlines()
    write_predictions(model.file.parent, "legacy-uscl")
    about = metadata(NAMES["classification"], model, said, small=False)
    assert about["eval_metrics"]["figures"]["accuracy per frame"]["value"] == 0.8
    page = readme(NAMES["classification"], model, said, about, small=False)
    assert LEGACY_NOTE in page and SMALL not in page


def test_figures_of_a_pretraining_are_those_of_its_probe(trained) -> None:
    model, said = trained(EMBEDDING)
    sides = {
        name: {"interval": {"value": value, "low": value - 0.1, "high": value + 0.1, "level": 0.95}}
        for name, value in (("before", 0.4), ("after", 0.8))
    }
    probe = {"figure": "k-NN", "part": "validation", "clips": 7, "patients": 6, "chance": 0.2, **sides}
    (model.file.parent / "probe.json").write_text(json.dumps(probe))
    about = metadata(NAMES[EMBEDDING], model, said, small=False)
    page = readme(NAMES[EMBEDDING], model, said, about, small=False)
    assert "| k-NN | 0.800 (0.700 to 0.900) | 0.400 (0.300 to 0.500) |" in page.splitlines()
    assert "7 clips, 6 patients of the validation part" in page and "also chose the epoch" in page


def test_predictions_of_another_task_are_refused(tmp_path: Path) -> None:
    write_predictions(tmp_path)
    with pytest.raises(InputError, match="predictions of classification, the model beside it is for segmentation"):
        figures_of(plain(tmp_path, task="segmentation"), description_of("segmentation"))


def test_a_class_that_label_would_hide_is_refused(tmp_path: Path) -> None:
    model = plain(tmp_path, class_names=["Background", "lesion"])
    with pytest.raises(InputError, match="found a class 'Background', which MONAI Label leaves out"):
        metadata(NAMES["classification"], model, description_of("classification"), small=False)


@pytest.mark.parametrize(
    ("changes", "names", "simulated"),
    [
        ({}, ["phantom"], True),
        ({"data": "clinic"}, ["clinic"], False),
        ({"trained": {"encoder": {"data": "clinic", "method": "contrast"}}}, ["phantom", "clinic"], False),
        ({"trained": {"encoder": {"data": "phantom", "encoder": {"data": "blues"}}}}, ["phantom", "blues"], False),
        (
            {"trained": {"encoder": {}, "encoder_sha256": "ab12"}},
            ["phantom", "an encoder of unknown training (SHA-256 ab12)"],
            False,
        ),
    ],
)
def test_whose_data_the_weights_come_from(tmp_path: Path, changes, names, simulated) -> None:
    model, said = plain(tmp_path), description_of("segmentation", **changes)
    assert sources(said) == names and only_simulated(tmp_path, said) == simulated
    if simulated:
        assert "simulated ultrasound alone" in data_license(model, said, None)
    else:
        with pytest.raises(InputError) as refused:
            data_license(model, said, None)
        assert f"comes from {', '.join(names)}, found no licence" in str(refused.value)
    assert data_license(model, said, "CC BY 4.0\n") == "CC BY 4.0\n"


@pytest.mark.parametrize("name", ["mine", "phantom"])
def test_simulated_clips_are_known_by_their_records_and_no_name(tmp_path: Path, name: str) -> None:
    said = description_of("segmentation", data=name)
    assert only_simulated(tmp_path, said) == (name == "phantom")
    records = [{"image": "1.dcm", "simulated": "yes"}, {"image": "2.dcm", "simulated": ""}]
    for given, simulated in ((records[:1], True), (records, False)):
        (tmp_path / "datalist.json").write_text(json.dumps({"name": name, "training": given}))
        assert only_simulated(tmp_path, said) == simulated
