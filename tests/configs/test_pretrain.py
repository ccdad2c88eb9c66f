# SPDX-License-Identifier: Apache-2.0
"""The recipes of order and geometry, and of all three tasks, tiny: what they write, leave out and resume."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events

from bundle.networks import load_encoder

ORDER_GEOMETRY = ("train.yaml", "pretrain_order_geometry.yaml")
JOINT = (*ORDER_GEOMETRY, "pretrain_joint.yaml")


@pytest.fixture
def tiny(tiny):
    return {**tiny, "stride_frames": [1, 2], "stride": [0.02, 0.05]}


def last_row(tiny) -> dict[str, float]:
    return json.loads((Path(tiny["output_dir"]) / "metrics.json").read_text())[-1]


@pytest.mark.parametrize("recipe", [ORDER_GEOMETRY, JOINT], ids=["order_geometry", "joint"])
def test_nothing_is_missing_from_the_recipe(recipe, workflow, tiny):
    assert workflow(*recipe, **tiny).check_properties() == []


def test_order_and_geometry_write_all_they_promise(workflow, tiny, pictures):
    workflow(*ORDER_GEOMETRY, **tiny).run()
    folder = Path(tiny["output_dir"])
    written = {path.name for path in folder.iterdir()}
    assert {"clips.png", "orders.png", "pretext.json", "probe.json", "encoder.safetensors", "curves.png"} <= written
    assert "pairs.png" not in written

    report, datalist = (json.loads((folder / name).read_text()) for name in ("pretext.json", "datalist.json"))
    order, confusion = report["order"], np.array(report["order"]["confusion"])
    assert report["part"] == "testing" and order["clips"] == 4 * len(datalist["testing"])
    assert confusion.shape == (12, 12) and confusion.sum() == order["moving"] > 0
    assert order["accuracy"]["value"] == pytest.approx(confusion.trace() / confusion.sum())
    assert order["accuracy"]["low"] <= order["accuracy"]["value"] <= order["accuracy"]["high"]
    assert order["chance"] == pytest.approx(1 / 12)
    rotation = report["geometry"]["rotation"]
    assert rotation["unit"] == "degrees" and rotation["of_mean"] == pytest.approx(15, abs=5), "half of 30 degrees"

    row = last_row(tiny)
    assert row["loss"] == pytest.approx(row["order"] + row["geometry"], rel=1e-3)
    assert row["val_order_chance"] == pytest.approx(1 / 12) and 0 < row["moving"] <= 1
    assert {"val_order", "val_geometry_shift_x", "knn", "order_accuracy"} <= row.keys()
    _, info = load_encoder(folder / "encoder.safetensors")
    assert info["trained"]["method"] == "order + geometry, parallel" and info["image_size"] == 32


COLUMNS = {"order": "val_order_moving", "geometry": "val_geometry", "contrast": "contrast_accuracy"}


@pytest.mark.parametrize(
    ("tasks", "more"),
    [
        (["order", "geometry", "contrast"], {"label_fraction": 0.0, "combination": "sequential"}),
        (["order", "contrast"], {"merge_reversal": False, "order_features": "pairwise"}),
        (["geometry"], {"geometry_input": "transformed", "anisotropic": True, "flip": 0.5, "field": 0.5}),
        (["contrast"], {}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_any_task_can_be_left_out(tasks, more, workflow, tiny):
    workflow(*JOINT, **{**tiny, "max_epochs": 1, "tasks": tasks, **more}).run()
    folder, row = Path(tiny["output_dir"]), last_row(tiny)
    assert [task for task in COLUMNS if COLUMNS[task] in row] == [task for task in COLUMNS if task in tasks]
    assert (folder / "pairs.png").exists() == ("contrast" in tasks)
    for name in ("clips.png", "pretext.json"):
        assert (folder / name).exists() == (tasks != ["contrast"])
    parts = sum(row[task] for task in tasks) + 0.2 * row.get("label", 0)
    assert row["loss"] == pytest.approx(parts, rel=1e-3)
    if "merge_reversal" in more:
        assert row["val_order_chance"] == pytest.approx(1 / 24)
    if "flip" in more:
        assert {"val_geometry_scale_x", "val_geometry_flip"} <= row.keys()


def test_no_task_is_refused(refused, tiny):
    assert "tasks: found []" in refused(*JOINT, **tiny, tasks=[])
    assert "by the name of a task" in refused(*JOINT, **tiny, task_weights=[1, 2])
    assert "stride: found 0.1" in refused(*JOINT, **{**tiny, "stride": 0.1})


def test_the_joint_recipe_resumes_exactly_with_its_learned_and_scheduled_weights(refused, workflow, tiny, tmp_path):
    tiny |= {"learn_task_weights": True, "task_weights": {"order": 1.0, "geometry": 0.5, "contrast": [0.0, 1.0]}}
    workflow(*JOINT, **tiny).run()
    broken = {**tiny, "output_dir": str(tmp_path / "broken")}
    interrupted = workflow(*JOINT, **broken)
    trainer = interrupted.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=1), lambda engine: engine.terminate())
    interrupted.run()
    torch.manual_seed(1234)
    workflow(*JOINT, **broken, resume=True).run()
    whole, resumed = (torch.load(Path(run["output_dir"]) / "last.pt", weights_only=True) for run in (tiny, broken))
    assert resumed["log"] == whole["log"]
    for part in ("network", "loss"):
        assert all(torch.equal(value, resumed[part][name]) for name, value in whole[part].items())
    assert all(value != 0 for value in whole["loss"].values()), "the weights are learned"
    rows = whole["log"]["rows"]
    assert rows[1]["weight_contrast"] < rows[2]["weight_contrast"] and rows[1]["weight_order"] != 1
    assert "task_weights" in refused(*JOINT, **{**broken, "task_weights": {}}, resume=True)


def test_the_shared_encoder_is_trained_by_every_task(workflow, tiny):
    run = workflow(*JOINT, **tiny)
    network, loss = (run.parser.get_parsed_content(name) for name in ("network", "loss"))
    loader, prepare = (
        run.parser.get_parsed_content(f"train#{name}") for name in ("dataloader", "trainer#prepare_batch")
    )
    images, targets = prepare(next(iter(loader)))
    passes = []
    network.encoder.register_forward_hook(lambda module, given, out: passes.append(len(given[0])))
    loss(network(images), targets)
    assert passes == [8 * (2 + 2 * 4)], "two views and twice four frames of each clip, in one pass"
    for name in loss.losses:
        network.zero_grad()
        loss.losses[name](network(images), targets).backward()
        assert network.encoder.conv1.weight.grad.abs().sum() > 0, name


def test_clips_too_short_are_shortened_or_left_out_and_counted(refused, workflow, tiny, phantom, tmp_path, caplog):
    from bundle.data import make_phantom

    clips = tmp_path / "clips"
    clips.mkdir()
    short = make_phantom(tmp_path / "short", patients_per_class=1, clips_per_patient=1, n_frames=3)
    for number, path in enumerate([*sorted(phantom.rglob("*.dcm"))[:8], *sorted(short.rglob("*.dcm"))[:2]]):
        shutil.copy(path, clips / f"{number}.dcm")
    tiny |= {"dataset_dir": str(clips), "batch_size": 4, "max_epochs": 1, "allow_leakage": True}
    caplog.set_level("INFO")
    run = workflow(*ORDER_GEOMETRY, **{**tiny, "stride": [5.0, 6.0]})
    kept = run.parser.get_parsed_content("clips")
    assert sum(map(len, kept.parts.values())) == 8
    assert "8 of 8 cines are sampled at a smaller stride than asked, 2 are left out as too short" in caplog.text
    assert "none of" in refused(*ORDER_GEOMETRY, **{**tiny, "stride": [5.0, 6.0], "shorten": False})


def test_command_line(command_line, tiny, tmp_path):
    done = command_line(JOINT, tmp_path, **{**tiny, "max_epochs": 1, "output_dir": "out"})
    assert done.returncode == 0, done.stderr
    assert "order of" in done.stderr and "geometry of testing clips" in done.stderr
    assert (tmp_path / "out" / "encoder.safetensors").exists()
