# SPDX-License-Identifier: Apache-2.0
"""Files nobody can train on: one line that names the file and says what to do, and nothing lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from bundle.errors import InputError, input_error_in


def cut_header(clip: Path, to: Path) -> None:
    to.write_bytes(clip.read_bytes()[:200])


def cut_before_the_first_frame_ends(clip: Path, to: Path) -> None:
    whole = clip.read_bytes()
    to.write_bytes(whole[: whole.index(b"\xe0\x7f\x10\x00") + 40])


def rewritten(**changes: Any) -> Callable[[Path, Path], None]:
    """Writes the clip again with other attributes; None takes one out."""

    def write(clip: Path, to: Path) -> None:
        dataset = pydicom.dcmread(clip)
        for name, value in changes.items():
            if value is None:
                delattr(dataset, name)
            elif name == "TransferSyntaxUID":
                dataset.file_meta.TransferSyntaxUID = UID(value)
            else:
                setattr(dataset, name, value)
        dataset.save_as(to)

    return write


BAD_FILES = {
    "cut in the header": (cut_header, "a.dcm", "copy it again"),
    "cut in the first frame": (cut_before_the_first_frame_ends, "a.dcm", "copy it again"),
    "without pixels": (rewritten(PixelData=None), "a.dcm", "without pixels"),
    "a syntax nobody decodes": (rewritten(TransferSyntaxUID="1.2.840.10008.1.2.4.94"), "a.dcm", "JPIP"),
    "text called .dcm": (lambda clip, to: to.write_text("not a DICOM file"), "a.dcm", "DICOM"),
    "another modality": (rewritten(Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2"), "a.dcm", "CT"),
    "0 bytes": (lambda clip, to: to.write_bytes(b""), "a.mp4", "0 bytes"),
    "text called .mp4": (lambda clip, to: to.write_text("not a video"), "a.mp4", "video"),
}


@pytest.fixture(scope="module")
def good_clip(phantom: Path) -> Path:
    return sorted(phantom.rglob("*.dcm"))[0]


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_folder_of_nothing_else_is_refused_and_an_earlier_run_stays_whole(case, workflow, tiny, good_clip, tmp_path):
    spoil, name, said = BAD_FILES[case]
    folder, run = tmp_path / "clips", Path(tiny["output_dir"])
    folder.mkdir()
    run.mkdir()
    (run / "run.json").write_text("{}")
    (run / "encoder.safetensors").write_bytes(b"earlier")
    spoil(good_clip, folder / name)
    with pytest.raises(Exception) as caught:
        workflow("train.yaml", **{**tiny, "dataset_dir": str(folder), "overwrite": True}).run()
    error = input_error_in(caught.value)
    assert isinstance(error, InputError), repr(caught.value)
    assert name in str(error) and said in str(error) and "expected" in str(error) and "\n" not in str(error)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == {
        "run.json": b"{}",
        "encoder.safetensors": b"earlier",
    }


def test_bad_files_among_good_ones_are_named_and_left_out(workflow, tiny, phantom, good_clip, tmp_path, caplog):
    folder = tmp_path / "clips"
    folder.mkdir()
    for number, clip in enumerate(sorted(phantom.rglob("*.dcm"))[:4]):
        shutil.copy(clip, folder / f"good{number}.dcm")
    for number, (spoil, name, _) in enumerate(BAD_FILES.values()):
        spoil(good_clip, folder / f"bad{number}{Path(name).suffix}")
    caplog.set_level("INFO")
    run = workflow("train.yaml", **{**tiny, "dataset_dir": str(folder), "batch_size": 4, "max_epochs": 1})
    run.run()
    for number in range(len(BAD_FILES)):
        assert f"bad{number}" in caplog.text
    kept = [Path(record["image"]).name for record in run.parser.get_parsed_content("train#dataset").data]
    assert sorted(kept) == [f"good{number}.dcm" for number in range(4)]


def test_the_frames_before_a_cut_are_used(workflow, tiny, tmp_path, caplog):
    folder = tmp_path / "clips"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(2):
        path = folder / f"{number}.avi"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mjpeg", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
            for _ in range(10):
                frame = av.VideoFrame.from_ndarray(noise.integers(0, 256, (48, 64, 3), dtype=np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    whole = (folder / "1.avi").read_bytes()
    (folder / "1.avi").write_bytes(whole[: len(whole) // 2])
    caplog.set_level("WARNING")
    run = workflow("train.yaml", **{**tiny, "dataset_dir": str(folder), "batch_size": 2, "max_epochs": 1})
    run.run()
    lengths = [item["image"].shape[1] for item in (run.parser.get_parsed_content("train#dataset")[k] for k in ())]
    assert lengths == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content["training"][0].update(label="dragon"), "dragon"),
        (lambda content: content["training"].append(content["training"][0]), "twice"),
        (lambda content: content["testing"][0].update(patient_id=content["training"][0]["patient_id"]), "patient"),
    ],
    ids=["unknown label", "duplicate row", "patient in two parts"],
)
def test_datalists(change, said, workflow, tiny, phantom, tmp_path):
    run = workflow("train.yaml", **tiny)
    content = json.loads(json.dumps(run.parser.get_parsed_content("datalist").content))
    change(content)
    path = tmp_path / "list.json"
    path.write_text(json.dumps(content))
    with pytest.raises(Exception) as caught:
        workflow("train.yaml", **tiny, datalist_file=str(path), label_column="label").run()
    error = str(input_error_in(caught.value))
    assert said in error and "list.json" in error and "\n" not in error
