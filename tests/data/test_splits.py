# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.data import by_fold, check_disjoint, hide_labels, records_from_table, split_folds, split_parts
from bundle.errors import InputError
from bundle.keys import UNLABELLED


def made_up(seed: int, n_patients: int = 40, classes: str = "abc", blank: float = 0.1) -> list[dict[str, Any]]:
    """Records of patients with one to eight clips, some patients with several classes, some clips without a label."""
    rng = np.random.default_rng(seed)
    records = []
    for patient in range(n_patients):
        own = rng.choice(list(classes), size=rng.integers(1, 3), p=[0.6, 0.3, 0.1])
        for clip in range(rng.integers(1, 9)):
            record = {"image": f"{patient}_{clip}.mp4", "video_id": f"d/{patient}_{clip}", "patient_id": f"d/{patient}"}
            if rng.random() > blank:
                record["label"] = str(rng.choice(own))
            records.append(record)
    return records


def patients(records: list[dict[str, Any]], label: Any = None) -> set[str]:
    return {r["patient_id"] for r in records if label is None or r.get("label") == label}


def names(records: list[dict[str, Any]]) -> list[str]:
    return [r["image"] for r in records]


@pytest.mark.parametrize("seed", range(6))
def test_parts_are_disjoint_complete_and_balanced(seed: int) -> None:
    records = made_up(seed)
    parts = split_parts(records, seed=seed)
    check_disjoint(parts)
    assert sorted(names([r for part in parts.values() for r in part])) == sorted(names(records))
    shares = {"training": 0.6, "validation": 0.2, "testing": 0.2}
    total = Counter(r.get("label") for r in records)
    for part, share in shares.items():
        assert abs(len(parts[part]) / len(records) - share) < 0.05
        for label, count in Counter(r.get("label") for r in parts[part]).items():
            assert abs(count - share * total[label]) <= 8  # no patient has more clips


@pytest.mark.parametrize("seed", range(6))
def test_folds_are_disjoint_complete_and_balanced(seed: int) -> None:
    records = made_up(seed)
    folds = by_fold(split_folds(records, 5, seed))
    check_disjoint(folds)
    assert list(folds) == [f"fold {i}" for i in range(5)]
    assert sorted(names([r for fold in folds.values() for r in fold])) == sorted(names(records))
    assert max(map(len, folds.values())) - min(map(len, folds.values())) <= 8
    assert "fold" not in records[0]


def test_the_seed_decides_not_the_order() -> None:
    records = made_up(0)
    shuffled = [records[i] for i in np.random.default_rng(1).permutation(len(records))]
    assert split_parts(records, seed=3) == split_parts(shuffled, seed=3)
    assert split_folds(records, 4, seed=3) == split_folds(shuffled, 4, seed=3)
    one_way = split_parts(records, {"training": 0.7, "validation": 0.15, "testing": 0.15}, seed=3)
    assert split_parts(records, {"testing": 0.15, "training": 0.7, "validation": 0.15}, seed=3) == one_way
    different = {tuple(names(split_parts(records, seed=seed)["testing"])) for seed in range(5)}
    assert len(different) == 5


@pytest.mark.parametrize("seed", range(20))
def test_every_part_has_every_class_that_allows_it(seed: int) -> None:
    # a rare class with just enough patients, all of whom also have clips of the common class
    records = [
        {
            "image": f"{p}_{c}",
            "video_id": f"{p}_{c}",
            "patient_id": f"p{p}",
            "label": "rare" if p < 3 and c else "common",
        }
        for p in range(12)
        for c in range(2)
    ]
    for part in split_parts(records, seed=seed).values():
        assert len(patients(part, "rare")) == 1
        assert patients(part, "common")
    # with 0.9 and 0.1 the small part gets them too
    small = split_parts(records, {"training": 0.9, "validation": 0.1}, seed)["validation"]
    assert patients(small, "rare")


def test_one_heavy_patient_does_not_fill_a_small_part() -> None:
    records = [{"image": f"{i}", "video_id": f"{i}", "patient_id": "big", "label": "a"} for i in range(60)]
    records += [{"image": f"s{i}", "video_id": f"s{i}", "patient_id": f"s{i}", "label": "a"} for i in range(40)]
    parts = split_parts(records)
    assert "big" in patients(parts["training"])
    assert min(len(parts["validation"]), len(parts["testing"])) >= 15


