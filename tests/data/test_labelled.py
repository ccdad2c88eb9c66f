# SPDX-License-Identifier: Apache-2.0
"""Folds, few patients, class lists and class weights."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle.data import (
    LABEL_SETS,
    Datalist,
    by_fold,
    check_disjoint,
    class_weights,
    few_patients,
    fold_parts,
    keep_labelled,
    open_datalist,
    single_frames,
)
from bundle.errors import InputError
from bundle.keys import UNLABELLED


def records(n_patients: int = 20, classes: int = 2, folds: int | None = None) -> list[dict[str, Any]]:
    """Two clips a patient, the classes in turn, folds dealt out so that each has all classes."""
    made = []
    for patient in range(n_patients):
        for clip in range(2):
            record = {"image": f"{patient}_{clip}", "video_id": f"{patient}_{clip}", "patient_id": f"p{patient}"}
            record["label"] = patient % classes
            if folds:
                record["fold"] = patient // classes % folds
            made.append(record)
    return made


@pytest.mark.parametrize("folds", [None, 4])
def test_the_parts_of_a_fold(folds):
    made = records(folds=folds)
    tested = []
    for fold in range(folds or 5):
        parts = fold_parts(made, fold, seed=3)
        check_disjoint(parts)
        assert sum(map(len, parts.values())) == len(made) and len(parts["validation"]) >= 4
        for part in parts.values():
            assert {record["label"] for record in part} == {0, 1}
        tested += [record["image"] for record in parts["testing"]]
        if folds:
            assert {record["fold"] for record in parts["testing"]} == {fold}
            assert fold_parts(made, str(fold), seed=3) == parts
    assert sorted(tested) == sorted(record["image"] for record in made)


def test_folds_that_cannot_be_used(caplog):
    made = records(folds=4)
    with pytest.raises(InputError, match="fold 7: there is none, found 0, 1, 2, 3"):
        fold_parts(made, 7)
    caplog.set_level(logging.INFO)
    del made[0]["fold"], made[1]["fold"]
    assert sum(map(len, fold_parts(made, 0).values())) == len(made) - 2
    assert "2 of 40 items have no fold" in caplog.text


def test_one_fold_leaves_nothing_to_train_with():
    with pytest.raises(InputError, match="fold 0: all items are in it, expected others to train with"):
        fold_parts([{**record, "fold": 0} for record in records(6)], 0)


def test_few_patients_of_each_class():
    made = records(18, 3)
    made[0]["label"] = 2  # patient p0 has two classes
    before: set[str] = set()
    for number in (1, 2, 4, 100):
        few = few_patients(made, number, seed=1)
        patients = {record["patient_id"] for record in few}
        assert before <= patients, "more patients are the fewer ones and others"
        of_class = Counter(label for _, label in {(record["patient_id"], record["label"]) for record in few})
        assert all(count >= min(number, 6) for count in of_class.values()) and len(patients) <= 3 * number
        assert all(record in few for record in made if record["patient_id"] in patients)
        before = patients
    assert before == {f"p{i}" for i in range(18)}
    assert len({record["patient_id"] for record in few_patients(records(20), 0.5)}) == 10
    assert few_patients(made, 1, seed=1) != few_patients(made, 1, seed=2)
    partly = [{**record, "label": UNLABELLED} if record["label"] == 2 else record for record in records(18, 3)]
    for some, count in ((partly, 3), ([{**one, "label": UNLABELLED} for one in made], 1)):
        assert len({record["patient_id"] for record in few_patients(some, 1)}) == count
    for number in (0, -1, 1.5, "all", True):
        with pytest.raises(InputError, match="labelled_patients"):
            few_patients(made, number)


def datalist(training: list, validation: list = (), testing: list = (), labels: str = "ab") -> Datalist:
    return Datalist("mine", list(labels), list(training), list(validation), list(testing))


def test_only_labelled_clips_stay(caplog):
    made = records(6)
    made[3]["label"] = -1
    caplog.set_level(logging.INFO)
    kept = keep_labelled(datalist(made, made[:2], labels="ab"))
    assert len(kept.training) == 11 and "1 of 14 clips have no label" in caplog.text
    assert "the validation part has no clip of b" in caplog.text and "testing part" not in caplog.text
    assert len(keep_labelled(datalist(made), 1).training) == 4


def test_two_files_of_one_video_are_refused():
    made = records(6)
    made[5]["video_id"] = made[0]["video_id"]
    with pytest.raises(InputError, match="mine: found 0_0 and 2_1 with the video_id 0_0, expected one file a video"):
        keep_labelled(datalist(made[:3], made[3:]))


def test_a_class_that_cannot_be_learned_is_named():
    made = records(6, 3)
    two = [record for record in made if record["label"] != 1]
    with pytest.raises(InputError, match="no training clip of b, of which the testing part has some"):
        keep_labelled(datalist(two, [], made, "abc"))
    with pytest.raises(InputError, match="found training clips of the classes: a; expected two"):
        keep_labelled(datalist([record for record in made if record["label"] == 0], labels="abc"))


def test_weights_of_classes():
    made = [{"label": label} for label in [0] * 6 + [1] * 2 + [3] * 4]
    balanced = class_weights(made, 4, "balanced")
    assert balanced is not None and balanced.tolist() == pytest.approx([12 / 18, 2, 0, 1])
    assert sum(balanced[record["label"]] for record in made) == pytest.approx(12), "the same in all as without"
    assert class_weights(made, 4, None) is None and class_weights(made, 4, [1, 2, 3, 4]).tolist() == [1, 2, 3, 4]
    for wrong in ("inverse", [1, 2], [1, 2, 3, -1]):
        with pytest.raises(InputError, match="class_weights: found"):
            class_weights(made, 4, wrong)


def test_one_record_a_frame():
    class Cache:
        def frames(self, record: dict[str, Any]) -> np.ndarray:
            return np.zeros((1, record["length"], 2, 2), np.uint8)

    made = single_frames([{"length": 9}, {"length": 3}], Cache(), 4)  # type: ignore[arg-type]
    assert [record["draw"] for record in made] == [(k, 4) for k in range(4)] + [(k, 3) for k in range(3)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten stills of ten patients of a table with two kinds of label."""
    rows = []
    for i in range(10):
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / f"{i}.png")
        rows.append({"file": f"{i}.png", "patient_id": str(i), "label": "yes" if i % 2 else "no", "probe": "ab"[i > 3]})
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return tmp_path


