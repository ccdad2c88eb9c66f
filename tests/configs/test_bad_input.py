# SPDX-License-Identifier: Apache-2.0
"""Files nobody can train on: one line that names the file and says what to do, and nothing lost."""

from __future__ import annotations

import copy
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from bundle.errors import input_error_in
from bundle.networks import load_encoder


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


def write_video(to: Path, codec: str, pixels: str, length: int = 10) -> None:
    noise = np.random.default_rng(0)
    with av.open(str(to), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for _ in range(length):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 256, (48, 64, 3), dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def cut_video(clip: Path, to: Path) -> None:
    write_video(to, "mpeg4", "yuv420p")
    to.write_bytes(to.read_bytes()[: to.stat().st_size // 2])


BAD_FILES = {
    "cut in the header": (cut_header, "a.dcm", "1 without pixels"),
    "cut in the first frame": (cut_before_the_first_frame_ends, "a.dcm", "copy it again"),
    "without pixels": (rewritten(PixelData=None), "a.dcm", "1 without pixels"),
    "a syntax nobody decodes": (rewritten(TransferSyntaxUID="1.2.840.10008.1.2.4.94"), "a.dcm", "JPIP"),
    "text called .dcm": (lambda clip, to: to.write_text("not a DICOM file"), "a.dcm", "no DICOM header"),
    "another modality": (rewritten(Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2"), "a.dcm", "1 CT"),
    "0 bytes": (lambda clip, to: to.write_bytes(b""), "a.mp4", "0 bytes"),
    "text called .mp4": (lambda clip, to: to.write_text("not a video"), "a.mp4", "cannot be read as video (Invalid"),
    "an mp4 cut before its index": (cut_video, "a.mp4", "its index (moov), which stands at the end, is missing"),
}


@pytest.fixture(scope="module")
def good_clip(phantom: Path) -> Path:
    return sorted(phantom.rglob("*.dcm"))[0]


def earlier_run(folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    for name in ("encoder.safetensors", "last.pt", "model.pt", "probe.json"):
        (folder / name).write_text(f"earlier {name}")
    return whole(folder)


def whole(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_folder_of_nothing_else_is_refused_and_an_earlier_run_stays_whole(refused, case, tiny, good_clip, tmp_path):
    spoil, name, said = BAD_FILES[case]
    (tmp_path / "clips").mkdir()
    earlier = earlier_run(tmp_path / "run")
    spoil(good_clip, tmp_path / "clips" / name)
    error = refused(**{**tiny, "dataset_dir": str(tmp_path / "clips"), "overwrite": True})
    assert name in error and said in error and "expected" in error
    assert whole(tmp_path / "run") == earlier


def test_bad_files_among_good_ones_are_named_and_left_out(workflow, tiny, phantom, good_clip, tmp_path, caplog):
    folder = tmp_path / "clips"
    folder.mkdir()
    for number, clip in enumerate(sorted(phantom.rglob("*.dcm"))[1:5]):
        shutil.copy(clip, folder / f"good{number}.dcm")
    for number, (spoil, name, _) in enumerate(BAD_FILES.values()):
        spoil(good_clip, folder / f"bad{number}{Path(name).suffix}")
    # what comes first of one SOP instance is taken, here the cut one; give the other syntax an instance of its own
    rewritten(TransferSyntaxUID="1.2.840.10008.1.2.4.94", SOPInstanceUID="1.2.3")(good_clip, folder / "bad3.dcm")
    caplog.set_level("INFO")
    run = workflow("train.yaml", **{**tiny, "dataset_dir": str(folder), "batch_size": 4, "max_epochs": 1})
    run.run()
    told = caplog.text.splitlines()
    skipped = next(line for line in told if "of the DICOM files skipped" in line)
    assert "1 CT (bad5.dcm), 2 without pixels (bad0.dcm, bad2.dcm)" in skipped
    for name in ("bad1.dcm", "bad3.dcm", "bad4.dcm", "bad6.mp4", "bad7.mp4", "bad8.mp4"):
        assert sum("left out: " in line and name in line for line in told) == 1, name
    assert (
        "4 of 8 files ready" in caplog.text and ", 4 left out" in caplog.text
    )  # without bad4 and bad6, no clips at all
    clips = run.parser.get_parsed_content("clips")
    kept = [Path(record["image"]).name for record in clips.training + clips.validation + clips.testing]
    assert sorted(kept) == [f"good{number}.dcm" for number in range(4)]
    assert load_encoder(tiny["output_dir"])[0].feature_dim == 512


def test_the_frames_before_a_cut_are_used(workflow, tiny, tmp_path, caplog):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("cut.avi", "whole.avi"):
        write_video(folder / name, "mjpeg", "yuvj420p")
    data = (folder / "cut.avi").read_bytes()
    (folder / "cut.avi").write_bytes(data[: len(data) // 2])
    caplog.set_level("WARNING")
    run = workflow("train.yaml", **{**tiny, "dataset_dir": str(folder), "batch_size": 2, "max_epochs": 1})
    run.run()
    dataset = run.parser.get_parsed_content("train#dataset")
    lengths = {Path(record["image"]).name: dataset.item(k)["image"].shape[1] for k, record in enumerate(dataset.data)}
    assert lengths["whole.avi"] == 10 and 2 < lengths["cut.avi"] < 8
    said = f"cut: the last frame has no end); the {lengths['cut.avi']} frames that can be decoded are used"
    assert f"{folder / 'cut.avi'}: found damage ({said}" in caplog.text


@pytest.mark.parametrize("preset", ["uscl", "ivpp", "simclr"])
def test_clips_of_one_frame_make_pairs_and_are_counted_once(preset, workflow, tiny, tmp_path, caplog):
    folder = tmp_path / "clips"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number, length in enumerate((1, 1, 4)):
        np.save(folder / f"{number}.npy", noise.integers(0, 256, (length, 24, 32), dtype=np.uint8))
    caplog.set_level("INFO")
    tiny |= {"dataset_dir": str(folder), "batch_size": 3, "max_epochs": 1, "pair_preset": preset}
    samples = list(workflow("train.yaml", **tiny, parts={"training": 1.0}).parser.get_parsed_content("train#dataset"))
    told = [line for line in caplog.text.splitlines() if "have one frame" in line]
    assert len(told) == 1 and "2 of 3 training clips have one frame" in told[0]
    assert len(samples) == 3
    for sample in samples:
        if sample["video_id"].endswith(("0.npy", "1.npy")):
            assert (np.asarray(sample["pair_frames"]) == 0).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content["training"][0].update(label="dragon"), "unknown label 'dragon'"),
        (lambda content: content["training"].append(content["training"][0]), "listed twice"),
        (
            lambda content: content["testing"][0].update(patient_id=content["training"][0]["patient_id"]),
            "training and testing share 1 patient",
        ),
    ],
    ids=["unknown label", "duplicate row", "patient in two parts"],
)
def test_datalists(refused, change, said, workflow, tiny, tmp_path):
    content = copy.deepcopy(workflow("train.yaml", **tiny).parser.get_parsed_content("datalist").content)
    change(content)
    path = tmp_path / "list.json"
    path.write_text(json.dumps(content))
    earlier = earlier_run(tmp_path / "run")
    error = refused(**tiny, datalist_file=str(path), overwrite=True)
    assert said in error and "list.json" in error and ("expected" in error or "keep one" in error)
    assert whole(tmp_path / "run") == earlier


DETECTION = ("finetune.yaml", "segmentation.yaml", "detection.yaml")


@pytest.mark.parametrize(
    ("recipe", "setting", "said"),
    [
        (("train.yaml",), {"max_epochs": 0}, "max_epochs: found 0, expected"),
        (("train.yaml",), {"train::trainer::max_epochs": 0}, "max_epochs: found 0, expected"),
        (("train.yaml",), {"seed": -1}, "seed: found -1, expected"),
        (("train.yaml",), {"crop_area": [0.9, 0.5]}, "crop_area: found [0.9, 0.5], expected"),
        (("train.yaml", "pretrain_order_geometry.yaml"), {"image_size": 0}, "image_size: found 0, expected"),
        (("finetune.yaml",), {"learning_rate": "fast"}, "learning_rate: found 'fast', expected"),
        (("finetune.yaml",), {"batch_size": 0}, "batch_size: found 0, expected"),
        (DETECTION, {"max_boxes": 0}, "max_boxes: found 0, expected"),
        (DETECTION, {"overlap": 1.5}, "overlap: found 1.5, expected"),
        (DETECTION, {"min_score": -0.1}, "min_score: found -0.1, expected"),
        (("inference.yaml",), {"threshold": 2}, "threshold: found 2, expected"),
    ],
)
def test_settings_are_refused_before_anything_is_read(recipe, setting, said, refused, tiny, tmp_path):
    tiny |= {"dataset_dir": str(tmp_path / "not looked at")}
    assert said in refused(*recipe, **{**tiny, **setting})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("recipe", ["train.yaml", "finetune.yaml"])
def test_a_normalisation_for_other_channels_loses_nothing(recipe, refused, tiny, tmp_path):
    earlier = earlier_run(tmp_path / "run")
    error = refused(recipe, **tiny, mean=[0.1, 0.2, 0.3], overwrite=True)
    assert "mean: found [0.1, 0.2, 0.3], expected one number for an encoder of 1 channels" in error
    assert whole(tmp_path / "run") == earlier


def test_a_bad_pixel_size_is_told_before_the_first_epoch(refused, workflow, tiny, tmp_path):
    recipe = ("finetune.yaml", "segmentation.yaml")
    content = copy.deepcopy(workflow(*recipe, **tiny).parser.get_parsed_content("datalist").content)
    tested = next(record for record in content["testing"] if record["mask"])
    tested["pixel_size_mm"] = "-0.2"
    (tmp_path / "list.json").write_text(json.dumps(content))
    error = refused(*recipe, **tiny, datalist_file=str(tmp_path / "list.json"))
    assert tested["video_id"] in error and "pixel_size_mm is '-0.2'; expected a number of mm, above 0" in error
    assert not (tmp_path / "run").exists()


def test_a_full_disk_leaves_the_earlier_state(workflow, tiny, tmp_path, monkeypatch):
    """The disk is full when a run that is gone on with writes its checkpoint, or in the end its encoder."""
    workflow("train.yaml", **{**tiny, "max_epochs": 1}).run()
    put_in_place = os.replace

    def gone_on_with(run: Path) -> Any:
        shutil.copytree(tiny["output_dir"], run, dirs_exist_ok=True)
        resumed = workflow("train.yaml", **{**tiny, "output_dir": str(run)}, resume=True)
        resumed.parser["checkpoint#settings#max_epochs"] = 1  # one epoch more than it was started for
        return resumed

    for name in ("last.pt", "encoder.safetensors"):
        run = tmp_path / name
        resumed, state = gone_on_with(run), whole(run)

        def full(source: Any, target: Any, name: str = name) -> None:
            if Path(target).name == name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            put_in_place(source, target)

        with monkeypatch.context() as patched, pytest.raises(Exception) as caught:
            patched.setattr(os, "replace", full)
            resumed.run()
        error = str(input_error_in(caught.value))
        assert error.startswith(f"{run / name}: cannot be written (No space left on device: ")
        assert "MB free): make it writable, free some of its disk" in error and "\n" not in error
        left = whole(run)
        assert left[name] == state[name] and set(left) == set(state), "nothing half-written stays"
        assert load_encoder(run)[1]["trained"]["of_epochs"] == 1
    run = tmp_path / "last.pt"
    gone_on_with(run).run()
    assert load_encoder(run)[1]["trained"]["of_epochs"] == 2


def test_a_run_that_cannot_be_written_is_not_emptied(workflow, tiny, tmp_path, monkeypatch):
    earlier = earlier_run(tmp_path / "run")

    def full(source: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = workflow("train.yaml", **tiny, overwrite=True)
    run.parser.get_parsed_content("clips")  # the cache is full already
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Exception) as caught:
        run.run()
    assert "run.json: cannot be written (No space left on device" in str(input_error_in(caught.value))
    assert whole(tmp_path / "run") == earlier


def test_a_checkpoint_that_is_cut_is_refused_and_stays(refused, workflow, tiny, tmp_path):
    workflow("train.yaml", **{**tiny, "max_epochs": 1}).run()
    path = tmp_path / "run" / "last.pt"
    path.write_bytes(path.read_bytes()[:5000])
    state = whole(tmp_path / "run")
    error = refused(**{**tiny, "max_epochs": 1}, resume=True)
    assert str(path) in error and "cannot be read" in error and "--overwrite True" in error
    assert {**whole(tmp_path / "run"), "run.json": b""} == {**state, "run.json": b""}


def test_as_a_user_sees_it(command_line, tiny, good_clip, tmp_path):
    folder = tmp_path / "clips of Zoë"
    folder.mkdir()
    cut_before_the_first_frame_ends(good_clip, folder / "Björn 1.dcm")
    done = command_line("train.yaml", tmp_path, **{**tiny, "dataset_dir": folder})
    assert done.returncode == 1 and "Traceback" not in done.stderr
    [error] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.stderr.endswith(f"{error}\n")
    assert f"{folder / 'Björn 1.dcm'}: found no whole frame" in error and "copy it again" in error
    assert not Path(tiny["output_dir"]).exists()
