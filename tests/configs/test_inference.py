# SPDX-License-Identifier: Apache-2.0
"""The inference recipe: what a run learned applied to files, folders and datalists, by its folder alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image
from pydicom import dcmread

from bundle.networks import EMBEDDING, Encoder, save_encoder, write_description
from bundle.networks.trained_model import NETWORKS
from bundle.readers.cine import read_cine

RECIPE = str(Path(__file__).parents[2] / "configs" / "inference.yaml")
REAL = (
    "dicom_us/files/examples_ybr_color.dcm",
    "pocus_lung/videos/linear/Reg_Image_18122_crop.mp4",
    "pocus_lung/videos/convex/Cov-Atlas-Day+2.gif",
    "tracked_plus/sequences/BoneUltrasound_L14.igs.mha",
    "breast_bus_uclm/images/ALWI_000.png",
)


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., Path]:
    """``trained("segmentation")``: the folder of a run, with random weights."""

    def make(task: str, **network: Any) -> Path:
        folder = tmp_path / f"run_{task}"
        folder.mkdir()
        torch.manual_seed(0)
        torch.save(NETWORKS[task](Encoder(), **network).state_dict(), folder / "model.pt")
        classes = ["a", "b"] if task == "classification" else ["lesion"]
        described = {"task": task, "class_names": classes, "architecture": "resnet18", "in_channels": 1}
        described |= {"image_size": 32, "normalisation": {"mean": 0.5, "std": 0.25}, "network": network}
        write_description(folder, {**described, "settings": {"min_score": 0.0} if task == "detection" else {}})
        return folder

    return make


@pytest.fixture
def infer(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs the recipe and gives the content of ``results.json``."""

    def run(**overrides: Any) -> dict[str, Any]:
        given = {"output_dir": str(tmp_path / "out"), **{key: str(v) for key, v in overrides.items() if key != "more"}}
        given |= {"bundle_root": str(tmp_path), **overrides.get("more", {})}
        made = ConfigWorkflow(RECIPE, workflow_type="infer", logging_file=False, **given)
        made.initialize()
        assert made.check_properties() == []
        made.run()
        return json.loads((Path(given["output_dir"]) / "results.json").read_text())

    return run


