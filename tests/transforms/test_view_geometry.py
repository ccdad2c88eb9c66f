# SPDX-License-Identifier: Apache-2.0
"""Geometry of views: identity, known maps, one draw an image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bundle.transforms import RandViewGeometry
from bundle.transforms.view_geometry import resample

NOTHING = {"crop_area": (1, 1), "crop_ratio": (1, 1), "flip": 0.0}


def images(n: int = 3, size: int = 16) -> torch.Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(0))


def test_nothing_to_do_is_the_identity():
    x = images()
    assert torch.allclose(RandViewGeometry(**NOTHING)(x), x, atol=1e-6)


def test_certain_flip_mirrors_left_and_right():
    x = images()
    assert torch.allclose(RandViewGeometry(**{**NOTHING, "flip": 1.0})(x), x.flip(-1), atol=1e-6)


def test_quarter_turn_agrees_with_rot90():
    x = images()
    turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]).expand(3, 2, 3)
    assert torch.allclose(resample(x, turn), torch.rot90(x, 1, (-2, -1)), atol=1e-5)


def test_every_image_has_its_own_draw():
    x = images(1).expand(6, 1, 16, 16)
    geometry = RandViewGeometry(rotation=20, shear=10)
    geometry.set_random_state(0)
    y = geometry(x)
    for i in range(6):
        for j in range(i):
            assert not torch.allclose(y[i], y[j], atol=1e-3)


def test_crop_stays_inside_and_has_the_asked_area_and_ratio():
    geometry = RandViewGeometry(crop_area=(0.3, 0.5), crop_ratio=(0.8, 1.25), flip=0.5)
    geometry.set_random_state(0)
    geometry.randomize(500)
    theta = geometry.theta.numpy()
    width, height = np.abs(theta[:, 0, 0]), theta[:, 1, 1]
    assert np.all(width + np.abs(theta[:, 0, 2]) <= 1 + 1e-6) and np.all(height + np.abs(theta[:, 1, 2]) <= 1 + 1e-6)
    area, ratio = width * height, width / height
    assert 0.3 - 1e-6 <= area.min() < 0.32 and 0.48 < area.max() <= 0.5 + 1e-6
    assert 0.8 - 1e-6 <= ratio.min() < 0.82 and 1.22 < ratio.max() <= 1.25 + 1e-6
    assert 0.4 < (theta[:, 0, 0] < 0).mean() < 0.6


def test_rotation_range_is_kept():
    geometry = RandViewGeometry(**NOTHING, rotation=30)
    geometry.set_random_state(0)
    geometry.randomize(300)
    angles = np.degrees(np.arctan2(geometry.theta[:, 1, 0], geometry.theta[:, 0, 0]))
    assert np.abs(angles).max() <= 30 + 1e-4 and np.abs(angles).max() > 28
    assert np.allclose(torch.linalg.det(geometry.theta[:, :, :2]), 1, atol=1e-5)


def test_shear_is_a_slant_along_x():
    geometry = RandViewGeometry(**NOTHING, shear=20)
    geometry.set_random_state(1)
    geometry.randomize(200)
    slant = geometry.theta[:, 0, 1].numpy()
    assert np.abs(slant).max() <= math.tan(math.radians(20)) + 1e-6 and np.abs(slant).max() > 0.33
    assert np.allclose(geometry.theta[:, 1, 0], 0)


@pytest.mark.parametrize("size", [8, 24])
def test_result_has_the_asked_size(size):
    assert RandViewGeometry(size=size)(images()).shape == (3, 1, size, size)


def test_replay_gives_the_same_result():
    geometry = RandViewGeometry()
    x = images()
    assert torch.equal(geometry(x), geometry(x, randomize=False))


def test_batch_equals_one_by_one():
    geometry = RandViewGeometry(rotation=10)
    x = images(4)
    whole = geometry(x)
    single = torch.cat([resample(x[i : i + 1], geometry.theta[i : i + 1]) for i in range(4)])
    assert torch.allclose(whole, single, atol=1e-6)
