# SPDX-License-Identifier: Apache-2.0
"""The comparison of ways to pretrain: cells, resuming, the table; at tiny size."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bundle.data import make_phantom
from bundle.errors import InputError

ROOT = Path(__file__).parents[2]


def compare(plan: Path, data: Path, output: Path) -> subprocess.CompletedProcess:
    script = ROOT / "scripts" / "compare_pretraining.py"
    given = ["--data-root", data, "--output-dir", output, "--cache-dir", output.parent / "cache", "--jobs", "2"]
    return subprocess.run([sys.executable, script, plan, *map(str, given)], capture_output=True, text=True)


def test_every_cell_is_run_once_and_judged(tmp_path):
    make_phantom(tmp_path / "data" / "phantom", patients_per_class=6, clips_per_patient=1, n_frames=4)
    plan = {
        "overrides": {"dataset_dir": "{data}/phantom", "image_size": 32, "batch_size": 8, "max_epochs": 1},
        "methods": {
            "contrast": {"config": "configs/train.yaml", "seeds": [1], "overrides": {"label_fraction": 0}},
            "20 % labels": {"config": ["configs/train.yaml"]},
        },
        "targets": {"phantom": {"dataset_dir": "{data}/phantom", "own_split": True}},
    }
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(plan))
    output = tmp_path / "out"
    done = compare(path, tmp_path / "data", output)
    assert done.returncode == 0, done.stdout + done.stderr
    cells = {name: output / name / "encoder.safetensors" for name in ("contrast_seed1", "20_labels_seed0")}
    made = {name: file.stat().st_mtime_ns for name, file in cells.items()}
    runs = json.loads((output / "phantom" / "results.json").read_text())["runs"]
    assert sorted(run["name"] for run in runs if run["seed"] is None) == ["20 % labels", "contrast"]
    assert sum(run["seed"] is not None for run in runs) == 5
    splits = [(output / name / "datalist.json").read_text() for name in cells]
    assert len(set(splits)) == 1, "seeds and methods share the split"
    assert "20 % labels" in (output / "tables.md").read_text()
    again = compare(path, tmp_path / "data", output)
    assert again.returncode == 0 and again.stdout.count("done before") == 2
    assert {name: file.stat().st_mtime_ns for name, file in cells.items()} == made


def test_a_missing_plan_is_told_in_one_line(tmp_path):
    missing = compare(tmp_path / "no.yaml", tmp_path, tmp_path / "out")
    assert missing.returncode == 1 and missing.stderr.startswith("error:") and "no.yaml" in missing.stderr


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    spec = importlib.util.spec_from_file_location("compare_pretraining", ROOT / "scripts" / "compare_pretraining.py")
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "compare_pretraining", script)
    spec.loader.exec_module(script)
    return script


METHOD = {"config": "configs/train.yaml"}
TARGET = {"dataset_dir": "{data}/phantom"}


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ({"methods": {"a": METHOD}}, "no 'targets'"),
        ({"methods": {"a": {}}, "targets": {"b": TARGET}}, "methods 'a' is {}: expected at least 'config'"),
        ({"methods": {"a": {**METHOD, "seeds": 3}}, "targets": {"b": TARGET}}, "seeds is 3: expected a list"),
        ({"methods": {"a": {**METHOD, "sedes": [3]}}, "targets": {"b": TARGET}}, "methods 'a': 'sedes' is not known"),
        ({"methods": {"a": {"config": None}}, "targets": {"b": TARGET}}, "no such recipe: None"),
        ({"methods": {"a": METHOD}, "targets": {"b": {**TARGET, "wehre": {}}}}, "targets 'b': 'wehre' is not known"),
        ({"methods": {"a": METHOD}, "targets": {"b": {**TARGET, "methods": ["c"]}}}, "expected some of .'a'"),
        (
            {"methods": {"a": METHOD}, "targets": {"b": TARGET}, "overrides": {"max_epoch": 1}},
            "did you mean max_epochs",
        ),
        ({"methods": {"a": METHOD}, "targets": {"b": TARGET}, "seeds": [0]}, "'seeds' is not known"),
    ],
)
def test_bad_plans_are_told_in_one_line_before_anything_is_run(script, tmp_path, monkeypatch, plan, told):
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(plan))
    monkeypatch.setattr(sys, "argv", ["compare_pretraining.py", str(path), "--output-dir", str(tmp_path / "out")])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(InputError, match=told):
        script.main()
    assert not (tmp_path / "out").exists()


def test_a_target_has_rows_and_a_column_of_its_own(script, tmp_path):
    target = {**TARGET, "label_column": "severity", "where": {"probe": "convex", "label": ["covid", "regular"]}}
    words = script._probe_command([], "lungs", target, tmp_path, "cache")
    assert words[words.index("--label-column") + 1] == "severity"
    assert [word for word in words if "=" in word] == ["probe=convex", "label=covid,regular"]


def test_the_pretext_table_is_the_mean_of_the_seeds(script, tmp_path):
    cells = [
        script.Cell(name, seed, tmp_path / f"{name}{seed}", []) for name in ("both", "contrast") for seed in (0, 1)
    ]
    assert script.pretext_table(cells) == ""
    for cell, value in zip(cells[:2], (0.4, 0.6), strict=True):
        cell.folder.mkdir()
        accuracy = {"value": value, "low": value - 0.1, "high": value + 0.1}
        order = {"accuracy": accuracy, "chance": 1 / 12, "clips": 40, "moving": 30}
        rotation = {"error": 10 * value, "of_mean": 15.0, "unit": "degrees"}
        report = {"part": "testing", "order": order, "geometry": {"rotation": rotation}}
        (cell.folder / "pretext.json").write_text(json.dumps(report))
    *_, head, _, row = script.pretext_table(cells).split("\n")
    assert head == "| method | seeds | clips | order | chance | rotation, degrees |"
    assert row == "| both | 2 | 30 moving of 40, testing | 0.50 (0.30 to 0.70) | 0.08 | 5 (15) |"