def test_rows_classes_and_folds_of_a_table(folder):
    opened = open_datalist(folder, where={"probe": "b"}, classes=["yes", "no", "perhaps"], fold=1)
    assert opened.labels == ["yes", "no", "perhaps"] and opened.content["labels"] == opened.labels
    everything = [record for part in opened.parts.values() for record in part]
    assert len(everything) == 6 and {record["probe"] for record in everything} == {"b"}
    assert all(record["label"] == ["yes", "no"].index(record["label_name"]) for record in everything)
    assert {record["fold"] for record in opened.testing} == {1}
    with pytest.raises(InputError, match="unknown label 'yes': expected one of: no"):
        open_datalist(folder, classes=["no"])
    with pytest.raises(InputError, match="class_names: found 'plane', expected a list of names or a known set"):
        open_datalist(folder, classes="plane")
    with pytest.raises(InputError, match=r"labels.csv: fold 9: there is none, found 0, 1, 2, 3, 4"):
        open_datalist(folder, fold=9)
    with pytest.raises(InputError, match="leave out parts"):
        open_datalist(folder, fold=0, fractions={"training": 1.0})
    rows = (folder / "labels.csv").read_text().splitlines()
    folds = ["fold", *(str(i % 3) for i in range(10))]
    (folder / "labels.csv").write_text("\n".join(f"{row},{fold}" for row, fold in zip(rows, folds, strict=True)))
    assert {record["fold"] for record in open_datalist(folder, fold=2).testing} == {2}
    (folder / "labels.csv").write_text((folder / "labels.csv").read_text().replace("1.png,1", "1.png,3"))
    with pytest.raises(InputError, match="share 1 patient"):
        open_datalist(folder, fold=0)  # patient 3 is in folds 0 and 1
    with pytest.raises(InputError, match="no column 'device'"):
        open_datalist(folder, where={"device": "b"})


def test_the_planes_and_what_others_call_them(ultrasound_data):
    planes = LABEL_SETS["planes"]
    assert len(planes.classes) == 14 == len(set(planes.classes)) and set(planes.other_names.values()) < set(
        planes.classes
    )
    sononet = ["3VV", "4CH", "ABDOMINAL", "Brain (Cb.)", "BRAIN-TV", "Femur", "Spine (sag.)", "SPINE-CORONAL"]
    assert {planes.name_of(name) for name in sononet} < set(planes.classes)
    assert planes.name_of("Trans-cerebellum") == "brain_transcerebellar"
    for other in ("Fetal thorax", "Trans-thalamic", "Maternal cervix", "Other"):
        assert planes.name_of(other) == other, "no class of the 14 is meant by this"
    opened = open_datalist(ultrasound_data / "fetal_planes_sononet", classes="planes", fractions={"training": 1.0})
    found = {planes.classes[record["label"]]: Path(record["image"]).stem for record in opened.training}
    assert len(found) == 13 and set(planes.classes) - set(found) == {"background"}
    assert found["three_vessel_trachea"] == "3VV" and found["brain_transcerebellar"] == "BRAIN-CB"


def test_folds_of_a_real_table(ultrasound_data):
    for fold in range(5):
        opened = open_datalist(ultrasound_data / "pocus_lung", where={"probe": "convex"}, fold=fold)
        assert opened.labels == ["covid", "pneumonia", "regular"]
        assert sum(map(len, opened.parts.values())) == 87
        assert all({record["label"] for record in part} == {0, 1, 2} for part in opened.parts.values())
        assert set(by_fold(opened.testing)) == {f"fold {fold}"}
