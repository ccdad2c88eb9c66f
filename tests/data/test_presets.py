# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import logging
import runpy
from collections import Counter
from pathlib import Path

import pytest

from bundle.data import Datalist, check_disjoint, load_datalist
from bundle.data.prefixes import records_by_prefix
from bundle.data.presets import PRESETS, find_preset
from bundle.errors import InputError

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_datalist.py"

# the label table of github.com/983632847/USCL for the four sets together
US4_INDEX = {f"Rb{i}": i - 1 for i in range(1, 6)} | {f"F{i}_": i + 5 for i in range(5)}
US4_INDEX |= {"Reg": 10, "Ali": 10, "Cov": 11, "Bli": 11, "Ple": 11, "Oth": 11}
PARTS_OF_US4 = {
    "us4_butterfly": {"Reg": 0, "Cov": 1},
    "us4_clust": {f"Rb{i}": i - 1 for i in range(1, 6)},
    "us4_liver_fibrosis": {f"F{i}_": i for i in range(5)},
    "us4_covid19_lusms": {"Ali": 0, "Bli": 1, "Ple": 2, "Oth": 3},
}


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def published(folder: Path, prefix: str, videos: int = 3) -> None:
    """Videos as the one public part of US-4 has them: a folder each, frames taken evenly, so that steps vary."""
    for video in range(videos):
        name = f"{prefix}{'' if prefix.endswith('_') else '-'}lung{video}_mp4"
        make(folder, *(f"{name}/{name}_frame{frame}.jpg" for frame in (0, 7, 15, 22)[: video + 2]))


def datalist(folder: Path, preset: str, *options: str) -> Datalist:
    """What the script makes of a folder, read back."""
    output = folder.parent / f"{preset}.json"
    runpy.run_path(str(SCRIPT))["main"]([str(folder), "--preset", preset, "--output", str(output), *options])
    return load_datalist(output, folder)


@pytest.mark.parametrize("name", PARTS_OF_US4)
def test_each_part_of_us4(tmp_path: Path, name: str) -> None:
    index = PARTS_OF_US4[name]
    for prefix in index:
        published(tmp_path / "set", prefix)
    made = datalist(tmp_path / "set", name)
    records = [record for part in made.parts.values() for record in part]
    assert len(records) == 3 * len(index) == len({record["patient_id"] for record in records})
    assert made.validation and not made.testing
    for record in records:
        folder = Path(record["image"]).name
        assert record["label"] == next(i for prefix, i in index.items() if folder.startswith(prefix))
    assert len(made.labels) == len(index)


def test_us4_whole_has_twelve_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, index in PARTS_OF_US4.items():
        for prefix in index:
            published(tmp_path / "US-4" / name, prefix)
    with caplog.at_level(logging.WARNING):
        made = datalist(tmp_path / "US-4", "us4")
    assert "the patient of 48 of 48 items is unknown; each of their videos is taken as a patient" in caplog.text
    assert len(made.labels) == 12
    records = [record for part in made.parts.values() for record in part]
    for record in records:
        folder = Path(record["image"]).name
        assert record["label"] == next(i for prefix, i in US4_INDEX.items() if folder.startswith(prefix))
    assert Counter(record["label"] for record in records)[11] == 4 * 3


