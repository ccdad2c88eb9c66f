# SPDX-License-Identifier: Apache-2.0
"""Items handed over by a program, and the datalist that stands behind those of a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle.data import ListedItems, are_given, datalist_of_items, open_datalist
from bundle.data.given import class_of
from bundle.errors import InputError

NAMES = ["normal", "b_lines", "2"]


@pytest.fixture
def stills(tmp_path: Path) -> list[str]:
    paths = []
    for number in range(3):
        path = tmp_path / "studies" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((20, 24), 10 * number, np.uint8)).save(path)
        paths.append(str(path))
    return paths


@pytest.mark.parametrize(
    ("label", "name"),
    [
        (1, "b_lines"),
        ("normal", "normal"),
        ("0", "normal"),
        ("2", "2"),  # a class that is called like a number
        ({"label": "b_lines"}, "b_lines"),
        ({"label": 0}, "normal"),
        (
            {"prediction": [{"idx": 0, "label": "normal", "score": 0.2}, {"idx": 1, "label": "b_lines", "score": 0.8}]},
            "b_lines",
        ),
    ],
)
def test_a_class_is_known_by_index_name_or_file(tmp_path: Path, label: Any, name: str) -> None:
    assert class_of(label, NAMES, "a.png") == name
    path = tmp_path / "label.json"
    path.write_text(json.dumps(label))
    assert class_of(str(path), NAMES, "a.png") == name


@pytest.mark.parametrize("label", [3, -1, True, None, "pleura", {"label": "pleura"}, {}, [1]])
def test_another_class_is_refused_by_the_name_of_its_image(label: Any) -> None:
    with pytest.raises(InputError, match=r"a\.png: found the label .* expected one of normal, b_lines, 2"):
        class_of(label, NAMES, "a.png")


def test_given_items_become_records(stills: list[str]) -> None:
    training = [{"image": stills[0], "label": 1}, {"image": stills[1], "label": "normal"}]
    datalist = datalist_of_items(training, [{"image": stills[2], "label": 1}], NAMES)
    assert are_given(training) and datalist.labels == NAMES
    assert [(one["image"], one["label"]) for one in datalist.training] == [(stills[0], 1), (stills[1], 0)]
    assert [one["label_name"] for one in datalist.validation] == ["b_lines"] and datalist.testing == []
    patients = {one["patient_id"] for one in datalist.training + datalist.validation}
    assert len(patients) == 3  # each is its own: nothing is known of them


def test_a_given_mask_is_a_path(stills: list[str]) -> None:
    datalist = datalist_of_items([{"image": stills[0], "label": stills[1]}], [], [], target="mask")
    assert datalist.training[0]["mask"] == stills[1] and datalist.validation == []
    with pytest.raises(InputError, match="found the mask '/nowhere.png'"):
        datalist_of_items([{"image": stills[0], "label": "/nowhere.png"}], [], [], target="mask")


def test_nothing_given_is_said() -> None:
    with pytest.raises(InputError, match="found none.*label some first"):
        datalist_of_items([], [], NAMES)


def test_listed_items_are_their_datalist(tmp_path: Path, stills: list[str]) -> None:
    rows = [f"{Path(path).name},p{number},normal" for number, path in enumerate(stills)]
    (Path(stills[0]).parent / "labels.csv").write_text("\n".join(["file,patient_id,label", *rows]) + "\n")
    datalist = open_datalist(Path(stills[0]).parent, fractions={"training": 0.34, "validation": 0.33, "testing": 0.33})
    training, validation = (ListedItems(datalist, part) for part in ("training", "validation"))
    assert not are_given(training) and list(training) == datalist.training
    assert datalist_of_items(training, validation, NAMES) is datalist
