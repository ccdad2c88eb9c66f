# SPDX-License-Identifier: Apache-2.0
"""The evaluation of a task: which cells there are, what is run again, what is refused; once for real at tiny size."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from bundle.data import make_phantom
from bundle.errors import InputError
from bundle.networks import Encoder, save_encoder

ROOT = Path(__file__).parents[2]
PLANS = sorted(path for path in (ROOT / "configs" / "plans").glob("*.yaml") if "encoders:" in path.read_text())


@pytest.fixture
def evaluate(tmp_path, monkeypatch):
    """``evaluate(plan, *options)``: the program in this process, below ``tmp_path``."""
    import evaluate_task

    def run(plan, *options):
        path = tmp_path / "plan.yaml"
        path.write_text(plan if isinstance(plan, str) else yaml.safe_dump(plan, sort_keys=False))
        given = [
            "--output-dir",
            tmp_path / "out",
            "--data-root",
            tmp_path / "data",
            "--encoders",
            tmp_path / "encoders",
        ]
        given += ["--cache-dir", tmp_path / "cache", *options]
        monkeypatch.setattr(sys, "argv", ["evaluate_task.py", str(path), *map(str, given)])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        evaluate_task.main()
        return tmp_path / "out"

    return run


@pytest.fixture
def steps(monkeypatch):
    """Runs are only written down, as their settings by name; each leaves predictions, the joint encoder's are right."""
    import cells

    done = []

    def step(command, **_):
        given = dict(zip((word.removeprefix("--") for word in command[3::2]), command[4::2], strict=True))
        folder = Path(given["output_dir"])
        if folder.name in step.failing:
            raise InputError("a step failed")
        done.append({**given, "name": folder.name})
        folder.mkdir(exist_ok=True)
        fold = int(given.get("fold", 0))
        random = np.random.default_rng([int(given["seed"]), fold])
        items = []
        for patient in range(4):
            label = patient % 2
            right = "joint" in folder.name or random.random() < 0.5
            ids = {"video_id": f"v{fold}{patient}", "patient_id": f"p{fold}{patient}", "label": label}
            items.append({**ids, "frame": 0, "probabilities": [0.2, 0.8] if right == bool(label) else [0.8, 0.2]})
        content = {"task": "classification", "protocol": step.protocol, "data": "lung", "class_names": ["no", "yes"]}
        (folder / "predictions.json").write_text(json.dumps({**content, "items": items, "clips": items}))

    step.failing, step.protocol, step.done = set(), "patient", done
    monkeypatch.setattr(cells, "run_step", step)
    return step


def plan_of(tmp_path, **changes):
    for name in ("joint", "other"):
        (tmp_path / "encoders" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "encoders" / name / "encoder.safetensors").write_bytes(name.encode())
    plan = {
        "config": "configs/finetune.yaml",
        "overrides": {"max_epochs": 3, "dataset_dir": "{data}/lung"},
        "encoders": {"random": None, "joint": "{encoders}/joint"},
        "folds": [0, 1],
        "seeds": [0, 1],
    }
    return {**plan, **changes}


def test_every_cell_is_run_once(evaluate, steps, tmp_path):
    output = evaluate(plan_of(tmp_path))
    names = [f"{name}_fold{fold}_seed{seed}" for name in ("random", "joint") for seed in (0, 1) for fold in (0, 1)]
    assert [one["name"] for one in steps.done] == names
    first, last = steps.done[0], steps.done[-1]
    assert first["dataset_dir"] == str(tmp_path / "data" / "lung") and first["max_epochs"] == "3"
    assert "encoder_file" not in first and "labelled_patients" not in first and first["resume"] == "False"
    assert (last["fold"], last["seed"]) == ("1", "1")
    assert last["encoder_file"] == str(tmp_path / "encoders" / "joint" / "encoder.safetensors")
    results = json.loads((output / "results.json").read_text())
    assert [row["figures"]["per_clip"]["items"] for row in results["rows"]] == [8, 8], "folds are pooled"
    assert results["rows"][1]["figures"]["per_clip"]["balanced_accuracy"] == 1
    assert {(one["first"], one["second"]) for one in results["differences"]} == {("joint", "random")}
    evaluate(plan_of(tmp_path, seeds=[0, 1, 2]))
    assert {one["seed"] for one in steps.done[len(names) :]} == {"2"}, "what is done is not done again"


