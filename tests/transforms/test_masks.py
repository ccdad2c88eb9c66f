# SPDX-License-Identifier: Apache-2.0
"""Masks beside clips: reading, fitting, coming along with the frames, and the boxes around what is marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from bundle.data import FrameCache, MaskedDataset, keep_masked, open_datalist, read_mask
from bundle.errors import InputError
from bundle.transforms import (
    EvenFramesd,
    MaskAlongd,
    MaskToBoxesd,
    RandAugmentFramesd,
    RandFramesd,
    RandViewGeometry,
    boxes_of_mask,
    check_area,
    mask_preprocessing,
    preprocessing,
)

HEIGHT, WIDTH = 60, 90


def slow_boxes(mask: np.ndarray) -> list[list[int]]:
    """Connected pieces by flooding."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    boxes = []
    while left:
        edge, piece = [min(left)], set()
        while edge:
            point = edge.pop()
            if point in left:
                left.remove(point)
                piece.add(point)
                edge += [(point[0] + dy, point[1] + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        rows, columns = zip(*piece, strict=True)
        boxes.append([min(columns), min(rows), max(columns) + 1, max(rows) + 1])
    return sorted(boxes)


def test_boxes_are_those_of_the_connected_pieces() -> None:
    mask = np.random.default_rng(3).random((20, 33)) > 0.8
    assert sorted(boxes_of_mask(mask).tolist()) == slow_boxes(mask)
    large = boxes_of_mask(mask, fewest=3)
    assert 0 < len(large) < len(slow_boxes(mask))
    assert boxes_of_mask(np.zeros((4, 5), bool)).shape == (0, 4)
    one = np.zeros((4, 9), bool)
    one[2, 5] = True
    assert boxes_of_mask(one).tolist() == [[5, 2, 6, 3]]  # x is the column


def test_boxes_of_a_sample_keep_the_largest() -> None:
    masks = torch.zeros(2, 1, 30, 40)
    masks[0, 0, 2:6, 20:38] = 1
    masks[0, 0, 10:13, 3:6] = 1
    masks[0, 0, 20:25, 3:9] = 1
    boxes = MaskToBoxesd(max_boxes=2)({"mask": masks})["boxes"]
    assert boxes[0].tolist() == [[20, 2, 38, 6], [3, 20, 9, 25]] and not boxes[1].any()


@pytest.mark.parametrize("box", [[3, 4, 3, 9], [3, 4, 5, 4], [9, 4, 3, 8], [0, 0, float("nan"), 5]])
def test_a_box_without_area_is_refused(box: list[float]) -> None:
    with pytest.raises(InputError, match="clip a: found the box .* no area"):
        check_area(np.array([[0, 0, 5, 5], box]), "clip a")
    assert check_area(np.zeros((0, 4)), "clip a").shape == (0, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stills and a cine with masks of all kinds, two of which do not fit."""
    folder = tmp_path_factory.mktemp("masked")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    disc = (x - 50) ** 2 + (y - 25) ** 2 < 144
    picture = rng.integers(30, 120, (HEIGHT, WIDTH)) + 130 * disc
    red = np.stack([200 * disc, 0 * disc, 0 * disc], axis=-1)
    masks = {
        "grey": disc * 255,
        "ones": disc * 1,
        "colour": red,
        "empty": 0 * disc,
        "other_size": disc[:, :80] * 255,
        "turned": disc.T * 255,
    }
    lines = ["file,patient_id,label,mask"]
    for name, mask in masks.items():
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{name}.png")
        Image.fromarray(mask.astype(np.uint8)).save(folder / f"{name}_mask.png")
        lines.append(f"{name}.png,{name},a,{name}_mask.png")
    cine = np.stack([picture + k for k in range(4)]).astype(np.uint8)
    np.save(folder / "cine.npy", cine)
    moving = np.stack([np.roll(disc, 3 * k, axis=1) for k in range(4)]).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(moving, np.eye(4)), folder / "cine.nii.gz")  # (T, H, W)
    np.save(folder / "echo.npy", cine)
    nibabel.save(nibabel.Nifti1Image(moving.transpose(2, 1, 0), np.eye(4)), folder / "echo.nii.gz")  # (W, H, T)
    np.save(folder / "none.npy", cine)
    lines += ["cine.npy,cine,b,cine.nii.gz", "echo.npy,echo,b,echo.nii.gz", "none.npy,none,b,"]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def caches(folder: Path, tmp_path: Path) -> tuple[FrameCache, FrameCache]:
    return FrameCache(tmp_path, preprocessing(48)), FrameCache(tmp_path, mask_preprocessing())


def test_masks_that_fit_are_kept_and_the_others_named(
    folder: Path, caches: tuple[FrameCache, FrameCache], caplog: pytest.LogCaptureFixture
) -> None:
    datalist = open_datalist(folder, fractions={"training": 1.0})
    with caplog.at_level("INFO"):
        kept = keep_masked(datalist, *caches)
    names = {Path(record["image"]).stem for record in kept.training}
    assert names == {"grey", "ones", "colour", "empty", "cine", "echo"}
    lines = [record.getMessage() for record in caplog.records]
    for name, found in (("other_size", "1 x 60 x 80"), ("turned", "1 x 90 x 60")):
        told = [line for line in lines if f"{name}_mask.png" in line]
        assert len(told) == 1 and f"found a mask of {found} (frames, rows, columns), expected 1 x 60 x 90" in told[0]
    assert "1 of 9 clips have no mask and are left out" in lines
    assert "training: 6 clips, something is marked in 11 of 12 frames" in lines
    masks = {Path(record["image"]).stem: read_mask(record, *caches) for record in kept.training}
    assert all(mask.shape == (4 if name in ("cine", "echo") else 1, HEIGHT, WIDTH) for name, mask in masks.items())
    assert np.array_equal(masks["grey"], masks["ones"]) and np.array_equal(masks["grey"], masks["colour"])
    assert np.array_equal(masks["cine"], masks["echo"]) and np.array_equal(masks["cine"][0], masks["grey"][0])
    assert masks["grey"].sum() > 300 and not masks["empty"].any() and set(np.unique(masks["cine"])) == {0, 1}


def test_a_few_patients(folder: Path, caches: tuple[FrameCache, FrameCache]) -> None:
    datalist = open_datalist(folder, fractions={"training": 1.0})
    kept = keep_masked(datalist, *caches, labelled_patients=1, seed=3)
    everyone = {record["patient_id"] for record in keep_masked(datalist, *caches).training}
    assert 0 < len({record["patient_id"] for record in kept.training}) <= 2 < len(everyone)


def test_without_any_mask(folder: Path, caches: tuple[FrameCache, FrameCache], tmp_path: Path) -> None:
    datalist = open_datalist(folder, fractions={"training": 1.0})
    for records in datalist.parts.values():
        for record in records:
            record.pop("mask", None)
    with pytest.raises(InputError, match="none of 9 training clips has a mask"):
        keep_masked(datalist, *caches)


def test_two_files_of_one_video_are_refused(folder: Path, caches: tuple[FrameCache, FrameCache]) -> None:
    datalist = open_datalist(folder, fractions={"training": 1.0})
    for record in datalist.training[:2]:
        record["video_id"] = "one"
    with pytest.raises(InputError, match="found .* with the video_id one, expected one file a video"):
        keep_masked(datalist, *caches)


def test_a_mask_comes_along_with_its_frames(folder: Path, caches: tuple[FrameCache, FrameCache]) -> None:
    """What is bright in the picture is what is marked, before and after turning, cropping and mirroring."""
    records = keep_masked(open_datalist(folder, fractions={"training": 1.0}), *caches).training
    even = MaskedDataset(records, *caches, lambda item: MaskAlongd()(EvenFramesd(n_frames=6)(item)))
    index = next(k for k, record in enumerate(records) if record["image"].endswith("cine.npy"))
    sample: dict[str, Any] = even[index]
    assert sample["mask"].shape == (6, 1, 48, 48) and sample["frame_index"].tolist() == [0, 1, 1, 2, 3, 3]
    assert torch.equal(sample["mask"][1], sample["mask"][2]) and "meta" not in sample
    centres = [np.argwhere(np.asarray(mask[0]))[:, 1].mean() for mask in sample["mask"][[0, 1, 3, 4]]]
    assert np.allclose(np.diff(centres), 3 * 48 / 90, atol=0.3)  # the lesion moves by three pixels of the original

    still = next(k for k, record in enumerate(records) if record["image"].endswith("grey.png"))
    choose, along = RandFramesd(n_frames=1), MaskAlongd()
    augment = RandAugmentFramesd(["frames", "mask"], RandViewGeometry(crop_area=(0.6, 1.0), rotation=40), None)
    augment.set_random_state(0)
    random = MaskedDataset(records, *caches, lambda item: augment(along(choose(item))))
    for _ in range(5):
        sample = random[still]
        marked = sample["mask"][0, 0] > 0.5
        frame = sample["frames"][0, 0]
        inside = frame > frame.min()  # within the picture
        assert marked.sum() > 20
        assert (frame[marked] > 0.2).float().mean() > 0.9 > 0.1 > (frame[inside & ~marked] > 0.2).float().mean()


def test_a_cell_of_the_table_is_a_path_below_the_folder(folder: Path) -> None:
    records = open_datalist(folder, fractions={"training": 1.0}).training
    assert {record.get("mask", "") for record in records if record["image"].endswith("grey.png")} == {
        str(folder / "grey_mask.png")
    }
