# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bundle.data import load_datalist, open_datalist
from bundle.data.presets import PRESETS
from bundle.errors import InputError

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run(*arguments: object) -> None:
    runpy.run_path(str(SCRIPTS / "make_datalist.py"))["main"]([str(argument) for argument in arguments])


def ended_plainly(script: str, *arguments: object) -> str:
    """The error with which a script ends in a process of its own, as one line and with exit status 1."""
    command = [sys.executable, SCRIPTS / script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def dataset(folder: Path, n_patients: int = 12) -> Path:
    """A data folder of empty files, two clips a patient."""
    folder.mkdir()
    lines = ["file,patient_id,label"]
    for patient in range(n_patients):
        for clip in range(2):
            (folder / f"{patient}_{clip}.mp4").write_bytes(b"0")
            lines.append(f"{patient}_{clip}.mp4,{patient},{('sick', 'healthy')[patient % 2]}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


def test_parts_and_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = dataset(tmp_path / "d", n_patients=10)
    run(folder, "--parts", 0.8, 0, 0.2, "--seed", 3)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["part", "patients", "clips", "healthy", "sick", "unlabelled"]
    assert rows[1] == ["training", "8", "16", "8", "8", "0"]
    assert rows[3] == ["testing", "2", "4", "2", "2", "0"]
    assert rows[4] == ["all", "10", "20", "10", "10", "0"]
    assert len(open_datalist(folder).testing) == 4

    run(folder, "--folds", 2, "--overwrite", "--where", "label=sick")
    content = json.loads((folder / "datalist.json").read_text())
    assert [len(content[part]) for part in ("training", "validation", "testing")] == [10, 0, 0]
    assert {record["fold"] for record in content["training"]} == {0, 1}


def test_the_parts_of_a_column(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = dataset(tmp_path / "d", n_patients=6)
    lines = (folder / "labels.csv").read_text().splitlines()
    of = ["training", "training", "validation", "testing", "testing", ""]
    rows = [f"{line},{of[int(line.split(',')[1])]}" for line in lines[1:]]
    (folder / "labels.csv").write_text("\n".join([f"{lines[0]},split", *rows]))
    run(folder, "--split-column", "split")
    assert "2 of 12 items are of no part and are left out" in caplog.text
    for name, records in open_datalist(folder).parts.items():
        patients = {record["patient_id"].removeprefix("d/") for record in records}
        assert patients == {str(patient) for patient, part in enumerate(of) if part == name}
    with pytest.raises(InputError, match="no column 'part': expected one with training, validation, testing"):
        run(folder, "--split-column", "part", "--overwrite")
    (folder / "labels.csv").write_text("\n".join([f"{lines[0]},split", *rows]).replace("validation", "dev"))
    with pytest.raises(InputError, match="column 'split': found 'dev', expected training, validation, testing"):
        run(folder, "--split-column", "split", "--overwrite")
    # a patient in two parts
    (folder / "labels.csv").write_text(
        "\n".join([f"{lines[0]},split", rows[0], rows[1].replace("training", "testing")])
    )
    with pytest.raises(InputError, match="d/0"):
        run(folder, "--split-column", "split", "--overwrite")


def test_few_clips_without_labels_are_all_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mp4").write_bytes(b"0")
    run(tmp_path)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1] == ["training", "1", "1", "1"] and rows[2] == ["all", "1", "1", "1"]
    with pytest.raises(InputError, match=f"^{tmp_path}: 1 patients for 3 parts"):
        run(tmp_path, "--parts", 0.6, 0.2, 0.2, "--overwrite")


def test_what_is_there_stays(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d")
    (folder / "datalist.json").write_text("{}")
    assert ended_plainly("make_datalist.py", folder).startswith(f"error: {folder / 'datalist.json'}: there already")
    assert (folder / "datalist.json").read_text() == "{}"


def test_a_program_given_a_bad_datalist_ends_with_one_line(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d")
    run(folder, "--folds", 2)
    path = folder / "datalist.json"
    content = json.loads(path.read_text())
    content["training"][3]["label"] = "unwell"
    path.write_text(json.dumps(content))
    options = ["--untrained", "resnet18", "--image-size", 16, "--datalist", path, "--dataset-dir", folder]
    options += ["--cache-dir", tmp_path / "cache", "--output-dir", tmp_path / "out"]
    error = ended_plainly("probe_encoders.py", *options)
    assert error.startswith(
        f"error: {path}: {content['training'][3]['image']} has the unknown label 'unwell': "
        "expected one of: healthy, sick"
    )
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--where", "probe=x"], "no column 'probe'"),
        (["--fold-column", "patient_id"], None),
        (["--fold-column", "note"], "blank throughout"),
        (["--label-from-folder"], "for folders without it"),
        (["--folds", "13"], "12 patients for 13 folds"),
        (["--preset", "mine"], "preset 'mine': not known: expected one of pocus_lung, "),
        (["--preset", "pocus_lung"], "labels.csv: no column 'group_id'"),
        (["--preset", "us4"], "labels.csv: is there: --preset us4 is for folders without it"),
    ],
)
def test_options_on_a_table(tmp_path: Path, arguments: list[str], message: str | None) -> None:
    folder = dataset(tmp_path / "d")
    table = folder / "labels.csv"
    table.write_text(
        "\n".join(line + (",note" if line.startswith("file") else ",") for line in table.open().read().split())
    )
    if message is None:
        return run(folder, *arguments)
    with pytest.raises(InputError, match=message):
        run(folder, *arguments)
    assert not (folder / "datalist.json").exists()


def test_a_folder_of_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a/1.mp4", "a/x.mp4", "b/1.mp4", "b/x.mp4"):
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_bytes(b"0")
    run(tmp_path / "d", "--label-from-folder", "--folds", 2, "--output", tmp_path / "out.json")
    assert load_datalist(tmp_path / "out.json", tmp_path / "d").labels == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--where", "label=a"], "choose from a table"),
        (["--label-column", "grade"], "choose from a table"),
        (["--preset", "covid_blues"], "labels.csv: not there: the preset covid_blues goes by this table"),
        (["--preset", "us4", "--label-from-folder"], "the preset us4 goes by the names of the videos alone"),
    ],
)
def test_options_without_a_table(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "a.mp4").write_bytes(b"0")
    with pytest.raises(InputError, match=message):
        run(tmp_path, *arguments)