def test_what_was_interrupted_goes_on(evaluate, steps, tmp_path):
    steps.failing.add("joint_fold0_seed0")
    with pytest.raises(InputError, match="joint_fold0_seed0: see .*log why"):
        evaluate(plan_of(tmp_path, seeds=[0]))
    before = [one["name"] for one in steps.done]
    assert before == ["random_fold0_seed0", "random_fold1_seed0"]
    steps.failing.clear()
    (tmp_path / "out" / "joint_fold0_seed0").mkdir()
    (tmp_path / "out" / "joint_fold0_seed0" / "last.pt").touch()
    evaluate(plan_of(tmp_path, seeds=[0]))
    assert [one["name"] for one in steps.done[2:]] == ["joint_fold0_seed0", "joint_fold1_seed0"]
    assert [one["resume"] for one in steps.done[2:]] == ["True", "False"]


def test_a_run_cut_after_its_result_is_not_taken_for_done(evaluate, steps, tmp_path):
    evaluate(plan_of(tmp_path, seeds=[0]))
    note = tmp_path / "out" / "joint_fold0_seed0.json"
    assert json.loads(note.read_text())["done"] is True
    note.write_text(note.read_text().replace('"done": true', '"done": false'))
    evaluate(plan_of(tmp_path, seeds=[0]))
    assert [one["name"] for one in steps.done[4:]] == ["joint_fold0_seed0"]
    assert json.loads(note.read_text())["done"] is True


def test_another_version_of_the_recipe_is_refused_and_another_cache_is_not(evaluate, steps, tmp_path, monkeypatch):
    import cells

    evaluate(plan_of(tmp_path, seeds=[0]))
    evaluate(plan_of(tmp_path, seeds=[0]), "--cache-dir", tmp_path / "elsewhere")
    assert len(steps.done) == 4
    monkeypatch.setattr(cells, "sha256_of", lambda path: "changed")
    with pytest.raises(InputError, match="another version of its recipe"):
        evaluate(plan_of(tmp_path, seeds=[0]))


def test_other_settings_are_refused_before_anything_is_run(evaluate, steps, tmp_path):
    evaluate(plan_of(tmp_path, seeds=[0]))
    with pytest.raises(InputError, match="was run with other settings"):
        evaluate(plan_of(tmp_path, overrides={"max_epochs": 4}))
    plan = plan_of(tmp_path)
    (tmp_path / "encoders" / "joint" / "encoder.safetensors").write_bytes(b"trained anew")
    with pytest.raises(InputError, match="joint_fold0_seed0 was run with other settings"):
        evaluate(plan)
    assert len(steps.done) == 4


def test_labelled_patients_make_a_curve(evaluate, steps, tmp_path):
    output = evaluate(plan_of(tmp_path, labelled_patients=[1, 0.5, "all"], folds=[0]))
    assert [one.get("labelled_patients") for one in steps.done] == ["1"] * 4 + ["0.5"] * 4 + [None] * 4
    assert steps.done[0]["name"] == "random_1_patients_fold0_seed0"
    assert (output / "pictures" / "label_efficiency.png").exists()
    rows = [line.split(" | ")[:2] for line in (output / "table.md").read_text().splitlines() if line[:8] == "| random"]
    assert [row[1] for row in rows[:3]] == ["1", "50 %", "all"]


def test_an_encoder_a_seed_and_some_of_the_encoders(evaluate, steps, tmp_path):
    of_seeds = {"random": None, "joint": "{encoders}/joint{seed}", "two": ["{encoders}/joint", "{encoders}/other"]}
    for seed in (0, 1):
        (tmp_path / "encoders" / f"joint{seed}").mkdir(parents=True)
        (tmp_path / "encoders" / f"joint{seed}" / "encoder.safetensors").write_bytes(b"%d" % seed)
    plan = plan_of(tmp_path, encoders=of_seeds, folds=[0], compare=[["two", "joint"]])
    output = evaluate(plan, "--only", "joint", "two")
    files = [Path(one["encoder_file"]).parent.name for one in steps.done]
    assert files == ["joint0", "joint1", "joint", "other"]
    results = json.loads((output / "results.json").read_text())
    assert {(one["first"], one["second"]) for one in results["differences"]} == {("two", "joint")}


