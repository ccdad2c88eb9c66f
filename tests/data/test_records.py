# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bundle.data import by_fold, check_disjoint, records_from_table
from bundle.errors import InputError


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write a table and the files it names in its first column."""
    folder.mkdir(exist_ok=True)
    path = folder / "labels.csv"
    path.write_text(text, encoding=encoding)
    for line in text.splitlines()[1:]:
        name = line.split(",")[0].strip().strip('"')
        if name and "missing" not in name and not name.startswith("/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    return path


def test_record_of_a_row(tmp_path: Path) -> None:
    path = table(
        tmp_path / "lung", "file,label,video_id,patient_id,fold,depth\n a/x.mp4 ,covid, v1 , 7 ,3, 12.0 \ny.mp4,,,7,,\n"
    )
    first, second = records_from_table(path)
    assert first == {
        "image": "a/x.mp4",
        "label": "covid",
        "video_id": "lung/v1",
        "patient_id": "lung/7",
        "fold": 3,
        "depth": "12.0",
    }
    assert second == {"image": "y.mp4", "video_id": "lung/y.mp4", "patient_id": "lung/7", "depth": ""}


def test_spreadsheet_habits_are_read(tmp_path: Path) -> None:
    # byte order mark, blank and short rows
    path = table(tmp_path / "d", "file , label\nx.mp4,a\n,\n\ny.mp4\n", encoding="utf-8-sig")
    assert [(r["image"], r.get("label")) for r in records_from_table(path)] == [("x.mp4", "a"), ("y.mp4", None)]


def test_group_counts_before_patient(tmp_path: Path) -> None:
    path = table(tmp_path / "d", "file,label,patient_id,group_id\nx.mp4,a,1,g\ny.mp4,a,2,g\nz.mp4,a,3,\n")
    assert [r["patient_id"] for r in records_from_table(path)] == ["d/g", "d/g", "d/3"]
    assert [r["patient_id"] for r in records_from_table(path, patient_column="patient_id")] == ["d/1", "d/2", "d/3"]
    assert records_from_table(path, dataset_name="other")[0]["patient_id"] == "other/g"


def test_blank_patients_equal_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = table(tmp_path / "d", "file,label,video_id,patient_id\nx.mp4,a,,\ny.mp4,a,v,\nz.mp4,a,v,\nw.mp4,a,,1\n")
    with caplog.at_level(logging.WARNING):
        x, y, z, w = (r["patient_id"] for r in records_from_table(path))
    assert len({x, y, w}) == 3
    assert y == z  # two files of one video are of one patient, whoever that is
    assert "3 of 4 items" in caplog.text


def test_where_and_columns_of_choice(tmp_path: Path) -> None:
    path = table(tmp_path / "d", "file,label,probe,grade,cv\nx.mp4,a,c,0,4\ny.mp4,b,c,1,left\nz.mp4,a,l,1,\n")
    records = records_from_table(
        path, label_column="grade", fold_column="cv", where={"probe": "c", "label": ["a", "b"]}
    )
    assert [(r["image"], r["label"], r["fold"]) for r in records] == [("x.mp4", "0", 4), ("y.mp4", "1", "left")]
    assert all("label" not in r for r in records_from_table(path, label_column=None))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("path,label\nx.mp4,a\n", {}, "no column 'file' (found: path, label)"),
        ("file\nx.mp4\n", {"label_column": "grade"}, "no column 'grade'"),
        ("file,label\nx.mp4,a\n", {"patient_column": "who"}, "no column 'who'"),
        ("file,label\nx.mp4,a\n", {"where": {"probe": "c"}}, "no column 'probe'"),
        ("file,label\nx.mp4,a\n", {"where": {"label": "b"}}, "no rows where"),
        ("file,label\nx.mp4,a\n", {"where": {"label": 2}}, "no rows where"),
        ("file,label\nx.mp4,a\n", {"where": "a"}, "where is 'a', expected cells by column"),
        ("file,label\n", {}, "no rows"),
        ("", {}, "no column 'file' (found: none)"),
        ("file,label\nx.mp4,a\n./x.mp4,b\n", {}, "x.mp4 is in lines 2 and 3"),
        ("file,label\nmissing.mp4,a\nmissing2.mp4,a\n", {}, "missing.mp4 and 1 more not found"),
        ("file,label\n/x.mp4,a\n", {}, "absolute"),
        ("file,label\n,a\n", {}, "line 2: the cell 'file' is blank"),
        ("file,label\nx.mp4,a,b\n", {}, "3 cells under 2 columns"),
        ("file,label,label\nx.mp4,a,b\n", {}, "'label' is there twice"),
        ("file,label,video_id,patient_id\nx.mp4,a,v,1\ny.mp4,a,v,2\n", {}, "video d/v belongs to the patients"),
    ],
)
def test_bad_tables_are_named(tmp_path: Path, text: str, options: dict, message: str) -> None:
    path = table(tmp_path / "d", text)
    with pytest.raises(InputError) as error:
        records_from_table(path, **options)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_unreadable_tables_are_named(tmp_path: Path) -> None:
    path = table(tmp_path / "d", "file,label\nx.mp4,é\n", encoding="latin-1")
    with pytest.raises(InputError, match="UTF-8"):
        records_from_table(path)
    with pytest.raises(InputError, match="nothere.csv"):
        records_from_table(tmp_path / "nothere.csv")


def test_covid_blues(ultrasound_data: Path) -> None:
    records = records_from_table(ultrasound_data / "covid_blues" / "labels.csv")
    assert len(records) == 148
    assert len({r["patient_id"] for r in records}) == 26
    assert {r["label"] for r in records} == {"covid_negative", "covid_positive"}
    assert records[0]["patient_id"] == "covid_blues/1"
    check_disjoint(by_fold(records))


def test_pocus_lung_probe_set(ultrasound_data: Path) -> None:
    path = ultrasound_data / "pocus_lung" / "labels.csv"
    where = {"probe": "convex", "label": ["covid", "pneumonia", "regular"]}
    folds = by_fold(records_from_table(path, where=where))
    assert {name: len(part) for name, part in folds.items()} == {
        "fold 0": 15,
        "fold 1": 19,
        "fold 2": 19,
        "fold 3": 15,
        "fold 4": 19,
    }
    check_disjoint(folds)
    # the source's older folds are by clip and put one patient in several
    with pytest.raises(InputError, match="share"):
        check_disjoint(by_fold(records_from_table(path, fold_column="fold_2020")))


def test_breast_stills_have_no_video(ultrasound_data: Path) -> None:
    records = records_from_table(ultrasound_data / "breast_bus_uclm" / "labels.csv")
    assert len({r["video_id"] for r in records}) == len(records) == 68
    assert len({r["patient_id"] for r in records}) == 29
    assert records[0]["mask"] == "masks/ALWI_000.png"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file;label\na.mp4;sick\n", "columns separated by ';', expected commas"),
        ("file\tlabel\na.mp4\tsick\n", r"columns separated by '\\t', expected commas"),
        ('file,label\na.mp4,"sick\nb.mp4,healthy\n', "unexpected end of data"),
    ],
    ids=["semicolons", "tabs", "an open quote"],
)
def test_tables_of_another_form(tmp_path: Path, text: str, said: str) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"0")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=f"labels.csv: .*{said}"):
        records_from_table(tmp_path / "labels.csv")
