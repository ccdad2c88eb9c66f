# SPDX-License-Identifier: Apache-2.0
"""Label maps and markups lie where the results of inference lie, in the axes and places of the file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from bundle.errors import InputError
from bundle.inferers import WholeClipd
from bundle.transforms import BoxesBackd, BoxMarkupsd, LabelMapd, MapsBackd

HEIGHT, WIDTH, FRAMES = 48, 64, 7
AFFINE = np.array([[-0.5, 0, 0, 3], [0, -0.25, 0, 4], [0, 0, 2, 0], [0, 0, 0, 1]])


@pytest.fixture(params=["npy", "nii.gz", "png"])
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """A clip or still of each kind of file, as the network takes it."""
    frames = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    frames[:, 8:40, 10:50] = np.random.default_rng(0).integers(30, 220, (FRAMES, 32, 40))
    path = tmp_path / f"a.{request.param}"
    if request.param == "npy":
        np.save(path, frames)
    elif request.param == "png":
        Image.fromarray(frames[0]).save(path)
    else:
        image = nibabel.Nifti1Image(frames.transpose(2, 1, 0), AFFINE)  # type: ignore[attr-defined, no-untyped-call]
        nibabel.save(image, path)  # type: ignore[attr-defined]
    return WholeClipd("image", 32)({"image": str(path)})


def looked_at(sample: dict[str, Any], every: int) -> dict[str, Any]:
    return {**sample, "frame_index": sample["frame_index"][::every]}


def place(sample: dict[str, Any]) -> np.ndarray:
    """From a voxel to mm, in the directions of MONAI and NIfTI."""
    return AFFINE if sample["meta"]["filename_or_obj"].endswith("nii.gz") else np.diag([-1.0, -1, 1, 1])


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("threshold", [0.5, "0.7", None])
def test_label_maps_are_the_maps_of_inference(sample: dict[str, Any], threshold: Any, every: int) -> None:
    sample = looked_at(sample, every)
    index = sample["frame_index"]
    maps = torch.randn(len(index), 1, 32, 32, generator=torch.Generator().manual_seed(0))
    maps = maps if threshold else maps.flatten(1).softmax(dim=1).view_as(maps)
    done = LabelMapd("pred", threshold, density=not threshold)({**sample, "pred": maps})
    labels = done["pred"]
    back = MapsBackd("pred", density=not threshold)({**sample, "pred": maps.sigmoid() if threshold else maps})["pred"]
    if threshold:
        expected = (back > float(threshold)).numpy().astype(np.uint8)
    else:
        expected = np.stack([(255 * one / one.max()).round().numpy().astype(np.uint8) for one in back])
        assert labels.max() == 255
    assert labels.dtype == torch.uint8 and done["result_extension"] == ".nrrd"
    if sample["meta"]["n_frames"] == 1:
        assert np.array_equal(labels.array.T, expected[0])
        return
    assert labels.shape == (WIDTH, HEIGHT, FRAMES) and labels.affine.numpy() == pytest.approx(place(sample), abs=1e-6)
    nearest = [int(np.argmin([abs(k - int(one)) for one in index])) for k in range(FRAMES)]
    assert np.array_equal(labels.array.transpose(2, 1, 0), expected[nearest])


def test_an_extension_that_is_asked_for_stays(sample: dict[str, Any]) -> None:
    maps = torch.zeros(len(sample["frame_index"]), 1, 32, 32)
    done = LabelMapd("pred", 0.5)({**sample, "pred": maps, "result_extension": ".nii.gz"})
    assert done["result_extension"] == ".nii.gz" and not done["pred"].any()


@pytest.mark.parametrize("threshold", ["high", "nan", "7", 1.5, None, True])
def test_a_threshold_that_is_none(sample: dict[str, Any], monkeypatch: pytest.MonkeyPatch, threshold: Any) -> None:
    monkeypatch.setitem(sys.modules, "starlette.exceptions", None)
    maps = torch.zeros(len(sample["frame_index"]), 1, 32, 32)
    with pytest.raises(InputError, match=f"threshold: found {threshold!r}, expected a number from 0 to 1"):
        LabelMapd("pred", threshold)({**sample, "pred": maps})


def test_markups_are_the_boxes_of_inference(sample: dict[str, Any]) -> None:
    sample = looked_at(sample, 2)
    count = len(sample["frame_index"])
    boxes = torch.zeros(count, 3, 5)
    boxes[0, 0] = torch.tensor([4, 6, 20, 14, 0.9])
    boxes[-1, 1] = torch.tensor([1, 2, 9, 30, 0.4])
    done = BoxMarkupsd("pred")({**sample, "pred": boxes})
    back = BoxesBackd("pred")({**sample, "pred": boxes})["pred"]
    expected = [one for frame in back for one in frame if one[4] > 0]
    assert len(expected) == 2
    frames = [int(sample["frame_index"][0]), int(sample["frame_index"][-1])]
    told = done["result"]["boxes"]
    assert [one["frame"] for one in told] == frames and [one["score"] for one in told] == [0.9, 0.4]
    assert [one["box"] for one in told] == [pytest.approx(one[:4].tolist(), abs=1e-3) for one in expected]
    assert done["label"].tolist() == [0, 0] and done["box"].shape == (2, 6)
    to_mm = np.diag([-1, -1, 1, 1]) @ place(sample)
    for frame, one, found in zip(frames, expected, done["box"].tolist(), strict=True):
        x0, y0, x1, y1 = one[:4].tolist()
        corners = np.array([to_mm @ [x - 0.5, y - 0.5, frame, 1] for x, y in ((x0, y0), (x1, y1))])[:, :3]
        assert found[:3] == pytest.approx(corners.mean(axis=0), abs=1e-3)
        assert found[3:] == pytest.approx([*abs(corners[1] - corners[0])[:2], abs(to_mm[2, 2])], abs=1e-3)


def test_no_box(sample: dict[str, Any]) -> None:
    done = BoxMarkupsd("pred")({**sample, "pred": torch.zeros(len(sample["frame_index"]), 3, 5)})
    assert done["box"].shape == (0, 6) and done["label"].shape == (0,) and done["result"] == {"boxes": []}
