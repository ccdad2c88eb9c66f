# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch.nn.functional import interpolate, pad

from bundle.errors import InputError
from bundle.transforms import ResizeFrames, ResizeFramesd
from bundle.transforms.resize import resize_frames


def cine(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(1, 1, 50, 70), (1, 17, 70, 50), (3, 5, 64, 64), (1, 33, 9, 21), (1, 2, 1, 1)])
@pytest.mark.parametrize("size", [16, 33, 96])
def test_agrees_with_the_same_in_floating_point(shape: tuple[int, ...], size: int) -> None:
    frames = cine(*shape)
    result, (left, top, right, bottom) = resize_frames(frames, size)
    padded = pad(torch.from_numpy(frames).float(), (left, right, top, bottom))
    assert padded.shape[2] == padded.shape[3] == max(shape[2:])
    assert abs(left - right) <= 1 and abs(top - bottom) <= 1
    flat = padded.view(-1, 1, *padded.shape[2:])
    expected = interpolate(flat, (size, size), mode="bilinear", antialias=True).view(*shape[:2], size, size).numpy()
    assert result.dtype == np.uint8 and result.shape == expected.shape
    assert np.abs(result - expected).max() <= 1.01
    assert -0.05 < (result - expected).mean() < 0.25  # rounded, not cut off (-0.5); exact halves go up in both passes


def test_every_frame_is_resampled_by_itself() -> None:
    frames = cine(1, 21, 40, 30)
    together, _ = resize_frames(frames, 24)
    for t in range(21):
        alone, _ = resize_frames(frames[:, t : t + 1], 24)
        assert np.array_equal(together[:, t], alone[:, 0])


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((1, 1, 256, 256), np.uint8)
    stripes[..., ::2] = 200
    result, _ = resize_frames(stripes, 37)
    assert np.abs(result[0, 0, 2:-2, 2:-2].astype(int) - 100).max() <= 3


def test_flat_frames_stay_flat_and_the_same_size_changes_nothing() -> None:
    flat, _ = resize_frames(np.full((1, 3, 30, 30), 137, np.uint8), 77)
    assert (flat == 137).all()
    frames = cine(1, 3, 30, 30)
    assert np.array_equal(resize_frames(frames, 30)[0], frames)


@pytest.mark.parametrize(("height", "width"), [(40, 100), (100, 40), (41, 90)])
def test_meta_says_how_to_get_back(height: int, width: int) -> None:
    frames = np.zeros((1, 2, height, width), np.uint8)
    row, column = 3 * height // 4, 2 * width // 3
    frames[:, :, row - 2 : row + 3, column - 2 : column + 3] = 255
    regions = [{"box": [0, 0, width, height], "spatial_format": 1, "spacing": (0.1, 0.1)}, {"box": [0, 0, 9, 9]}]
    meta = {"spacing": (0.2, 0.1), "regions": regions, "frame_times": [0.0, 0.5]}
    result = ResizeFramesd("image", size=50)({"image": MetaTensor(torch.from_numpy(frames), meta=meta)})["image"]
    scale = result.meta["resize_scale"]
    left, top, _, _ = result.meta["resize_padding"]
    weights = result[0, 0].numpy().astype(float)
    y, x = np.mgrid[:50, :50] + 0.5
    found = np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()
    back = found / scale - np.array([left, top])
    assert np.abs(back - (column + 0.5, row + 0.5)).max() < 0.6
    assert result.meta["spacing"] == pytest.approx((0.2 / scale, 0.1 / scale))
    x0, y0, x1, y1 = result.meta["regions"][0]["box"]
    assert (x1 - x0, y1 - y0) == (pytest.approx(width * scale, abs=1), pytest.approx(height * scale, abs=1))
    assert result.meta["regions"][0]["spacing"] == pytest.approx((0.1 / scale, 0.1 / scale))
    assert result.meta["frame_times"] == [0.0, 0.5]
    assert regions[0]["box"] == [0, 0, width, height]  # the input is left alone


def test_long_cines_need_little_memory() -> None:
    frames = np.zeros((1, 400, 200, 300), np.uint8)
    tracemalloc.start()
    resize_frames(frames, 32)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < frames.nbytes / 4


@pytest.mark.parametrize("size", [0, -3, 2.5])
def test_refuses_a_bad_size(size: float) -> None:
    with pytest.raises(InputError, match="image size"):
        ResizeFrames(size)  # type: ignore[arg-type]
