# SPDX-License-Identifier: Apache-2.0
"""Folders of clips without a table."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from bundle.data import records_from_folder
from bundle.data.folders import numbered_in_sequence
from bundle.data.prefixes import records_by_prefix
from bundle.errors import InputError


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["0001.png", "0002.png", "0003.png"], True),
        (["f9.png", "f10.png"], True),
        (["case3_f0.png", "case3_f5.png", "case3_f10.png"], True),
        (["0001.png"], False),
        (["000_HC.png", "002_HC.png", "003_HC.png"], False),
        (["ALWI_000.png", "ANFO_001.png"], False),
        (["1_1.png", "2_2.png"], False),
        (["1.png", "01.png"], False),
        (["1.png", "2.jpg"], False),
        (["left.png", "right.png"], False),
    ],
)
def test_numbered_in_sequence(names: list[str], expected: bool) -> None:
    assert numbered_in_sequence(names) is expected


def test_bare_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "clips"
    names = "p1/a.MP4 p1/b.nii.gz p2/cine/f1.png p2/cine/f2.png p2/left.png p2/right.png p3/1.png p3/2.png p3/c.gif"
    ignored = "README.md labels.txt .hidden.mp4 .cache/z.mp4 p1/notes p1/mask.csv p1/b.raw"
    for name in (names + " " + ignored).split():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"0")
    for name in ("p1/IM_0001", "p1/1.2.840.113"):
        (root / name).write_bytes(bytes(128) + b"DICM" + bytes(8))
    with caplog.at_level(logging.WARNING):
        records = records_from_folder(root)
    assert "the patient of 10 of 10 items is unknown" in caplog.text
    expected = (
        "p1/1.2.840.113 p1/IM_0001 p1/a.MP4 p1/b.nii.gz p2/cine p2/left.png p2/right.png p3/1.png p3/2.png p3/c.gif"
    )
    assert [record["image"] for record in records] == expected.split()
    assert len({record["patient_id"] for record in records}) == 10
    assert all("label" not in record for record in records)


def test_first_level_is_taken_only_when_asked(tmp_path: Path) -> None:
    for name in ("covid/a.mp4", "covid/deep/b.mp4", "frames/1.png", "frames/2.png", "c.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"0")
    labels = {r["image"]: r.get("label") for r in records_from_folder(tmp_path, label_from_folder=True)}
    assert labels == {"covid/a.mp4": "covid", "covid/deep/b.mp4": "covid", "frames": "frames", "c.mp4": None}
    patients = [r["patient_id"] for r in records_from_folder(tmp_path, patient_from_folder=True)]
    name = tmp_path.name
    assert patients == [f"{name}/unknown:c.mp4", f"{name}/covid", f"{name}/covid", f"{name}/frames"]


def test_what_cannot_be_a_clip_is_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.dcm").write_text("no DICOM file")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    os.mkfifo(tmp_path / "pipe")  # looking into it for a preamble would never end
    with pytest.raises(InputError, match=r"nothing to read but empty.mp4, an empty file \(0 bytes\): expected clips"):
        records_from_folder(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"0")
    (tmp_path / "cine").mkdir()
    for name, content in (("1.png", b"0"), ("2.png", b""), ("3.png", b"0"), ("4.png", b"0")):
        (tmp_path / "cine" / name).write_bytes(content)
    caplog.clear()
    assert [record["image"] for record in records_from_folder(tmp_path)] == ["cine", "clip.mp4"]
    for name, said in (("empty", "an empty file"), ("loop", "a link that leads nowhere"), ("pipe", "a pipe or device")):
        assert f"left out: {tmp_path / name}.mp4: found {said}" in caplog.text
    assert f"left out: {tmp_path / 'text.dcm'}: found no DICOM header, expected" in caplog.text
    assert caplog.text.count("left out") == 4


def test_a_picture_called_dicom_is_taken(tmp_path: Path) -> None:
    (tmp_path / "still.dcm").write_bytes(b"\x89PNG")
    assert [record["image"] for record in records_from_folder(tmp_path)] == ["still.dcm"]


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clip.mp4").write_bytes(b"0")
    scandir = os.scandir

    def refusing(path: str) -> Any:  # permissions do not stop root
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert [record["image"] for record in records_from_folder(tmp_path)] == ["open/clip.mp4"]
    assert f"left out: {tmp_path / 'closed'}: found a folder that cannot be read (Permission denied)" in caplog.text
    with pytest.raises(InputError, match="closed: cannot be read"):
        records_by_prefix(tmp_path, {"clip": "clip"})


def test_folder_without_clips(tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    with pytest.raises(InputError, match="nothing to read"):
        records_from_folder(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        records_from_folder(tmp_path / "nothere")
