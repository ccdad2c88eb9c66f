# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.errors import InputError
from bundle.transforms import ToGrey, ToGreyd
from bundle.transforms.grey import luma


def test_luma_is_the_nearest_level_of_bt_601() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (3, 5, 130, 140), dtype=np.uint8)
    exact = np.tensordot([0.299, 0.587, 0.114], rgb.astype(float), 1)
    assert np.abs(luma(rgb) - exact).max() <= 0.505


@pytest.mark.parametrize(
    ("colour", "grey"), [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29), ((255, 255, 255), 255)]
)
def test_known_colours(colour: tuple[int, int, int], grey: int) -> None:
    assert luma(np.array(colour, np.uint8).reshape(3, 1)) == grey


def test_grey_stored_as_rgb_comes_out_exactly() -> None:
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(luma(np.stack([levels] * 3)), levels)


def test_channels_shrink_time_and_meta_stay() -> None:
    rgb = torch.randint(0, 256, (3, 7, 11, 13), dtype=torch.uint8)
    result = ToGrey()(MetaTensor(rgb, meta={"spacing": (0.1, 0.2)}))
    assert result.shape == (1, 7, 11, 13) and result.dtype == torch.uint8
    assert result.meta["spacing"] == (0.1, 0.2)
    for frame in range(7):
        assert np.array_equal(result[0, frame].numpy(), luma(rgb[:, frame].numpy()))


def test_grey_cines_stay_as_they_are() -> None:
    once = ToGrey()(torch.randint(0, 256, (3, 2, 5, 6), dtype=torch.uint8))
    twice = ToGrey()(once)
    assert torch.equal(once.as_tensor(), twice.as_tensor())


def test_arrays_that_cannot_be_written_are_taken() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (1, 2, 5, 6), dtype=np.uint8)
    frames.flags.writeable = False
    result = ToGreyd(["image"])({"image": frames})["image"]
    assert np.array_equal(result.numpy(), frames)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (3, 4, 4), (3, 0, 4, 4), (1, 3, 0, 4)])
def test_refuses_what_is_no_cine(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="expected"):
        ToGrey()(torch.zeros(shape, dtype=torch.uint8))