def test_the_protocol_is_that_of_the_recipe(evaluate, steps, tmp_path):
    recipe = ["configs/finetune.yaml", "configs/legacy_uscl.yaml"]
    for changes in ({"config": recipe}, {"protocol": "legacy-uscl"}):
        with pytest.raises(InputError, match="protocol is '.*', that of the recipe '.*'"):
            evaluate(plan_of(tmp_path, **changes))
    assert not steps.done
    steps.protocol = "legacy-uscl"
    output = evaluate(plan_of(tmp_path, config=recipe, protocol="legacy-uscl"))
    assert (output / "legacy-uscl_results.json").exists() and not (output / "results.json").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"config": "configs/no.yaml"}, "no such recipe: configs/no.yaml"),
        ({"config": None}, "no 'config'"),
        ({"encoder": {}}, "'encoder' is not known"),
        ({"encoders": {}}, "no 'encoders'"),
        ({"encoders": {"joint": "{encoders}/nobody"}}, "nobody is not there"),
        ({"encoders": {"joint": ["{encoders}/joint"]}}, "expected null for random weights, a file, or one a seed"),
        ({"encoders": {"a b": None, "a-b": None}}, "two cells of the plan get this folder"),
        ({"folds": 5}, "folds is 5"),
        ({"seeds": 3}, "seeds is 3"),
        ({"protocol": "uscl"}, "protocol is 'uscl'"),
        ({"compare": [["joint", "moco"]]}, r"compare is \[\['joint', 'moco'\]\]: expected a list of pairs of"),
        ({"compare": [["joint"]]}, "compare is .*: expected a list of pairs"),
        ({"compare": 5}, "compare is 5: expected a list of pairs"),
        ({"baselines": "random"}, "baselines is 'random': expected a list of some of"),
        ({"baselines": ["rnd"]}, r"baselines is \['rnd'\]"),
        ({"overrides": ["max_epochs"]}, "overrides is .*: expected settings of the recipe by name"),
        ({"overrides": {"max_epoch": 3}}, "overrides: found no 'max_epoch' in .*did you mean max_epochs"),
        ({"overrides": {"tran::trainer::max_epochs": 3}}, "overrides: found no 'tran' in "),
        ({"overrides": {"train::traner::max_epochs": 3}}, "found no 'train::traner' in .*did you mean train::trainer"),
        ({"overrides": {"seed": 3}}, "overrides: 'seed' is set by seeds"),
        ({"overrides": {"protocol": "patient"}}, "overrides: 'protocol' is set by protocol"),
        ({"labelled_patients": ["few"]}, "labelled_patients is .*: expected a list of whole numbers, shares"),
        ({"labelled_patients": [1.5]}, "labelled_patients is"),
        ({"seeds": [-1]}, "seeds is .*: expected a list of whole numbers from 0"),
        ({"encoders": {1: None}}, "encoders: 1 is no name"),
    ],
)
def test_bad_plans_are_told_in_one_line_and_nothing_is_run(evaluate, steps, tmp_path, changes, told):
    with pytest.raises(InputError, match=told):
        evaluate(plan_of(tmp_path, **changes))
    assert not steps.done


def test_no_runs_at_a_time_are_refused(evaluate, steps, tmp_path):
    with pytest.raises(InputError, match="--jobs: found 0, expected 1 or more"):
        evaluate(plan_of(tmp_path), "--jobs", "0")


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_the_plans_are_whole(path):
    from task_plan import read_task_plan

    plan, _ = read_task_plan(path, {"data": "data", "encoders": "runs"})
    assert plan["encoders"]["random"] is None and plan["baselines"] == ["random"]


def test_a_tiny_task_for_real(evaluate, tmp_path, capsys, monkeypatch):
    make_phantom(tmp_path / "data" / "phantom", patients_per_class=3, clips_per_patient=1, n_frames=3)
    torch.manual_seed(1)
    normalisation = {"mean": 0.4, "std": 0.2}
    save_encoder(
        Encoder("resnet18"), tmp_path / "encoders" / "joint", normalisation=normalisation, image_size=32, trained={}
    )
    plan = {
        "title": "Tiny",
        "config": "configs/finetune.yaml",
        "overrides": {"dataset_dir": "{data}/phantom", "image_size": 32, "max_epochs": 1, "frames_per_clip": 1},
        "encoders": {"random": None, "joint": "{encoders}/joint"},
    }
    with monkeypatch.context() as kept:
        kept.setattr("cells._drop_checkpoint", lambda cell: None)
        output = evaluate(plan, "--jobs", "2")
    assert "SIMULATED" in capsys.readouterr().out
    results = json.loads((output / "results.json").read_text())
    assert [row["encoder"] for row in results["rows"]] == ["random", "joint"] and results["simulated"]
    assert results["tested"]["clips"] == 5 and results["tested"]["patients"] == 5
    page = (output / "report.html").read_text()
    for heading in ("Summary", "Classes", "ROC", "Calibration", "Training", "Embedding map", "Examples", "Commands"):
        assert f">{heading}</h2>" in page
    predictions = output / "joint_seed0" / "predictions.json"
    before = json.loads(predictions.read_text())
    made = (output / "random_seed0" / "predictions.json").stat().st_mtime_ns
    predictions.unlink()  # as where a run was stopped just before its test
    monkeypatch.setattr("evaluate_task.TaskReport.write", lambda report: None)
    evaluate(plan)
    assert "random_seed0: done before" in capsys.readouterr().out
    assert json.loads(predictions.read_text())["items"] == before["items"]
    assert (output / "random_seed0" / "predictions.json").stat().st_mtime_ns == made
    assert (output / "joint_seed0" / "model.pt").exists() and not (output / "joint_seed0" / "last.pt").exists()
