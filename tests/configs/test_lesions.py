# SPDX-License-Identifier: Apache-2.0
"""Segmentation and detection as whole workflows: what a run leaves, on simulated cines and on real stills."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from bundle.inferers import unpack_boxes

SEGMENTATION = ("finetune.yaml", "segmentation.yaml")
DETECTION = (*SEGMENTATION, "detection.yaml")


@pytest.fixture
def quick(tiny: dict[str, Any]) -> dict[str, Any]:
    return {**tiny, "max_epochs": 1, "frames_per_clip": 2, "test_frames_per_clip": 2}


def test_segmentation_of_cines(workflow: Callable[..., ConfigWorkflow], quick: dict[str, Any], pictures: None) -> None:
    run = workflow(*SEGMENTATION, **quick)
    run.run()
    folder = Path(quick["output_dir"])
    content = json.loads((folder / "predictions.json").read_text())
    assert content["task"] == "segmentation" and content["class_names"] == ["lesion"]
    tested = run.parser.get_parsed_content("clips").testing
    assert len(tested) >= 1 and all("liver_lesion" in record["label_name"] for record in tested)
    items = content["items"]
    assert len(items) == 2 * len(tested) and {item["video_id"] for item in items} == {r["video_id"] for r in tested}
    for item in items:  # DICOM says how large a pixel is
        assert 0 <= item["dice"] <= 1 and item["hd95_px"] is None
    assert content["figures"]["dice"]["frames"] == len(items)
    weights = torch.load(folder / "model.pt", weights_only=True)
    assert {"encoder.conv1.weight", "out.conv.conv.weight"} <= set(weights)
    assert (folder / "overlays.png").stat().st_size > 5000 and (folder / "embeddings.npz").exists()


def test_detection_of_cines(workflow: Callable[..., ConfigWorkflow], quick: dict[str, Any], pictures: None) -> None:
    run = workflow(*DETECTION, **quick, min_score=0.0)
    run.run()
    folder = Path(quick["output_dir"])
    content = json.loads((folder / "predictions.json").read_text())
    assert content["task"] == "detection"
    for item in content["items"]:
        assert len(item["boxes"]) == len(item["scores"]) > 0 and len(item["true_boxes"]) == 1
        assert item["scores"] == sorted(item["scores"], reverse=True)
        boxes = np.array(item["boxes"])
        # within a frame of 320 x 240, but for the padding to a square
        assert (boxes[:, 2:] > boxes[:, :2]).all() and boxes[:, 2].max() <= 320 + 80
    assert set(content["figures"]) >= {"ap50", "average_precision", "froc", "lesions"}
    assert (folder / "overlays.png").stat().st_size > 5000
    net = run.parser.get_parsed_content("network_def").eval()
    with torch.no_grad():
        found = torch.jit.script(net)(torch.zeros(1, 1, 32, 32))
    assert found.shape[:2] == (1, 5) and unpack_boxes(found[0], 32, 32, min_score=0.0).shape[1] == 5


@pytest.fixture(scope="module")
def lopsided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stills of 160 x 80 pixels with a bright lesion, wider than high; two without, one whose mask does not fit."""
    folder = tmp_path_factory.mktemp("lopsided")
    random = np.random.default_rng(0)
    lines = ["file,patient_id,label,mask,pixel_size_mm,head_circumference_mm"]
    for k in range(14):
        picture, mask = random.integers(40, 90, (80, 160)), np.zeros((80, 160), np.uint8)
        if k % 7:
            x, y = random.integers(10, 110), random.integers(5, 60)
            picture[y : y + 12, x : x + 36] += 140
            mask[y : y + 12, x : x + 36] = 255
        if k == 8:
            mask = mask[:, :150]
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{k}.png")
        Image.fromarray(mask).save(folder / f"{k}_mask.png")
        lines.append(f"{k}.png,p{k},{'ab'[k % 2]},{k}_mask.png,0.5,{40 + k}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_figures_are_of_original_pixels(
    workflow: Callable[..., ConfigWorkflow], quick: dict[str, Any], lopsided: Path
) -> None:
    """With a network that answers with the truth, Dice is about 1 and a box's IoU about 1, on frames of 160 x 80."""
    settings = {**quick, "dataset_dir": str(lopsided), "image_size": 64}
    run = workflow(*SEGMENTATION, **settings)
    tester = run.parser.get_parsed_content("test::evaluator")
    dataset = run.parser.get_parsed_content("test::dataset")
    metric = next(iter(run.parser.get_parsed_content("test::key_metric").values()))
    tester.inferer = lambda images, network: 20 * (images > 0.1).float() - 10
    tester.run()
    assert len(metric.items) == len(dataset) and any(item["dice"] for item in metric.items)
    for item in metric.items:
        assert item["dice"] is None or item["dice"] > 0.85
        assert item["missed"] in (None, 0) and item["hd95_px"] is None
        if item["dice"] is not None:
            assert item["hd95_mm"] <= 2.0  # two pixels of the network
            assert item["circumference_mm"] == pytest.approx(41, rel=0.15)  # of the ellipse like 18 x 6 mm
            true = float(next(r for r in dataset.data if r["video_id"] == item["video_id"])["head_circumference_mm"])
            assert item["circumference_error_mm"] == pytest.approx(abs(item["circumference_mm"] - true))
    kept = run.parser.get_parsed_content("clips").parts.values()
    assert sum(map(len, kept)) == 13 and not any("8.png" in r["image"] for records in kept for r in records)

    run = workflow(*DETECTION, **settings)
    tester = run.parser.get_parsed_content("test::evaluator")
    metric = next(iter(run.parser.get_parsed_content("test::key_metric").values()))

    def boxes(images: torch.Tensor, network: Any) -> torch.Tensor:
        found = torch.zeros(len(images), 1, 3, 5)
        for one, frame in zip(found, images, strict=True):
            y, x = torch.nonzero(frame[0, 0] > 0.1, as_tuple=True)
            if len(x):
                one[0, 0] = torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1, 0.9])
        return found

    tester.inferer = boxes
    tester.run()
    assert all(item["best_box_iou"] is None or item["best_box_iou"] > 0.7 for item in metric.items)
    assert metric.compute() == pytest.approx(1, abs=1e-6)


def test_bad_masks(
    refused: Callable[..., str], quick: dict[str, Any], lopsided: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "without"
    shutil.copytree(lopsided, folder)
    table = (folder / "labels.csv").read_text().splitlines()
    (folder / "labels.csv").write_text("\n".join(",".join(line.split(",")[:3]) for line in table) + "\n")
    told = refused(*SEGMENTATION, **{**quick, "dataset_dir": str(folder)})
    assert "training clips has a mask" in told
    for file in lopsided.glob("*_mask.png"):
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / file.name)
    (folder / "labels.csv").write_text("\n".join(table) + "\n")
    told = refused(*SEGMENTATION, **{**quick, "dataset_dir": str(folder)})
    assert "no training clip has a mask that can be read and fits" in told
    assert any("found a mask of 1 x 9 x 9" in record.getMessage() for record in caplog.records)
