# SPDX-License-Identifier: Apache-2.0
"""Results go back to where they came from: crop and resize, then the inverse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage

from bundle.data.frame_cache import plain_meta
from bundle.errors import InputError
from bundle.transforms import (
    CropToSector,
    LoadCined,
    ResizeFrames,
    ToGreyd,
    preprocessing,
    put_back,
    put_points_back,
)

# height and width of the frame, side of the network's input: odd sizes, upright and lying, to fewer and to more pixels
SIZES = [(121, 200, 64), (200, 121, 333), (97, 97, 97), (150, 211, 50), (64, 90, 224)]


def cine(height: int, width: int, n_frames: int = 5) -> MetaTensor:
    """A moving sector with slanting sides, off centre: ``(1, T, H, W)``."""
    y, x = np.mgrid[:height, :width]
    sector = (y >= 0.1 * height) & (y < 0.86 * height) & (abs(x - 0.45 * width) < 0.1 * width + 0.3 * y)
    speckle = np.random.default_rng(0).integers(30, 256, (n_frames, height, width))
    return MetaTensor(torch.from_numpy((speckle * sector).astype(np.uint8)[None]), meta={"spacing": (0.2, 0.3)})


def network_input(frames: MetaTensor, size: int) -> tuple[MetaTensor, dict[str, Any]]:
    """What the network sees, and its meta as the frame cache keeps it."""
    result = ResizeFrames(size)(CropToSector()(frames))
    return result, json.loads(json.dumps(plain_meta(result.meta)))


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
@pytest.mark.parametrize("share", [1, 4])
def test_a_smooth_map_comes_back(height: int, width: int, size: int, share: int) -> None:
    _, meta = network_input(cine(height, width), size)
    x0, y0, x1, y1 = meta["sector_box"]
    left, top = meta["resize_padding"][:2]

    def level(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 100 + 0.4 * x - 0.3 * y

    side = max(4, size // share)  # a network with a stride gives fewer pixels
    centres = (np.arange(side) + 0.5) * (max(x1 - x0, y1 - y0) / side)
    small = level(centres[None] - left + x0, centres[:, None] - top + y0)
    back = put_back(torch.tensor(small, dtype=torch.float64)[None], meta)[0].numpy()
    y, x = np.mgrid[:height, :width] + 0.5
    pixel = max(x1 - x0, y1 - y0) / side
    inner = (back != 0) & (x > x0 + pixel) & (x < x1 - pixel) & (y > y0 + pixel) & (y < y1 - pixel)
    assert inner.sum() > 0.2 * height * width
    # half a pixel off would be 0.25
    assert np.abs(back - level(x, y))[inner].max() < 0.05


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_frames_come_back_in_place_and_nothing_else(height: int, width: int, size: int) -> None:
    frames = cine(height, width)
    y, x = np.mgrid[:height, :width]
    smooth = 120 + 60 * np.sin(x / 25 + np.arange(5)[:, None, None]) * np.cos(y / 31)
    result, meta = network_input(frames, size)
    crop = CropToSector()(frames)
    x0, y0, x1, y1 = meta["sector_box"]
    crop.set_array(torch.from_numpy(smooth.astype(np.uint8)[None, :, y0:y1, x0:x1]))
    back = put_back(ResizeFrames(size)(crop), meta)
    assert back.shape == frames.shape and back.dtype == torch.uint8
    inside = back.numpy()[0, 0] > 0
    assert not inside[:y0].any() and not inside[y1:].any() and not inside[:, :x0].any() and not inside[:, x1:].any()
    pixels = int(np.ceil(2 * max(1, max(x1 - x0, y1 - y0) / size)))
    deep = np.zeros_like(inside)
    deep[y0 + pixels : y1 - pixels, x0 + pixels : x1 - pixels] = True
    deep &= ndimage.binary_erosion(inside, iterations=2)
    assert deep.sum() > 0.15 * deep.size
    assert np.abs(back.numpy()[0] - smooth)[:, deep].max() < (2 if size > 60 else 5)


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_points_and_boxes_come_back(height: int, width: int, size: int) -> None:
    _, meta = network_input(cine(height, width), size)
    x0, y0, x1, y1 = meta["sector_box"]
    left, top = meta["resize_padding"][:2]
    rng = np.random.default_rng(1)
    original = rng.uniform((x0, y0), (x1, y1), (7, 2))
    seen = (original - (x0, y0) + (left, top)) * meta["resize_scale"]
    assert (seen >= 0).all() and (seen <= size).all()
    assert np.abs(put_points_back(seen, meta).numpy() - original).max() < 1e-6
    rounded = put_points_back(torch.from_numpy(seen).round().int(), meta)
    assert np.abs(rounded.numpy() - original).max() <= 0.5 / meta["resize_scale"] + 1e-3
    boxes = np.concatenate([seen[:3], seen[3:6]], axis=1)
    assert np.abs(put_points_back(boxes, meta).numpy() - np.concatenate([original[:3], original[3:6]], 1)).max() < 1e-6


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_a_box_drawn_as_a_mask_comes_back_where_its_corners_do(height: int, width: int, size: int) -> None:
    _, meta = network_input(cine(height, width), size)
    mask = torch.zeros(1, size, size, dtype=torch.int64)
    x0, y0, x1, y1 = 2 * size // 5, 2 * size // 5, 3 * size // 5, size // 2
    mask[:, y0:y1, x0:x1] = 3
    back = put_back(mask, meta, nearest=True)
    assert back.dtype == torch.int64 and set(back.unique().tolist()) == {0, 3}
    rows, columns = np.flatnonzero(back[0].any(1)), np.flatnonzero(back[0].any(0))
    found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert np.abs(put_points_back(torch.tensor([x0, y0, x1, y1]), meta).numpy() - found).max() <= 0.5 + 1e-3


def test_only_the_sector_is_replaced_in_the_original() -> None:
    frames = cine(121, 200)
    _, meta = network_input(frames, 64)
    screen = frames.as_tensor().clone()
    screen[:, :, :9] = 77  # a header
    ones = torch.full((1, 5, 64, 64), 255, dtype=torch.uint8)
    mask = put_back(ones, meta)[0, 0] > 0
    back = put_back(ones, meta, original=screen)
    assert torch.equal(back[:, :, ~mask], screen[:, :, ~mask]) and (back[:, :, mask] == 255).all()
    assert torch.equal(back[:, :, :9], screen[:, :, :9]) and screen.max() <= 255
    # a grey result in a coloured screen
    coloured = put_back(ones, meta, original=screen.expand(3, -1, -1, -1))
    assert torch.equal(coloured, back.expand(3, -1, -1, -1))
    assert put_back(ones[:, 0], meta).shape == (1, 121, 200)


def test_the_mask_is_that_of_the_crop() -> None:
    frames = MetaTensor(cine(150, 211).as_tensor().clamp(min=1), meta={})  # no pixel is 0 but through the mask
    cropped = CropToSector()(frames)
    result, meta = network_input(frames, 211)
    x0, y0, x1, y1 = meta["sector_box"]
    ones = put_back(torch.ones(1, 211, 211), meta)[0] > 0
    assert np.array_equal(ones[y0:y1, x0:x1], cropped[0, 0] > 0)


def test_spacing_is_that_of_the_pixels() -> None:
    frames = cine(121, 200)
    assert CropToSector()(frames).meta["spacing"] == (0.2, 0.3)
    result, meta = network_input(frames, 64)
    ends = put_points_back(torch.tensor([[0.0, 0.0], [64.0, 64.0]]), meta)
    width, height = (ends[1] - ends[0]).tolist()
    assert meta["spacing"] == [pytest.approx(height * 0.2 / 64), pytest.approx(width * 0.3 / 64)]


@pytest.mark.parametrize(
    ("result", "changes", "options", "said"),
    [
        (torch.ones(1, 5, 8, 9), {}, {}, "result: found shape"),
        (torch.ones(8, 8), {}, {}, "expected .C, side, side"),
        (torch.ones(1, 8, 8, dtype=torch.int64), {}, {}, "nearest"),
        (torch.ones(1, 8, 8), {"sector_outline": None}, {}, "found no sector_outline"),
        (torch.ones(1, 8, 8), {"resize_padding": None}, {}, "found no resize_padding"),
        (torch.ones(1, 8, 8), {}, {"original": torch.ones(1, 9, 9)}, "original: found"),
        (torch.ones(1, 8, 8), {}, {"original": torch.ones(1, 121, 200, dtype=torch.uint8)}, "original: .*uint8"),
        (torch.ones(2, 8, 8), {}, {"original": torch.ones(3, 121, 200)}, "original: found"),
    ],
)
def test_refusals(result: torch.Tensor, changes: dict[str, Any], options: dict[str, Any], said: str) -> None:
    _, meta = network_input(cine(121, 200), 64)
    with pytest.raises(InputError, match=said):
        put_back(result, {**meta, **changes}, **options)
    with pytest.raises(InputError, match="points: found"):
        put_points_back(torch.ones(3), meta)


@pytest.mark.parametrize("name", ["dicom_us/files/US-PAL-8-10x-echo.dcm", "covid_blues/videos/patient_5_R3.mp4"])
def test_a_real_clip_comes_back(ultrasound_data: Path, name: str) -> None:
    path = {"image": str(ultrasound_data / name)}
    result = preprocessing(256)(path)["image"]
    frames = ToGreyd("image")(LoadCined("image")(path))["image"].as_tensor()
    back = put_back(result, result.meta)
    assert back.shape == frames.shape
    sector = put_back(torch.ones(1, 4, 4), result.meta)[0] > 0
    assert not back[..., ~sector].any()
    deep = torch.from_numpy(ndimage.binary_erosion(sector, iterations=6, border_value=1))

    def agreement(down: int, across: int) -> float:
        moved = back.roll((down, across), (2, 3))
        return float(torch.corrcoef(torch.stack([frames[..., deep].ravel(), moved[..., deep].ravel()]).double())[0, 1])

    assert agreement(0, 0) > 0.9
    assert agreement(0, 0) > max(agreement(*move) for move in ((1, 0), (-1, 0), (0, 1), (0, -1)))
    whole = put_back(result, result.meta, original=frames)
    assert torch.equal(whole[..., ~sector], frames[..., ~sector])
