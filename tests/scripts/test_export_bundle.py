# SPDX-License-Identifier: Apache-2.0
"""Exported bundles: their configs need nothing of this repository, their files are whole or not there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import export_bundle
import pytest
import torch
from bundle_configs import exported_configs, own_package
from bundle_tasks import TASKS
from PIL import Image

from bundle.errors import InputError
from bundle.networks import EMBEDDING, Encoder, open_model, save_encoder, write_description
from bundle.networks.trained_model import NETWORKS

CONFIGS = Path(__file__).parents[2] / "configs"
NETWORK = {"classification": {"num_classes": 2, "attention": False}, "saliency": {"output_stride": 8}}
SETTINGS = {
    "classification": {"clip_score": "max"},
    "detection": {"max_boxes": 7, "min_score": 0.0, "overlap": 0.5},
}


def run_of(folder: Path, task: str, image_size: int = 32) -> Path:
    """The folder of a run with random weights."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    if task == EMBEDDING:
        about = {"normalisation": {"mean": 0.5, "std": 0.25}, "image_size": image_size}
        save_encoder(Encoder(), folder, **about, trained={"data": "phantom", "method": "contrast"})
        return folder
    network = NETWORK.get(task, {})
    torch.save(NETWORKS[task](Encoder(), **network).state_dict(), folder / "model.pt")
    write_description(folder, described(task, image_size))
    return folder


def described(task: str, image_size: int = 32) -> dict[str, Any]:
    names = {"classification": ["a_lines", "b_lines"], "saliency": [], EMBEDDING: []}.get(task, ["lesion"])
    return {
        "task": task,
        "class_names": names,
        "architecture": "resnet18",
        "in_channels": 1,
        "image_size": image_size,
        "normalisation": {"mean": 0.4, "std": 0.2},
        "network": NETWORK.get(task, {}),
        "settings": SETTINGS.get(task, {}),
        "data": "phantom",
        "trained": {"learning_rate": 0.007, "seed": 3},
    }


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from strings(value)
    elif isinstance(node, list):
        for one in node:
            yield from strings(one)
    elif isinstance(node, str):
        yield node


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_configs_are_of_the_bundle_alone_and_say_how_the_weights_were_made(task: Any) -> None:
    configs = exported_configs(CONFIGS, task.recipes, described(task.task, 48))
    assert set(configs) == {"train", "evaluate", "multi_gpu_train", "inference"}
    for job, config in configs.items():
        assert json.loads(json.dumps(config)) == config, job
        assert not [text for text in strings(config) if re.search(r"(?<![@#\w])bundle\.", text)], job
        assert not [key for key in strings(config) if key.startswith(("+", "%"))], job
        if job != "multi_gpu_train":
            assert config["image_size"] == 48 and config["mean"] == 0.4 and config["std"] == 0.2, job
            plain = [name for name, value in config.items() if not isinstance(value, dict | list)]
            assert not [name for name in plain if f"@{name}" not in json.dumps(config)], f"{job}: options do something"
    train, inference, spread = (configs[job] for job in ("train", "inference", "multi_gpu_train"))
    assert set(spread) <= {*train, "parallel", "finalize"} | {key for key in spread if key.startswith("train::")}
    assert not {"train", "validate", "datalist", "bundle_root"} & set(spread)  # that of train.json is MONAI Label's
    assert set(train["run"][:5]) | {"$handlers.join_ranks()", train["run"][-1]} <= set(spread["run"])
    assert train["seed"] == (3 if "seed" in train else None)
    assert "@model.task" not in json.dumps([one["_target_"] for one in inference["writers"]])
    network = inference["network_def"]
    assert (
        network["_target_"]
        == f"scripts.networks.{NETWORKS[task.task].__name__ if task.task != EMBEDDING else 'Encoder'}"
    )
    for name, value in SETTINGS.get(task.task, {}).items():
        assert inference[name] == value


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("contrastive pretraining, pairs ivpp", {"tasks": ["contrast"], "pair_preset": "ivpp"}),
        ("order + geometry, sequential", {"tasks": ["order", "geometry"], "combination": "sequential", "n_frames": 4}),
        ("geometry + contrast, parallel", {"tasks": ["geometry", "contrast"], "learn_task_weights": False}),
        ("made elsewhere, by hand", {"tasks": ["contrast"], "pair_preset": "uscl"}),
    ],
)
def test_pretraining_is_by_the_recipe_that_made_the_encoder(method: str, settings: dict[str, Any]) -> None:
    said = described(EMBEDDING) | {"trained": {"method": method, "label_fraction": 0.5}}
    for job in ("train", "evaluate"):
        config = exported_configs(CONFIGS, (), said)[job]
        assert {name: config.get(name) for name in settings} == settings
        assert config["label_fraction"] == 0.5
        assert ("n_frames" in config) == ("geometry" in settings["tasks"])


@pytest.mark.parametrize("name", ["us_lesion_segmentation", "us_lesion_detection"])
def test_another_structure_goes_on_being_called_so(name: str) -> None:
    said = described(TASKS[name].task) | {"class_names": ["fetal head"]}
    configs = exported_configs(CONFIGS, TASKS[name].recipes, said)
    assert configs["train"]["structure"] == configs["evaluate"]["structure"] == "fetal head"


