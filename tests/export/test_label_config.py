# SPDX-License-Identifier: Apache-2.0
"""What an exported recipe of inference says to MONAI Label is what it writes to files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

TASKS = ("us_plane_classification", "us_lesion_segmentation", "us_saliency_segmentation", "us_lesion_detection")


@pytest.mark.parametrize("name", ["cine.dcm", "rgb.png", "clip.mp4"])
@pytest.mark.parametrize("task", TASKS)
def test_both_ways_to_a_result_agree(
    exported: Callable[[str], Path], files: dict[str, Path], tmp_path: Path, task: str, name: str
) -> None:
    folder, path, out = exported(task), files[name], tmp_path / "out"
    text = (folder / "configs" / "inference.json").read_text().replace("scripts.", "bundle.")  # as it was
    config = ConfigParser({**json.loads(text), "bundle_root": str(folder)})
    config.update({"device": "cpu", "input": str(path), "output_dir": str(out), "pictures": False, "stride": 2})
    network = config.get_parsed_content("network_def")
    network.load_state_dict(torch.load(folder / "models" / "model.pt", weights_only=True))
    network.eval()
    config.get_parsed_content("evaluator").run()
    told = json.loads((out / "results.json").read_text())["clips"][0]

    shown = config["displayable_configs"]
    assert {"frame_stride", "max_frames", "any_modality"} <= set(shown)
    shown["frame_stride"] = 2
    config.parse()
    sample: dict[str, Any] = {"image": str(path), "device": "cpu"}
    for step in config.get_parsed_content("preprocessing").transforms:
        sample = step(sample)
    with torch.no_grad():
        if "detection" in task:
            detector = config.get_parsed_content("detector")
            detector.network = network
            assert config.get_parsed_content("detector_ops") == []
            predicted = detector(sample["image"][None], use_inferer=True)
        else:
            predicted = config.get_parsed_content("inferer")(sample["image"][None], network)
    sample["pred"] = predicted[0]
    for step in config.get_parsed_content("postprocessing").transforms:
        sample = step(sample)

    if "probabilities" in told:
        assert sample["pred"].tolist() == pytest.approx(list(told["probabilities"].values()), abs=2e-6)
        return
    if "frames_with_boxes" in told:
        found = sample["result"]["boxes"]
        assert [(one["frame"], one["score"]) for one in found] == [
            (row["frame"], pytest.approx(score, abs=1e-5)) for row in told["frames"] for score in row["scores"]
        ]
        boxes = [box for row in told["frames"] for box in row["boxes"]]
        assert len(boxes) > 1 and np.array([one["box"] for one in found]) == pytest.approx(np.array(boxes), abs=1e-2)
        return
    (written,) = out.glob("*.nii.gz")
    expected = np.asarray(nibabel.load(written).dataobj)  # type: ignore[attr-defined]
    labels = sample["pred"].array.reshape(*expected.shape[:2], -1)[..., ::2]
    form = json.loads((folder / "configs" / "metadata.json").read_text())["network_data_format"]
    names = form["outputs"]["pred"]["channel_def"]
    assert names.keys() == {"0", str(int(labels.max()))} and names["0"] == "background"
    if "saliency" in task:
        highest = expected.max(axis=(0, 1))
        assert np.abs(labels - 255 * expected / highest).max() <= 0.51
    else:
        assert 0 < labels.sum() < labels.size and (labels != expected).mean() < 1e-4