def test_a_run_is_applied_as_it_was_tested(
    workflow: Callable[..., ConfigWorkflow], tiny: dict[str, Any], infer: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    run = Path(tiny["output_dir"])
    settings = {**tiny, "max_epochs": 1, "frames_per_clip": 2, "test_frames_per_clip": 3, "mean": 0.4, "std": 0.2}
    workflow("finetune.yaml", **settings).run()
    tested = json.loads((run / "predictions.json").read_text())
    tested_clips = {"run_dir": run, "input": tiny["dataset_dir"], "datalist_file": run / "datalist.json"}
    more = {"frames_per_clip": 3, "frames_at_once": 2}
    told = infer(**tested_clips, part="testing", more={**more, "pictures": False, "videos": False})
    assert told["task"] == "classification" and told["class_names"] == tested["class_names"]
    clips = {clip["video_id"]: clip for clip in told["clips"]}
    assert set(clips) == {clip["video_id"] for clip in tested["clips"]} and not told["failed"]
    for clip in tested["clips"]:
        assert list(clips[clip["video_id"]]["probabilities"].values()) == pytest.approx(clip["probabilities"], abs=1e-4)
    for item in tested["items"]:
        (row,) = (row for row in clips[item["video_id"]]["frames"] if row["frame"] == item["frame"])
        assert list(row["probabilities"].values()) == pytest.approx(item["probabilities"], abs=1e-4)

    out = tmp_path / "embeddings"
    infer(**tested_clips, part="testing", task=EMBEDDING, output_dir=out, more=more)
    with np.load(run / "embeddings.npz") as file, np.load(out / "embeddings.npz") as again:
        places = {name: i for i, name in enumerate(zip(again["video_id"], again["frame"], strict=True))}
        order = [places[one] for one in zip(file["video_id"], file["frame"], strict=True)]
        assert len(order) == len(again["frame"])
        assert again["features"][order] == pytest.approx(file["features"], abs=1e-4)


@pytest.mark.parametrize("task", ["segmentation", "saliency"])
def test_maps_of_real_files_lie_on_their_frames(
    ultrasound_data: Path, trained: Callable[..., Path], infer: Callable[..., dict[str, Any]], tmp_path: Path, task: str
) -> None:
    clips = tmp_path / "clips"
    for file in REAL:
        (clips / Path(file).parts[0]).mkdir(parents=True, exist_ok=True)
        shutil.copy(ultrasound_data / file, clips / Path(file).parts[0])
    run = trained(task, **({"output_stride": 16} if task == "saliency" else {}))
    told = infer(run_dir=run, input=clips, more={"frames_per_clip": 2, "threshold": 0.4})
    assert len(told["clips"]) == len(REAL)
    for clip in told["clips"]:
        name, frames = clip["file"], [row["frame"] for row in clip["frames"]]
        original = read_cine(clips / name, frames).frames
        what = "mask" if task == "segmentation" else "map"
        voxels = np.asarray(nibabel.load(tmp_path / "out" / f"{name}_{what}.nii.gz").dataobj)  # type: ignore[attr-defined]
        assert voxels.shape == (original.shape[2], original.shape[1], len(frames))
        if task == "segmentation":
            assert [row["pixels"] for row in clip["frames"]] == voxels.sum(axis=(0, 1), dtype=int).tolist()
        else:
            assert voxels.sum(axis=(0, 1)) == pytest.approx(1, abs=1e-3)
        picture = np.asarray(Image.open(tmp_path / "out" / f"{name}_overlay.png"))
        assert picture.shape[1] == original.shape[2] * len(frames) and picture.std() > 5
        video = tmp_path / "out" / f"{name}_overlay.mp4"
        assert video.exists() == (len(frames) > 1)
        if len(frames) > 1:
            shown = read_cine(video).frames
            assert shown.shape[0] == 2 and shown.shape[2] == original.shape[2] // 2 * 2


def test_boxes_of_a_folder_without_a_table(
    phantom: Path, trained: Callable[..., Path], infer: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    clip = sorted((phantom / "clips").rglob("*.dcm"))[0]
    (tmp_path / "clips").mkdir()
    shutil.copy(clip, tmp_path / "clips" / "a.dcm")
    told = infer(run_dir=trained("detection"), input=tmp_path / "clips", more={"stride": 4, "max_boxes": 5})
    (one,) = told["clips"]
    assert [row["frame"] for row in one["frames"]] == [0, 4] and one["frames_of_file"] == 6
    height, width = read_cine(clip, [0]).frames.shape[1:3]
    for row in one["frames"]:
        boxes = np.array(row["boxes"])
        assert boxes.shape == (5, 4) and row["scores"] == sorted(row["scores"], reverse=True)
        assert (boxes >= 0).all() and boxes[:, 2].max() <= width and boxes[:, 3].max() <= height
    assert "seconds" in one["frames"][1]


def test_of_dicom_also_dicom(
    phantom: Path, trained: Callable[..., Path], infer: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    pytest.importorskip("highdicom", reason="needs highdicom: install the extra test")
    clip = sorted((phantom / "clips").rglob("*.dcm"))[0]
    more = {"dicom": True, "stride": 4, "threshold": 0.4, "pictures": False, "videos": False}
    infer(run_dir=trained("segmentation"), input=clip, output_dir=tmp_path / "masks", more=more)
    voxels = np.asarray(nibabel.load(tmp_path / "masks" / f"{clip.name}_mask.nii.gz").dataobj)  # type: ignore[attr-defined]
    seg = dcmread(tmp_path / "masks" / f"{clip.name}_seg.dcm")
    assert voxels.any() and np.array_equal(seg.pixel_array, voxels.transpose(2, 1, 0))
    told = infer(run_dir=trained("classification", num_classes=2), input=clip, more=more)
    report = dcmread(tmp_path / "out" / f"{clip.name}_sr.dcm")
    assert not (tmp_path / "out" / f"{clip.name}_seg.dcm").exists()
    groups = report.ContentSequence[-1].ContentSequence
    for group, row in zip(groups, [told["clips"][0], *told["clips"][0]["frames"]], strict=True):
        numbers = [item.MeasuredValueSequence[0] for item in group.ContentSequence if item.ValueType == "NUM"]
        assert [number.FloatingPointValue for number in numbers] == list(row["probabilities"].values())
    assert report.PatientID == seg.PatientID == dcmread(clip).PatientID


def test_the_encoder_of_a_pretraining_and_one_file(
    ultrasound_data: Path, infer: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    save_encoder(
        Encoder(in_channels=3),
        tmp_path / "run",
        normalisation={"mean": 0.5, "std": [0.2, 0.25, 0.3]},
        image_size=32,
        trained={},
    )
    told = infer(run_dir=tmp_path / "run", input=ultrasound_data / REAL[-1])
    assert told["task"] == EMBEDDING and [clip["file"] for clip in told["clips"]] == ["ALWI_000.png"]
    with np.load(tmp_path / "out" / "embeddings.npz") as file:
        assert file["features"].shape == (1, 512) and file["clip"].tolist() == ["ALWI_000.png"]


def test_a_bad_file_among_good_ones_from_the_command_line(
    phantom: Path,
    trained: Callable[..., Path],
    command_line: Callable[..., subprocess.CompletedProcess],
    tmp_path: Path,
) -> None:
    (tmp_path / "clips").mkdir()
    for k, clip in enumerate(sorted((phantom / "clips").rglob("*.dcm"))[:2]):
        shutil.copy(clip, tmp_path / "clips" / f"{k}.dcm")
    (tmp_path / "clips" / "cut.dcm").write_bytes(bytes(128) + b"DICM" + b"no header follows" * 9)
    (tmp_path / "clips" / "empty.mp4").touch()
    given = {"run_dir": trained("classification", num_classes=2), "input": tmp_path / "clips", "output_dir": "out"}
    root = Path(__file__).parents[2]
    done = command_line("inference.yaml", tmp_path, **given, bundle_root=root, frames_per_clip=2)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: 2 of 4 inputs could not be used: cut.dcm, empty.mp4 (why: ")
    assert "Traceback" not in done.stderr and "clips: 100%" in done.stderr
    told = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [clip["file"] for clip in told["clips"]] == ["0.dcm", "1.dcm"]
    assert [one["file"] for one in told["failed"]] == ["cut.dcm", "empty.mp4"]
    assert (
        not list((tmp_path / "out").glob("*.part*")) and (tmp_path / "out" / "0.dcm_overlay.mp4").stat().st_size > 500
    )


def test_what_it_refuses(
    phantom: Path, trained: Callable[..., Path], refused: Callable[..., str], tmp_path: Path
) -> None:
    run = trained("segmentation")
    given = {"bundle_root": str(tmp_path), "input": str(phantom), "output_dir": str(tmp_path / "out")}
    assert "found no model.json" in refused("inference.yaml", **given, run_dir=str(tmp_path))
    given["run_dir"] = str(run)
    assert "(1, 64, 64), expected (1, 32, 32)" in refused("inference.yaml", **given, image_size=64)
    assert "(3, 32, 32), expected (1, 32, 32)" in refused("inference.yaml", **given, in_channels=3)
    assert "was trained for segmentation" in refused("inference.yaml", **given, task="saliency")
    for stride in (1.5, "abc"):
        assert f"stride: found {stride!r}, expected a whole number" in refused("inference.yaml", **given, stride=stride)
    classes = {**given, "run_dir": str(trained("classification", num_classes=2))}
    assert "the network gives no scores" in refused("inference.yaml", **classes, clip_score="attention")
    detection = {**given, "run_dir": str(trained("detection"))}
    assert "expected segmentation or classification" in refused("inference.yaml", **detection, dicom=True)
    missing = str(tmp_path / "none.dcm")
    assert "none.dcm: no such file or folder" in refused("inference.yaml", **{**given, "input": missing})
    assert "lies in the folder of clips" in refused(
        "inference.yaml", **{**given, "output_dir": str(phantom / "results")}
    )
    assert not (tmp_path / "out").exists(), "nothing is written by a run that is refused"