def test_parts_without_a_share_stay_empty_and_unlabelled_data_is_not_tested_on() -> None:
    records = made_up(0, n_patients=10)
    assert split_parts(records, {"training": 0.8, "validation": 0.2, "testing": 0})["testing"] == []
    unlabelled = [{key: value for key, value in r.items() if key != "label"} for r in records]
    parts = split_parts(unlabelled)
    assert set(parts) == {"training", "validation"} and len(patients(parts["validation"])) >= 1
    few = [r for r in unlabelled if r["patient_id"] != "d/0"]
    assert split_parts(few) == {"training": sorted(few, key=lambda r: r["image"])}


@pytest.mark.parametrize("fractions", [{"training": 0.5}, {"training": 1.2, "validation": -0.2}])
def test_bad_fractions(fractions: dict[str, float]) -> None:
    with pytest.raises(InputError, match="add up to 1"):
        split_parts(made_up(0), fractions)


def test_too_few_patients() -> None:
    records = made_up(0, n_patients=2)
    with pytest.raises(InputError, match="2 patients for 3 parts"):
        split_parts([{**r, "label": "a"} for r in records])
    with pytest.raises(InputError, match="2 patients for 5 folds"):
        split_folds(records, 5)
    with pytest.raises(InputError, match="at least 2"):
        split_folds(records, 1)


@pytest.mark.parametrize("name", ["patient_id", "video_id", "image"])
def test_what_two_parts_share_is_named(name: str) -> None:
    one = {"image": "a.mp4", "video_id": "d/a", "patient_id": "d/1"}
    other = {"image": "b.mp4", "video_id": "d/b", "patient_id": "d/2"}
    check_disjoint({"training": [one, one], "testing": [other]})
    with pytest.raises(InputError) as error:
        check_disjoint({"training": [one], "validation": [], "testing": [{**other, name: one[name]}]})
    assert "training and testing share 1" in str(error.value)
    assert one[name] in str(error.value)


def test_blank_ids_equal_nothing() -> None:
    check_disjoint({"a": [{"image": "x", "patient_id": ""}], "b": [{"image": "y", "patient_id": ""}]})


def indexed(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**r, "label": "abc".index(r["label"]), "label_name": r["label"]}
        if "label" in r
        else {**r, "label": UNLABELLED}
        for r in records
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_labels_are_hidden_by_patient(seed: int, fraction: float) -> None:
    records = indexed(made_up(seed))
    hidden = hide_labels(records, fraction, seed)
    assert names(hidden) == names(records)
    kept = {r["patient_id"] for r in hidden if r["label"] != UNLABELLED}
    for before, after in zip(records, hidden, strict=True):
        if before["patient_id"] in kept:
            assert after == before
        else:
            assert after["label"] == UNLABELLED and "label_name" not in after
    for label in range(3):
        available = patients(records, label)
        assert len(kept & available) >= max(1, round(fraction * len(available)))
    assert len(kept) <= sum(max(1, round(fraction * len(patients(records, label)))) for label in range(3))
    # with more labels, those of before are still there
    more = {r["patient_id"] for r in hide_labels(records, fraction + 0.2, seed) if r["label"] != UNLABELLED}
    assert kept <= more
    assert sorted(names(hide_labels(records[::-1], fraction, seed))) == sorted(names(records))
    assert hide_labels(records[::-1], fraction, seed)[::-1] == hidden


def test_all_or_no_labels() -> None:
    records = indexed(made_up(0))
    assert hide_labels(records, 1.0) == records
    assert {r["label"] for r in hide_labels(records, 0.0)} == {UNLABELLED}
    with pytest.raises(InputError, match="0 to 1"):
        hide_labels(records, 30)


@pytest.mark.parametrize("seed", range(3))
def test_real_tables(ultrasound_data: Path, seed: int) -> None:
    for name in ("covid_blues", "pocus_lung", "breast_bus_uclm"):
        records = records_from_table(ultrasound_data / name / "labels.csv")
        parts = split_parts(records, seed=seed)
        check_disjoint(parts)
        assert sum(map(len, parts.values())) == len(records)
        enough = [label for label in {r["label"] for r in records} if len(patients(records, label)) >= 3]
        for part in parts.values():
            assert {r["label"] for r in part} >= set(enough)
        check_disjoint(by_fold(split_folds(records, 5, seed)))