def test_layouts_that_are_understood(tmp_path: Path) -> None:
    names = [
        "COVID/ali-1.mp4",  # a video file; the folder's name is no prefix, since a letter follows it
        "deep/er/Bli_2/frames/00001.png",  # frames below the folder that names the class
        "deep/er/Bli_2/frames/00002.png",
        "x/Ple3_0.jpg",  # named by the frames
        "x/Ple3_9.jpg",
        "Oth/7.mha",
        "Oth/8.AVI",
        "Bli/.hidden.mp4",
        ".trash/Bli-9.mp4",
        "readme.txt",
        "Ali-one/Ali_still.png",  # a video of one frame
        "Ple-clock/1_0.04s.png",  # one number is another in each frame
        "Ple-clock/2_0.08s.png",
        "Ple-clock/3_0.08s.png",
    ]
    records = records_by_prefix(make(tmp_path / "d", *names), PRESETS["us4_covid19_lusms"].prefixes)
    assert {record["image"]: record["label"] for record in records} == {
        "COVID/ali-1.mp4": "a_lines",
        "deep/er/Bli_2/frames": "b_lines",
        "x": "pleural",
        "Oth/7.mha": "other",
        "Oth/8.AVI": "other",
        "Ali-one": "a_lines",
        "Ple-clock": "pleural",
    }
    assert len({record["patient_id"] for record in records}) == 7


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Rb1-a.mp4", "Rb10.mp4", "ETH-01/Data/00001.png"], "Rb10.mp4 and 1 more begins with no known class"),
        (["Rb1-a.mp4", "Rb6.mp4"], "expected one of Rb1, Rb2, Rb3, Rb4, Rb5; rename"),
        (["notes.txt"], "no videos: expected folders of frames or video files"),
        (["Rb1/Rb1-a_1.png", "Rb1/Rb1-b_1.png"], "Rb1: 2 images, as Rb1-a_1.png, that are not the numbered frames"),
        (["Rb1/a1_1.png", "Rb1/a1_2.png", "Rb1/a2_1.png", "Rb1/a2_2.png"], "4 images, as a1_1.png"),
        (["Rb1_1.png", "Rb1_2.png"], "expected a folder of frames for each video"),
    ],
)
def test_what_is_not_understood_is_named(tmp_path: Path, names: list[str], message: str) -> None:
    folder = make(tmp_path / "d", *names)
    with pytest.raises(InputError) as error:
        records_by_prefix(folder, PRESETS["us4_clust"].prefixes)
    assert str(error.value).startswith(str(folder)) and message in str(error.value)
    assert "\n" not in str(error.value)


def test_presets_are_found_by_name() -> None:
    assert all(find_preset(name).name == name and preset.licence for name, preset in PRESETS.items())
    assert find_preset("us4").classes[:2] == ["Rb1", "Rb2"] and find_preset("covid_blues").classes == []
    with pytest.raises(InputError, match="'us5': not known: expected one of pocus_lung, covid_blues, "):
        find_preset("us5")


@pytest.mark.parametrize(
    ("name", "options", "items", "patients", "classes"),
    [
        ("pocus_lung", [], 87, 40, {"covid": 16, "pneumonia": 28, "regular": 43}),
        ("covid_blues", [], 148, 26, {"covid_negative": 72, "covid_positive": 76}),
        ("covid_blues", ["--label-column", "severity"], 148, 26, {"0.0": 46, "1.0": 47, "2.0": 36, "3.0": 19}),
        ("covid_blues", ["--label-column", "a_lines"], 148, 26, {"no": 43, "yes": 105}),
        ("covid_blues", ["--label-column", "b_lines"], 148, 26, {"no": 58, "yes": 90}),
        ("breast_bus_uclm", [], 68, 29, {"benign": 30, "malignant": 26, "normal": 12}),
        ("fetal_head_hc18", [], 100, 84, {"fetal_head": 100}),
        ("dicom_us", [], 17, 17, None),
        ("tracked_plus", [], 2, 2, {"bone_surface": 1, "nwire_phantom": 1}),
        ("pocus_devices", [], 3, 3, {"eye": 1, "ocular_phantom": 2}),
        ("fetal_planes_sononet", [], 13, 13, None),
        ("echo_camus", [], 1, 1, {"apical_two_chamber": 1}),
    ],
)
def test_real_sets(
    ultrasound_data: Path,
    tmp_path: Path,
    name: str,
    options: list[str],
    items: int,
    patients: int,
    classes: dict[str, int] | None,
) -> None:
    output = tmp_path / "datalist.json"
    arguments = [str(ultrasound_data / name), "--preset", name, "--output", str(output), *options]
    runpy.run_path(str(SCRIPT))["main"](arguments)
    made = load_datalist(output, ultrasound_data / name)
    check_disjoint(made.parts)
    records = [record for part in made.parts.values() for record in part]
    assert (len(records), len({record["patient_id"] for record in records})) == (items, patients)
    if classes:
        assert Counter(record["label_name"] for record in records) == classes and made.labels == list(classes)
    assert PRESETS[name].licence in json.loads(output.read_text())["description"]
