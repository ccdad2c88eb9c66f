# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from bundle.errors import InputError
from bundle.reports import pool_folds, read_predictions
from bundle.reports.predictions import aligned


def test_a_file_is_read_with_its_fold(tmp_path, made):
    run = made()
    path = tmp_path / "predictions.json"
    content = {"task": run.task, "protocol": run.protocol, "data": "mine", "simulated": True, "class_names": []}
    path.write_text(json.dumps({**content, "part": "testing", "items": run.items, "clips": run.clips}))
    read = read_predictions(path, "3")
    assert read.items == run.items and read.clips == run.clips and set(read.folds.values()) == {"3"}
    assert read.simulated and not run.simulated and read.about["part"] == "testing"
    for data in ("phantom", "mine"):  # as runs wrote it that did not say
        path.write_text(json.dumps({"task": "t", "protocol": "patient", "data": data, "items": []}))
        assert read_predictions(path).simulated == (data == "phantom")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not JSON"),
        ('{"task": "classification", "items": []}', "'protocol'"),
        ('{"task": "t", "protocol": "p", "items": [{"video_id": "a", "frame": 0}]}', "item 0: no 'patient_id'"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, text, told):
    path = tmp_path / "predictions.json"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_predictions(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_predictions(tmp_path / "no.json")


def test_folds_are_pooled_and_must_not_share_a_clip(made):
    parts = {"fold0": made(fold="0", patients=range(6)), "fold1": made(fold="1", patients=range(6, 12))}
    whole = pool_folds(parts)
    assert len(whole.items) == 72 and len(whole.clips) == 24
    assert whole.folds["lung/5_1"] == "0" and whole.folds["lung/6_0"] == "1"
    with pytest.raises(InputError, match="lung/6_0 was tested in fold1 and in twice"):
        pool_folds({**parts, "twice": made(patients=range(6, 7))})
    with pytest.raises(InputError, match="other: protocol 'legacy-uscl', but 'patient' in fold0"):
        pool_folds({**parts, "other": made(patients=range(12, 15), protocol="legacy-uscl")})


def test_items_are_put_in_one_order(made):
    first, second = made(seed=0), made(seed=1)
    second.items.reverse()
    one, two = aligned([first, second])
    assert [item["video_id"] for item in one] == [item["video_id"] for item in two]
    assert two[0] == second.items[-1]
    with pytest.raises(InputError, match="lung/11_0, frame 0 was tested in one only"):
        aligned([first, made(patients=range(11))])
    second.items[0]["label"] = 9
    with pytest.raises(InputError, match="two values of label"):
        aligned([first, second])
