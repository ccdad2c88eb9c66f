# SPDX-License-Identifier: Apache-2.0
"""The leakage gate inside the recipe: it stops before anything of a run is written, or goes on when told to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bundle.data import datalist_content, read_training_clips, records_from_table, split_parts, write_datalist
from bundle.errors import InputError, input_error_in


@pytest.fixture
def leaking(phantom, tiny, tmp_path):
    """A training clip is in the testing part too, under another name and patient."""
    folder = tmp_path / "data"
    shutil.copytree(phantom, folder)
    parts = split_parts(records_from_table(folder / "labels.csv", dataset_name="phantom"))
    clip = parts["training"][0]
    shutil.copy(folder / clip["image"], folder / "clips" / "copy.dcm")
    parts["testing"].append({**clip, "image": "clips/copy.dcm", "video_id": "copy", "patient_id": "somebody"})
    write_datalist(tmp_path / "list.json", datalist_content(parts, name="phantom"))
    return {**tiny, "dataset_dir": str(folder), "datalist_file": str(tmp_path / "list.json"), "max_epochs": 1}, clip


def test_a_leak_stops_the_run_and_leaves_an_earlier_one_whole(workflow, leaking, tmp_path):
    overrides, clip = leaking
    folder = Path(overrides["output_dir"])
    folder.mkdir()
    for name in ("last.pt", "encoder.safetensors", "probe.json"):
        (folder / name).write_text("of before")
    with pytest.raises(Exception, match="leakage") as caught:
        workflow("train.yaml", **overrides, overwrite=True).run()
    error = str(input_error_in(caught.value))
    assert "training and testing share 1 content (" in error and clip["video_id"] in error and "copy" in error
    assert sorted(path.name for path in folder.iterdir()) == [
        *("encoder.safetensors", "last.pt", "leakage.json", "leakage.png", "probe.json")
    ]
    assert (folder / "last.pt").read_text() == "of before"


def test_a_run_that_may_leak_says_so_and_keeps_the_picture(workflow, leaking, caplog):
    overrides, clip = leaking
    workflow("train.yaml", **overrides, allow_leakage=True).run()
    folder = Path(overrides["output_dir"])
    assert "leakage, as allowed: training and testing share 1 content" in caplog.text
    assert (folder / "leakage.png").exists() and json.loads((folder / "leakage.json").read_text())[0][
        "kind"
    ] == "content"
    trained = json.loads((folder / "encoder.json").read_text())["trained"]
    clips = read_training_clips(folder / "encoder.safetensors", trained)
    datalist = json.loads((folder / "datalist.json").read_text())
    expected = [record["video_id"] for part in ("training", "validation") for record in datalist[part]]
    assert clips is not None and [one.video_id for one in clips] == expected and trained["n_clips"] == len(expected)


def test_a_patient_in_two_parts_is_for_the_gate_when_allowed(workflow, leaking, tmp_path):
    overrides, clip = leaking
    content = json.loads(Path(overrides["datalist_file"]).read_text())
    content["testing"][-1].update(patient_id=clip["patient_id"])
    Path(overrides["datalist_file"]).write_text(json.dumps(content))
    with pytest.raises(Exception) as caught:
        workflow("train.yaml", **overrides).run()
    assert isinstance(input_error_in(caught.value), InputError) and clip["patient_id"] in str(
        input_error_in(caught.value)
    )
    made = workflow("train.yaml", **overrides, allow_leakage=True)
    leaks = made.parser.get_parsed_content("leaks")
    assert {leak.kind for leak in leaks} == {"patient", "content"}
