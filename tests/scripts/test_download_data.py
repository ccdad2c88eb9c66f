# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import runpy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from bundle.data import load_datalist
from bundle.data.downloads import RemoteFile
from bundle.data.public import PUBLIC_SETS
from bundle.errors import InputError

SCRIPTS = Path(__file__).parents[2] / "scripts"
Rows = list[dict[str, str]]


def run(script: str, *arguments: object) -> None:
    runpy.run_path(str(SCRIPTS / script))["main"]([str(argument) for argument in arguments])


def write_csv(path: Path, rows: list[list[str]], delimiter: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def test_the_list_names_every_set_with_its_licence(capsys: pytest.CaptureFixture[str]) -> None:
    run("download_data.py", "--list")
    told = capsys.readouterr().out
    assert all(f"{known.licence}\n  {known.page}" in told for known in PUBLIC_SETS.values())


def test_nothing_is_fetched_before_the_licence_is_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError) as error:
        run("download_data.py", "covid_blues", "--output-dir", tmp_path / "out")
    assert str(error.value) == (
        "covid_blues: its licence is above: start again with --accept-licence if you keep to it"
    )
    told = capsys.readouterr().out
    assert told.strip() == PUBLIC_SETS["covid_blues"].licence_text().strip() and not (tmp_path / "out").exists()
    assert "Licence: CC BY-NC-ND 4.0\nhttps://creativecommons.org/licenses/by-nc-nd/4.0/\n" in told


def test_what_is_missing_or_unknown_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("download_data.py", "hc18")
    assert "name a set and --output-dir, or ask for --list" in capsys.readouterr().err
    with pytest.raises(InputError, match="set 'us4': not known: expected one of pocus, "):
        run("download_data.py", "us4", "--output-dir", tmp_path)
    with pytest.raises(InputError, match="none.zip: no such file or folder"):
        run("download_data.py", "busi", "--output-dir", tmp_path, "--from", tmp_path / "none.zip")


def test_a_set_without_a_valid_address_says_how_to_go_on(
    tmp_path: Path, file_server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = (RemoteFile(f"{file_server.url}/Dataset_BUSI.zip", "Dataset_BUSI.zip"),)
    monkeypatch.setitem(PUBLIC_SETS, "busi", replace(PUBLIC_SETS["busi"], files=files))  # type: ignore[arg-type]
    with pytest.raises(InputError) as error:
        run("download_data.py", "busi", "--output-dir", tmp_path, "--accept-licence")
    assert str(error.value) == (
        f"{file_server.url}/Dataset_BUSI.zip: the server refuses (HTTP 404 Not Found); or fetch it by hand "
        "(Dataset_BUSI.zip, at https://scholar.cu.edu.eg/?q=afahmy/pages/dataset) and go on with --from"
    )
    assert "busi: not verified: the server's certificate is often out of order" in caplog.text


def covid_blues(real: Path, made: Path, rows: Rows) -> None:
    (made / "lus_videos").mkdir(parents=True)
    for row in rows:
        shutil.copy(real / row["file"], made / "lus_videos")
    columns = ["video_id", "severity", "a_lines", "b_lines"]
    names = ["video_file", "Severity Score", "A-lines", "B-lines"]
    write_csv(made / "severity.csv", [names, *([row[column] for column in columns] for row in rows)])
    results = {row["patient_id"]: str(int(row["label"] == "covid_positive")) for row in rows}
    write_csv(made / "clinical_variables.csv", [["patient_id", "cov_test"], *map(list, results.items())])


def bus_uclm(real: Path, made: Path, rows: Rows) -> None:
    info = [["Image", "Label", "Doppler", "Marks", "Combined"]]
    for kind, column in (("images", "file"), ("masks", "mask")):
        (made / kind).mkdir(parents=True)
        for row in rows:
            shutil.copy(real / row[column], made / kind)
    for row in rows:
        info.append([Path(row["file"]).name, row["label"].title(), "No", row["marks"].title(), "No"])
    write_csv(made / "INFO.csv", info, ";")


def hc18(real: Path, made: Path, rows: Rows) -> None:
    (made / "training_set").mkdir(parents=True)
    table = [["filename", "pixel size(mm)", "head circumference (mm)"]]
    for row in rows:
        image = shutil.copy(real / row["file"], made / "training_set")
        mask = np.asarray(Image.open(real / row["mask"]).convert("L")) > 127
        rim = mask & ~ndimage.binary_erosion(mask, iterations=2)
        Image.fromarray(rim.astype(np.uint8) * 255).save(f"{Path(image).with_suffix('')}_Annotation.png")
        table.append([Path(row["file"]).name, row["pixel_size_mm"], row["head_circumference_mm"]])
    write_csv(made / "training_set_pixel_size_and_HC.csv", table)


@pytest.mark.parametrize(
    ("name", "kept", "publish", "columns"),
    [
        ("covid_blues", "covid_blues", covid_blues, "video_id patient_id label blue_point severity a_lines b_lines"),
        ("bus_uclm", "breast_bus_uclm", bus_uclm, "patient_id label marks licence"),
        ("hc18", "fetal_head_hc18", hc18, "patient_id label pixel_size_mm head_circumference_mm"),
    ],
)
def test_real_files_in_their_publishers_layout(
    ultrasound_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    kept: str,
    publish: Callable[[Path, Path, Rows], None],
    columns: str,
) -> None:
    real = ultrasound_data / kept
    with (real / "labels.csv").open(newline="", encoding="utf-8") as file:
        expected = list(csv.DictReader(file))[::6]
    publish(real, tmp_path / "published", expected)
    folder = tmp_path / name
    run("download_data.py", name, "--output-dir", folder, "--from", tmp_path / "published")
    told = capsys.readouterr().out
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        made = {Path(row["file"]).name: row for row in csv.DictReader(file)}
    patients = len({row["patient_id"] for row in expected})
    assert f"{folder}: {len(expected)} items (the whole set has " in told and f") of {patients} patients" in told
    assert len(made) == len(expected)
    for row in expected:
        found = made[Path(row["file"]).name]
        assert {column: found[column] for column in columns.split()} == {
            column: row[column].strip() for column in columns.split()
        }
        assert (folder / found["file"]).read_bytes() == (real / row["file"]).read_bytes()
        if "mask" in row:
            masks = [np.asarray(Image.open(path)) > 0 for path in (folder / found["mask"], real / row["mask"])]
            assert np.array_equal(*(mask.any(-1) if mask.ndim == 3 else mask for mask in masks))

    # the command that is named last makes a datalist of it
    command = told.splitlines()[-1].removeprefix("next: python scripts/make_datalist.py ").split()
    run("make_datalist.py", *command, "--parts", "0.6", "0.2", "0.2")
    parts = load_datalist(folder / "datalist.json", folder).parts
    assert sum(map(len, parts.values())) == len(expected) and all(parts.values())