def test_a_data_folder_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run()
    assert "name the data folder" in capsys.readouterr().err
    with pytest.raises(InputError, match="nothere: no such folder"):
        run("nothere")


def test_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    run("--list-presets")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(PRESETS)
    assert "label or severity or a_lines or b_lines" in lines[2]


def test_options_count_before_the_preset(ultrasound_data: Path, tmp_path: Path) -> None:
    def made(*arguments: object) -> dict[str, Any]:
        run(ultrasound_data / "pocus_lung", "--preset", "pocus_lung", "--output", tmp_path / "x.json", *arguments)
        return json.loads((tmp_path / "x.json").read_text())

    content = made()
    assert len(content["training"]) == 87 and not content["testing"] and "seed" not in content
    assert "licence: per clip" in content["description"]
    content = made("--parts", 0.6, 0.2, 0.2, "--overwrite")
    assert content["testing"] and content["seed"] == 0
    content = made("--where", "label=covid,viral", "--folds", 2, "--overwrite")
    assert content["labels"] == ["covid", "viral"] and len(content["training"]) == 17
    assert {record["probe"] for record in content["training"]} == {"convex"}  # a filter that was not given stays
    # folds that tear patients apart are refused
    with pytest.raises(InputError, match="share"):
        made("--fold-column", "fold_2020", "--overwrite")
    with pytest.raises(InputError, match="no column 'who'"):
        made("--patient-column", "who", "--overwrite")
    content = made("--label-column", "b_lines", "--overwrite")
    assert content["labels"] == ["0", "1"] and len(content["training"]) == 87
