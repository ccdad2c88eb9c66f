# SPDX-License-Identifier: Apache-2.0
"""Intensity changes: neutral parameters change nothing, black stays black, values against slow references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from bundle.transforms import RandViewIntensity
from bundle.transforms import view_intensity as change

OFF = {
    "gain": 0,
    "contrast": 0,
    "gamma": (1, 1),
    "time_gain": 0,
    "speckle": 0,
    "shadow_prob": 0,
    "blur_prob": 0,
}


def images(n: int = 2, size: int = 24) -> torch.Tensor:
    x = torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    x[..., : size // 3] = 0  # outside the sector
    return x


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values)


NEUTRAL = {
    "gain": lambda x: change.gain(x, column(1, 1)),
    "contrast": lambda x: change.contrast(x, column(1, 1)),
    "gamma": lambda x: change.gamma(x, column(1, 1)),
    "time_gain": lambda x: change.time_gain(x, torch.ones(2, 4)),
    "speckle": lambda x: change.speckle(x, column(0, 0), torch.randn(2, 1, 24, 24)),
    "shadow": lambda x: change.shadow(x, column(0.5, 0.5), column(0.1, 0.1), column(0.2, 0.2), column(0, 0)),
    "blur": lambda x: change.blur(x, column(0, 0)),
}
STRONG = {
    "gain": lambda x: change.gain(x, column(1.5, 0.5)),
    "contrast": lambda x: change.contrast(x, column(1.6, 0.4)),
    "gamma": lambda x: change.gamma(x, column(0.6, 1.5)),
    "time_gain": lambda x: change.time_gain(x, torch.tensor([[0.5, 1, 1.4, 1], [1, 1, 1, 1.5]])),
    "speckle": lambda x: change.speckle(x, column(0.2, 0.2), torch.randn(2, 1, 24, 24)),
    "shadow": lambda x: change.shadow(x, column(0.8, 0.8), column(0.1, 0.1), column(0.2, 0.2), column(0.8, 0.8)),
}


@pytest.mark.parametrize("name", sorted(NEUTRAL))
def test_neutral_parameters_change_nothing(name):
    assert torch.allclose(NEUTRAL[name](images()), images(), atol=1e-6)


@pytest.mark.parametrize("name", sorted(STRONG))
def test_changes_something_and_leaves_black_black(name):
    x = images()
    y = STRONG[name](x)
    assert float((y - x).abs().max()) > 0.05
    assert torch.all(y[x == 0] == 0)


def test_contrast_keeps_the_mean_of_what_is_lit():
    x = images()
    y = change.contrast(x, column(0.3, 1.7))
    lit = x > 0
    for i in range(2):
        assert float(y[i][lit[i]].mean()) == pytest.approx(float(x[i][lit[i]].mean()), abs=1e-5)
        assert float(y[i][lit[i]].std()) == pytest.approx([0.3, 1.7][i] * float(x[i][lit[i]].std()), rel=1e-4)


def test_time_gain_interpolates_the_sliders_over_depth():
    y = change.time_gain(torch.ones(1, 1, 7, 5), torch.tensor([[1.0, 2.0, 1.0, 3.0]]))
    assert np.allclose(y[0, 0, :, 0], [1, 1.5, 2, 1.5, 1, 2, 3], atol=1e-6)


def test_shadow_darkens_below_its_depth_only_and_around_its_centre():
    y = change.shadow(torch.ones(1, 1, 50, 50), column(0.5), column(0.1), column(0.5), column(0.9))[0, 0]
    assert float(y[45, 25]) == pytest.approx(0.1, abs=0.01)
    assert float(y[5, 25]) == pytest.approx(1, abs=0.01)
    assert float(y[45, 2]) == pytest.approx(1, abs=0.01)


def test_blur_agrees_with_scipy_inside_the_image():
    x = images(3, 40)
    sigmas = [0.7, 1.5, 2.2]
    y = change.blur(x, column(*sigmas))
    for i, sigma in enumerate(sigmas):
        expected = gaussian_filter(x[i, 0].numpy(), sigma, mode="constant", radius=int(np.ceil(3 * max(sigmas))))
        assert np.allclose(y[i, 0], expected, atol=1e-5)


def test_all_off_is_the_identity():
    assert torch.allclose(RandViewIntensity(**OFF)(images()), images(), atol=1e-6)


def test_result_is_in_range_and_drawn_for_each_image():
    intensity = RandViewIntensity(gain=0.8, contrast=0.8)
    intensity.set_random_state(0)
    x = images(1).expand(8, 1, 24, 24)
    y = intensity(x)
    assert 0 <= float(y.min()) and float(y.max()) <= 1
    for i in range(8):
        for j in range(i):
            assert not torch.allclose(y[i], y[j], atol=1e-3)


def test_replay_gives_the_same_result():
    intensity = RandViewIntensity()
    x = images()
    assert torch.equal(intensity(x), intensity(x, randomize=False))


def test_drawn_parameters_stay_in_their_ranges():
    intensity = RandViewIntensity(gain=0.3, contrast=0.2, gamma=(0.5, 2), time_gain=0.25, blur_sigma=(1, 2))
    intensity.set_random_state(0)
    intensity.randomize((2000, 1, 2, 112))
    drawn = {name: value.numpy() for name, value in intensity.drawn.items()}
    assert 0.7 <= drawn["gain"].min() < 0.72 and 1.28 < drawn["gain"].max() <= 1.3
    assert (drawn["gain"] == 1).mean() == pytest.approx(0.2, abs=0.03)
    assert 0.5 <= drawn["gamma"].min() < 0.52 and 1.95 < drawn["gamma"].max() <= 2
    assert np.median(drawn["gamma"]) == pytest.approx(1, abs=0.06)
    blurred = drawn["blur"][drawn["blur"] > 0]
    assert 0.5 <= blurred.min() and blurred.max() <= 1, "sigma is stated for 224 pixels"
    assert (drawn["shadow_loss"] > 0).mean() == pytest.approx(0.2, abs=0.03)
