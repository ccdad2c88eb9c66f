# SPDX-License-Identifier: Apache-2.0
"""The leakage check as a program: folders, folds and datalists, its status, table, JSON and picture."""

from __future__ import annotations

import csv
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bundle.data import datalist_content, write_datalist
from bundle.errors import InputError

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_leakage.py"


def scan(seed: int) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(3, 64, 64)), (0.5, 2.5, 2.5))
    return (110 + 45 * field / field.std()).clip(5, 255).astype(np.uint8)


@pytest.fixture
def data(tmp_path):
    """Four clips of four patients; the third is the first at half the gain."""
    folder = tmp_path / "lungs"
    folder.mkdir()
    rows = []
    for number, frames in enumerate((scan(0), scan(1), scan(0) // 2, scan(3))):
        np.save(folder / f"{number}.npy", frames)
        rows.append({"file": f"{number}.npy", "patient_id": f"{number}", "fold": f"{number % 2}", "half": number // 2})
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


@pytest.fixture
def check(tmp_path, capsys):
    def run(*arguments):
        where = ["--output-dir", tmp_path / "out", "--cache-dir", tmp_path / "cache"]
        status = runpy.run_path(str(SCRIPT))["main"]([*map(str, [*arguments, *where])])
        return status, capsys.readouterr().out, json.loads((tmp_path / "out" / "leakage.json").read_text())

    return run


def test_clips_of_two_patients_that_are_one_are_told(check, data, tmp_path):
    status, table, (row,) = check(data)
    assert status == 1 and "1 leak;" in table and "4 clips in 4 parts" in table
    assert row["kind"] == "look-alike" and row["clips"] == ["lungs/0.npy", "lungs/2.npy"]
    assert row["parts"] == ["lungs/0", "lungs/2"] and row["bits_apart"] <= 44
    assert "lungs/0.npy" in table and (tmp_path / "out" / "leakage.png").exists()


def test_folds_and_datalists_are_parts(check, data, tmp_path):
    status, table, rows = check(data, "--fold-column", "fold")
    assert (status, rows) == (0, []) and "4 clips in 2 parts: nothing is shared" in table
    assert check(data, "--fold-column", "half")[0] == 1
    records = [{"image": f"{n}.npy", "video_id": f"v{n}", "patient_id": "same"} for n in range(4)]
    write_datalist(
        tmp_path / "list.json", datalist_content({"training": records[:1], "testing": records[1:]}, name="x")
    )
    status, table, rows = check(tmp_path / "list.json", "--dataset-dir", data)
    assert status == 1 and [(row["kind"], row["shared"]) for row in rows] == [("patient", "same")]


def test_several_folders_are_a_part_each_and_the_picture_of_before_goes(check, data, tmp_path):
    assert check(data)[0] == 1
    other = tmp_path / "hearts"
    other.mkdir()
    np.save(other / "9.npy", scan(9))
    status, table, rows = check(data, other)
    assert (status, rows) == (0, []) and not (tmp_path / "out" / "leakage.png").exists()
    np.save(other / "8.npy", scan(3))
    status, table, rows = check(data, other)
    assert status == 1 and rows[0]["kind"] == "content" and rows[0]["parts"] == ["lungs", "hearts"]


def test_what_cannot_be_compared_is_told(check, tmp_path, data):
    with pytest.raises(InputError, match="no such folder"):
        check(tmp_path / "nowhere")
    (tmp_path / "one").mkdir()
    np.save(tmp_path / "one" / "a.npy", scan(1))
    with pytest.raises(InputError, match="1 part with clips: expected at least two"):
        check(tmp_path / "one")


def test_parts_of_which_nothing_can_be_read_are_not_called_clean(check, data):
    for name in "12":
        (data / f"{name}.npy").write_text("no array")
    assert "2 clips in 2 parts" in check(data)[1]
    (data / "3.npy").write_text("no array")
    with pytest.raises(InputError, match="1 part with clips"):
        check(data)