def test_what_is_for_other_tasks_is_left_out() -> None:
    writers = {
        task.task: {one["_target_"].split(".")[-1] for one in exported_configs(
            CONFIGS, task.recipes, described(task.task))["inference"]["writers"]}
        for task in TASKS.values()
    }  # fmt: skip
    assert {"ClassResults", "ClipOverlays"} <= writers["classification"]
    assert "MaskResults" in writers["segmentation"] and "MaskResults" not in writers["detection"]
    assert "EmbeddingResults" in writers[EMBEDDING] and not {"ClipOverlays", "ClipMaps"} & writers[EMBEDDING]


def test_the_package_is_renamed_and_nothing_else() -> None:
    text = "from bundle.data import x; @bundle_root; monai.bundle.run; `bundle.handlers.Progress`; bundles.data"
    assert own_package(text) == (
        "from scripts.data import x; @bundle_root; monai.bundle.run; `scripts.handlers.Progress`; bundles.data"
    )


def export(tmp_path: Path, name: str, *more: str) -> None:
    sys.argv = ["export_bundle.py", name, "--output_dir", str(tmp_path / "out"), *more]
    export_bundle.main()


@pytest.mark.parametrize(
    ("name", "names", "other"),
    [
        ("us_lung_classification", ["4CH", "RVOT"], "us_plane_classification"),
        ("us_plane_classification", ["covid", "Pneumonia"], "us_lung_classification"),
        ("us_plane_classification", ["benign", "malignant"], None),
    ],
)
def test_classes_of_another_bundle_are_refused(tmp_path: Path, name: str, names: list[str], other: str | None) -> None:
    for data, simulated in (("clinic", False), ("phantom", True)):
        run = run_of(tmp_path / data, "classification")
        write_description(run, described("classification") | {"class_names": names, "data": data})
        if simulated or not other:
            assert export_bundle._trained_for(TASKS[name], str(run)).class_names == names
        else:
            with pytest.raises(InputError, match=f"found the classes {names[0]}, {names[1]} .*; export it as {other}"):
                export_bundle._trained_for(TASKS[name], str(run))


def test_a_bundle_works_without_this_repository(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "segmentation")
    export(tmp_path, "us_lesion_segmentation", "--weights", str(run))
    folder = tmp_path / "out" / "us_lesion_segmentation"
    for name in ("LICENSE", "docs/README.md", "docs/data_license.txt", "configs/metadata.json", "large_files.yml"):
        assert (folder / name).is_file(), name
    with zipfile.ZipFile(tmp_path / "out" / "us_lesion_segmentation_v0.1.0.zip") as packed:
        assert "us_lesion_segmentation/configs/inference.json" in packed.namelist()
    weights = torch.load(run / "model.pt", weights_only=True)
    assert all(torch.equal(a, weights[name]) for name, a in torch.load(folder / "models" / "model.pt").items())
    Image.linear_gradient("L").resize((60, 50)).save(tmp_path / "still.png")
    program = (  # from another directory, and importing the repository's package is an error
        "import sys; sys.modules['bundle'] = None; from monai.bundle import run; "
        f"run(config_file={str(folder / 'configs' / 'inference.json')!r}, bundle_root={str(folder)!r}, "
        f"input={str(tmp_path / 'still.png')!r}, output_dir={str(tmp_path / 'results')!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert [one["file"] for one in results["clips"]] == ["still.png"]
    assert open_model(folder / "models").task == "segmentation"


def test_what_cannot_be_exported_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path / "run", "segmentation")
    with pytest.raises(InputError, match="trained for segmentation, us_lesion_detection needs detection; export it as"):
        export(tmp_path, "us_lesion_detection", "--weights", str(run))
    with pytest.raises(InputError, match="found no weights"):
        export(tmp_path, "us_lesion_detection")
    with pytest.raises(InputError, match="found no model.json"):
        export(tmp_path, "us_lesion_segmentation", "--weights", str(tmp_path))
    write_description(run, described("segmentation") | {"data": "clinic"})
    with pytest.raises(InputError, match="comes from clinic, found no licence of these data"):
        export(tmp_path, "us_lesion_segmentation", "--weights", str(run))
    write_description(run, described("segmentation"))
    (run / "last.pt").touch()
    with pytest.raises(InputError, match="last.pt: found another file than model.pt, expected the run's folder"):
        export(tmp_path, "us_lesion_segmentation", "--weights", str(run / "last.pt"))
    with pytest.raises(InputError, match="best.pt: no such file or folder"):
        export(tmp_path, "us_lesion_segmentation", "--weights", str(run / "best.pt"))
    assert not (tmp_path / "out").exists()
    with monkeypatch.context() as patched:
        patched.setattr(export_bundle, "readme", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            export(tmp_path, "us_lesion_segmentation", "--weights", str(run))
    assert list((tmp_path / "out").iterdir()) == []
    with monkeypatch.context() as patched:
        patched.setattr(export_bundle, "archive", lambda output, task: output / "none" / "a.zip")
        with pytest.raises(FileNotFoundError):
            export(tmp_path, "us_lesion_segmentation", "--weights", str(run))
    assert list((tmp_path / "out").iterdir()) == []
    for content in (b"\xff\xfe\xe9", None):
        licence = tmp_path / "licence.txt"
        licence.unlink(missing_ok=True) if content is None else licence.write_bytes(content)
        with pytest.raises(InputError, match="cannot be read .*; expected the data's licence as UTF-8 text"):
            export(tmp_path, "us_lesion_segmentation", "--weights", str(run), "--data_license", str(licence))
    (tmp_path / "out" / "us_lesion_segmentation").mkdir()
    with pytest.raises(InputError, match="already there"):
        export(tmp_path, "us_lesion_segmentation", "--weights", str(run))
