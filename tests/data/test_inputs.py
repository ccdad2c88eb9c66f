# SPDX-License-Identifier: Apache-2.0
"""What a trained network is applied to, and what the results are called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bundle.data import input_records
from bundle.errors import InputError


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Three arrays, one in a folder, and an empty file that is called a video."""
    folder = tmp_path / "clips"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.npy", "b.npy", "sub/a.npy"):
        np.save(folder / name, np.zeros((3, 16, 16), np.uint8))
    (folder / "c.mp4").touch()
    return folder


def names(*args: object, **kwargs: object) -> list[str]:
    return [record["name"] for record in input_records(*args, **kwargs)]  # type: ignore[arg-type]


def test_a_folder_a_file_and_a_folder_of_frames(clips: Path, ultrasound_data: Path) -> None:
    records = input_records(clips)
    assert [record["name"] for record in records] == ["a.npy", "b.npy", "c.mp4", "sub/a.npy"]
    assert [record["image"] for record in records] == [str(clips / record["name"]) for record in records]
    (one,) = input_records(clips / "sub" / "a.npy")
    assert (one["name"], one["video_id"], one["image"]) == ("a.npy", "sub/a.npy", str(clips / "sub" / "a.npy"))
    frames = clips / "frames"
    frames.mkdir()
    source = (ultrasound_data / "breast_bus_uclm" / "images" / "ALWI_000.png").read_bytes()
    for k in range(3):
        (frames / f"{k:03d}.png").write_bytes(source)
    (one,) = input_records(frames)
    assert (one["name"], one["image"]) == ("frames", str(frames))
    assert "frames" in names(clips)


def test_a_table_and_a_datalist_say_which_clips(clips: Path, tmp_path: Path) -> None:
    (clips / "labels.csv").write_text("file,video_id,mask\nb.npy,7,a.npy\nsub/a.npy,8,\n")
    records = input_records(clips)
    assert [(record["name"], record["video_id"]) for record in records] == [
        ("b.npy", "clips/7"),
        ("sub/a.npy", "clips/8"),
    ]
    one = {"image": "a.npy", "video_id": "x/a", "patient_id": "x/1"}
    two = {"image": "sub/a.npy", "video_id": "x/b", "patient_id": "x/2"}
    file = tmp_path / "datalist.json"
    file.write_text(json.dumps({"name": "x", "labels": [], "training": [one], "testing": [two]}))
    assert names(clips, file) == ["a.npy", "sub/a.npy"] and names(clips, file, "testing") == ["sub/a.npy"]
    with pytest.raises(InputError, match="no clip in the part validation"):
        input_records(clips, file, "validation")
    with pytest.raises(InputError, match="part: found 'test'"):
        input_records(clips, file, "test")


def test_what_is_not_ultrasound_is_counted_and_taken_when_asked(
    clips: Path, ultrasound_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from pydicom import dcmread

    other = dcmread(ultrasound_data / "dicom_us" / "files" / "US1_UNCR.dcm")
    other.Modality, other.SOPClassUID = "MR", "1.2.840.10008.5.1.4.1.1.4"
    other.save_as(clips / "mr.dcm")
    with caplog.at_level("INFO"):
        assert "mr.dcm" not in names(clips)
    assert "1 MR (mr.dcm)" in caplog.text
    assert "mr.dcm" in names(clips, any_modality=True)


def test_results_stay_in_their_folder(clips: Path, tmp_path: Path) -> None:
    record = {"image": "../clips/a.npy", "video_id": "x/a", "patient_id": "x/1"}
    (tmp_path / "other").mkdir()
    (tmp_path / "d.json").write_text(json.dumps({"training": [record]}))
    assert names(tmp_path / "other", tmp_path / "d.json") == ["clips/a.npy"]
    with pytest.raises(InputError, match="no such file or folder"):
        input_records(tmp_path / "none")


def test_two_files_do_not_share_a_name(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "clips").mkdir(parents=True)
    np.save(tmp_path / "other" / "clips" / "a.npy", np.zeros((3, 16, 16), np.uint8))
    records = [
        {"image": f"{place}/a.npy", "video_id": f"x/{place}", "patient_id": "x/1"} for place in ("clips", "../clips")
    ]
    (tmp_path / "d.json").write_text(json.dumps({"training": records}))
    with pytest.raises(InputError, match=r"a.npy: its results would be called clips/a.npy, as those of /.*other"):
        input_records(tmp_path / "other", tmp_path / "d.json")
