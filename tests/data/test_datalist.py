# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundle.data import check_disjoint, datalist_content, load_datalist, open_datalist, write_datalist
from bundle.errors import InputError
from bundle.keys import UNLABELLED


def dataset(folder: Path, n_patients: int = 12, labels: bool = True, table: bool = True) -> Path:
    """A data folder of empty files, two clips a patient."""
    folder.mkdir()
    lines = ["file,patient_id,label"]
    for patient in range(n_patients):
        for clip in range(2):
            (folder / f"{patient}_{clip}.mp4").write_bytes(b"0")
            lines.append(f"{patient}_{clip}.mp4,{patient},{('sick', 'healthy')[patient % 2] if labels else ''}")
    if table:
        (folder / "labels.csv").write_text("\n".join(lines))
    return folder


def item(name: str, **more: Any) -> dict[str, Any]:
    return {"image": f"{name}.mp4", "video_id": f"d/{name}", "patient_id": f"d/{name}", **more}


def write(path: Path, **content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_a_table_becomes_a_datalist(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d")
    out = tmp_path / "run" / "datalist.json"
    opened = open_datalist(folder, seed=4)
    write_datalist(out, opened.content)
    assert opened.labels == ["healthy", "sick"] and opened.name == "d"
    assert sum(map(len, opened.parts.values())) == 24 and all(opened.parts.values())
    check_disjoint(opened.parts)
    for record in opened.training:
        assert record["image"] == str(folder / Path(record["image"]).name)
        assert record["label"] == opened.labels.index(record["label_name"])
    # the kept file holds the same, with no machine's paths in it
    assert str(tmp_path) not in out.read_text()
    assert json.loads(out.read_text())["seed"] == 4
    assert load_datalist(out, folder) == opened
    assert open_datalist(folder, out) == opened


def test_the_kept_datalist_is_never_replaced(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d")
    out = tmp_path / "datalist.json"
    write_datalist(out, open_datalist(folder).content)
    before = out.read_bytes()
    write_datalist(out, open_datalist(folder).content)
    with pytest.raises(InputError, match="other content"):
        write_datalist(out, open_datalist(folder, seed=1).content)
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "datalist.json"]
    content = datalist_content({"training": [item("a")]}, name="d")
    write_datalist(out, content, overwrite=True)
    assert json.loads(out.read_text()) == content


def test_which_source_counts(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d")
    explicit = write(tmp_path / "mine.json", labels=["sick"], training=[item("0_0", label="sick")])
    own = write(folder / "datalist.json", labels=["sick"], training=[item("0_0"), item("1_0")])
    assert len(open_datalist(folder, explicit).training) == 1
    assert len(open_datalist(folder).training) == 2
    own.unlink()
    assert open_datalist(folder).labels == ["healthy", "sick"]
    (folder / "labels.csv").unlink()
    assert open_datalist(folder).labels == []


def test_unlabelled_folders(tmp_path: Path) -> None:
    many = open_datalist(dataset(tmp_path / "many", n_patients=5, table=False))
    assert (len(many.training), len(many.validation), len(many.testing)) == (9, 1, 0)
    few = open_datalist(dataset(tmp_path / "few", n_patients=4, table=False))
    assert (len(few.training), len(few.validation), len(few.testing)) == (8, 0, 0)
    assert {record["label"] for record in few.training} == {UNLABELLED}
    blank = open_datalist(dataset(tmp_path / "blank", labels=False))
    assert blank.testing == [] and blank.validation and blank.labels == []


def test_label_column_and_fractions(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d")
    assert open_datalist(folder, label_column=None).labels == []
    with pytest.raises(InputError, match="no column 'class'"):
        open_datalist(folder, label_column="class")
    opened = open_datalist(folder, fractions={"training": 0.5, "testing": 0.5})
    assert len(opened.training) == len(opened.testing) == 12 and opened.validation == []


def test_class_order_is_the_files(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d")
    training = [item("0_0", label="sick"), item("1_0", label=""), item("2_0")]
    path = write(tmp_path / "x.json", labels=["sick", "healthy"], training=training)
    opened = load_datalist(path, folder)
    assert opened.labels == ["sick", "healthy"]
    assert [record["label"] for record in opened.training] == [0, UNLABELLED, UNLABELLED]
    assert [record.get("label_name") for record in opened.training] == ["sick", None, None]
    parts = {"training": [item("0_0", label="sick"), item("1_0", label="healthy"), item("2_0", label="dead")]}
    assert datalist_content(parts, name="d")["labels"] == ["dead", "healthy", "sick"]
    # classes that do not occur have no number
    classes = ["sick", "unwell", "healthy"]
    assert datalist_content(parts, name="d", classes=classes)["labels"] == ["sick", "healthy", "dead"]
    del training[1]
    assert load_datalist(write(path, training=training), folder).labels == ["sick"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labels": []}, "no list of records"),
        ([], "no list of records"),
        ({"training": []}, "no records"),
        ({"training": {"0_0.mp4": "sick"}}, "'training' is {'0_0.mp4': 'sick'}: expected a list of records"),
        ({"training": [item("0_0")], "testing": 5}, "'testing' is 5: expected a list of records"),
        ({"training": [{**item("0_0"), "video_id": 7}]}, "training item 0: 'video_id' is missing or not text"),
        ({"training": ["0_0.mp4"]}, "training item 0: str '0_0.mp4'"),
        ({"testing": [item("0_0"), {"image": "1_0.mp4", "video_id": "v"}]}, "testing item 1: 'patient_id' is missing"),
        ({"training": [{**item("0_0"), "image": ""}]}, "'image' is missing or not text"),
        ({"training": [{**item("0_0"), "image": "/0_0.mp4"}]}, "is absolute"),
        ({"training": [item("0_0", label=1)]}, "label 1: expected a class name"),
        ({"labels": ["a"], "training": [item("0_0", label="b")]}, "unknown label 'b': expected one of: a"),
        ({"labels": {"0": "a"}, "training": [item("0_0", label="a")]}, "expected a list of class names"),
        ({"labels": ["a", "a"], "training": [item("0_0", label="a")]}, "expected each class once"),
        ({"training": [item("0_0"), {**item("0_1"), "image": "./0_0.mp4"}]}, "0_0.mp4 is listed twice"),
        ({"training": [item("gone"), item("gone2")]}, "gone.mp4 and 1 more not found"),
        ({"training": [item("0_0")], "testing": [{**item("1_0"), "patient_id": "d/0_0"}]}, "share 1 patient (d/0_0)"),
        ({"training": [item("0_0")], "validation": [{**item("1_0"), "video_id": "d/0_0"}]}, "share 1 video (d/0_0)"),
    ],
)
def test_bad_datalists_are_named(tmp_path: Path, content: Any, message: str) -> None:
    folder = dataset(tmp_path / "d")
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        load_datalist(path, folder)
    assert str(error.value).startswith(str(path)) and message in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothere: no such folder"):
        open_datalist(tmp_path / "nothere")
    folder = dataset(tmp_path / "d")
    with pytest.raises(InputError, match="mine.json: cannot be read"):
        open_datalist(folder, tmp_path / "mine.json")
    (tmp_path / "mine.json").write_text("{")
    with pytest.raises(InputError, match="mine.json: not JSON"):
        open_datalist(folder, tmp_path / "mine.json")
    with pytest.raises(InputError, match="mine.json: is a file, expected a folder"):
        write_datalist(tmp_path / "mine.json" / "x.json", {})


def test_a_datalist_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d")
    path = tmp_path / "mine.json"
    content = open_datalist(folder).content
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    assert open_datalist(folder, path).content == content
