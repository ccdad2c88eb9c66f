# SPDX-License-Identifier: Apache-2.0
"""Masks, points and boxes come along with their picture, and go back to where they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.data.frame_cache import plain_meta
from bundle.errors import InputError
from bundle.transforms import (
    CropToSector,
    LoadCined,
    ResizeFrames,
    ToGreyd,
    bring_along,
    bring_points_along,
    preprocessing,
    put_back,
    put_points_back,
)

# height and width of the frame, side of the network's input: odd sizes, upright and lying, to fewer and to more pixels
SIZES = [(121, 200, 64), (200, 121, 333), (97, 97, 97), (150, 211, 50), (64, 90, 224)]


def cine(height: int, width: int, n_frames: int = 5) -> MetaTensor:
    """A moving sector with slanting sides, off centre, text above it: ``(1, T, H, W)``."""
    y, x = np.mgrid[:height, :width]
    sector = (y >= 0.1 * height) & (y < 0.86 * height) & (abs(x - 0.45 * width) < 0.1 * width + 0.3 * y)
    frames = np.random.default_rng(0).integers(30, 256, (n_frames, height, width)) * sector
    frames[:, 1:3, 2:20] = 200
    return MetaTensor(torch.from_numpy(frames.astype(np.uint8)[None]), meta={})


def network_input(frames: MetaTensor, size: int) -> tuple[MetaTensor, dict[str, Any]]:
    """What the network sees, and its meta as the frame cache keeps it."""
    result = ResizeFrames(size)(CropToSector()(frames))
    return result, json.loads(json.dumps(plain_meta(result.meta)))


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_the_picture_brought_along_is_the_resized_picture(height: int, width: int, size: int) -> None:
    frames = cine(height, width)
    result, meta = network_input(frames, size)
    along = bring_along(frames.as_tensor(), meta)
    assert along.dtype == torch.uint8 and along.shape == result.shape
    # the picture is resampled in whole numbers, this in floating point
    assert (along.int() - result.as_tensor().int()).abs().max() <= 1
    assert torch.equal(bring_along(frames.as_tensor()[:, 2], meta), along[:, 2])
    exact = bring_along(frames.as_tensor().double(), meta)
    assert exact.dtype == torch.float64 and (exact - result.as_tensor()).abs().max() < 1.6


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_points_lie_on_what_they_mark(height: int, width: int, size: int) -> None:
    """A bright pixel of the original is found in the square where its centre is brought to."""
    _, meta = network_input(cine(height, width), size)
    x0, y0, x1, y1 = meta["sector_box"]
    for row, column in [(y0 + (y1 - y0) // 3, x0 + (x1 - x0) // 2), (y1 - 9, x0 + (x1 - x0) // 3), (y1 - 8, x1 - 40)]:
        spot = torch.zeros(1, height, width, dtype=torch.float64)
        spot[0, row, column] = 1
        along = bring_along(spot, meta)[0]
        y, x = np.mgrid[:size, :size] + 0.5
        mass = along.numpy()
        centre = [(mass * x).sum() / mass.sum(), (mass * y).sum() / mass.sum()]
        expected = bring_points_along(torch.tensor([column + 0.5, row + 0.5]), meta).numpy()
        assert np.abs(np.array(centre) - expected).max() < 0.51  # of a pixel of the square; more is another pixel


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_there_and_back(height: int, width: int, size: int) -> None:
    _, meta = network_input(cine(height, width), size)
    points = torch.from_numpy(np.random.default_rng(1).uniform(0, (width, height), (2, 6, 2)))
    assert torch.allclose(put_points_back(bring_points_along(points, meta), meta), points, atol=1e-9)
    boxes = points.unflatten(1, (3, 2)).flatten(2)
    assert torch.allclose(bring_points_along(boxes, meta), bring_points_along(points, meta).reshape(2, 3, 4))
    assert torch.allclose(put_points_back(bring_points_along(boxes, meta), meta), boxes, atol=1e-9)
    y, x = np.mgrid[:height, :width] + 0.5
    disc = torch.tensor(((x - 0.45 * width) / width) ** 2 + ((y - 0.5 * height) / height) ** 2 < 0.02)[None]
    along = bring_along(disc, meta)
    assert along.dtype == torch.bool and along.shape == (1, size, size)
    back = put_back(along.float(), meta)[0] > 0.5
    pixel = max(1.0, 1 / meta["resize_scale"])
    # what differs is a rim of about half a pixel of the square
    assert (back ^ disc[0]).sum() < 0.6 * pixel * 2 * np.pi * (disc.sum().item() / np.pi) ** 0.5


def test_a_box_is_that_of_its_mask() -> None:
    """On a frame that is not square: x is the column in both."""
    _, meta = network_input(cine(121, 200), 64)
    x0, y0, x1, y1 = 70, 40, 118, 61
    mask = torch.zeros(1, 121, 200, dtype=torch.bool)
    mask[:, y0:y1, x0:x1] = True
    along = bring_along(mask, meta)[0]
    rows, columns = np.flatnonzero(along.any(1)), np.flatnonzero(along.any(0))
    found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert np.abs(bring_points_along(torch.tensor([x0, y0, x1, y1]), meta).numpy() - found).max() <= 0.5 + 1e-3


def test_labels_types_and_sizes() -> None:
    frames = cine(121, 200)
    _, meta = network_input(frames, 64)
    labels = torch.zeros(1, 5, 121, 200, dtype=torch.int64)
    labels[..., 40:70, 80:100] = 7
    along = bring_along(labels, meta, nearest=True)
    assert along.dtype == torch.int64 and along.shape == (1, 5, 64, 64) and set(along.unique().tolist()) == {0, 7}
    ones = torch.ones(2, 121, 200)
    assert bring_along(ones, meta, size=16).shape == (2, 16, 16)
    assert torch.equal(bring_along(ones, meta), bring_along(ones, meta, size=64))
    # beside the sector there is nothing, as in the picture
    beside = ones.clone()
    beside[:, put_back(torch.ones(1, 64, 64), meta)[0] > 0] = 0
    assert beside.any() and not bring_along(beside, meta).any()
    assert not bring_along(torch.zeros(1, 121, 200, dtype=torch.bool), meta).any()


@pytest.mark.parametrize(
    ("target", "changes", "said"),
    [
        (torch.ones(1, 200, 121), {}, r"found shape \(1, 200, 121\); expected .* 121 rows of 200 pixels"),
        (torch.ones(121, 200), {}, "found shape"),
        (torch.ones(1, 121, 200, dtype=torch.int64), {}, "nearest"),
        (torch.ones(1, 121, 200), {"sector_outline": None}, "found no sector_outline"),
        (torch.ones(1, 121, 200), {"original_size": None}, "found no original_size"),
    ],
)
def test_refusals(target: torch.Tensor, changes: dict[str, Any], said: str) -> None:
    _, meta = network_input(cine(121, 200), 64)
    with pytest.raises(InputError, match=said):
        bring_along(target, {**meta, **changes})
    with pytest.raises(InputError, match="points: found"):
        bring_points_along(torch.ones(3), meta)


@pytest.mark.parametrize("name", ["dicom_us/files/US-PAL-8-10x-echo.dcm", "breast_bus_uclm/images/ALWI_000.png"])
def test_a_real_picture_comes_along(ultrasound_data: Path, name: str) -> None:
    path = {"image": str(ultrasound_data / name)}
    result = preprocessing(96)(path)["image"]
    frames = ToGreyd("image")(LoadCined("image")(path))["image"].as_tensor()
    assert (bring_along(frames, result.meta).int() - result.as_tensor().int()).abs().max() <= 1
