# SPDX-License-Identifier: Apache-2.0
"""The blur in each unit, and densities against a fine numerical integral."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.transforms import BlurWidth, Gaze

META = {"spacing": (0.5, 0.25), "resize_scale": 0.2}  # mm a pixel of the square, rows first


def test_each_unit_in_pixels_of_the_square():
    assert BlurWidth(mm=2).in_network_pixels(META) == (8.0, 4.0)
    assert BlurWidth(pixels=15).in_network_pixels(META) == pytest.approx((3.0, 3.0))
    assert BlurWidth(degrees=2, pixels_per_degree=30).in_network_pixels(META) == pytest.approx((12.0, 12.0))
    # at 600 mm a degree is 10.47 mm wide
    shown = BlurWidth(degrees=1, distance_mm=600, shown_pixel_mm=0.25)
    assert shown.original_pixels() == pytest.approx(2 * 600 * math.tan(math.pi / 360) / 0.25)
    assert shown.original_pixels() == pytest.approx(41.9, abs=0.05)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "found none, expected one of degrees, mm and pixels"),
        ({"mm": 1, "pixels": 2}, "found mm 1, pixels 2, expected one of"),
        ({"degrees": 1}, "in degrees: found none, expected pixels_per_degree, or distance_mm and shown_pixel_mm"),
        ({"degrees": 1, "distance_mm": 600}, "in degrees: found distance_mm 600"),
        ({"degrees": 1, "pixels_per_degree": 30, "distance_mm": 600, "shown_pixel_mm": 0.2}, "in degrees: found"),
        ({"mm": 0}, "found mm 0, expected a number above 0"),
        ({"pixels": float("nan")}, "found pixels nan"),
        ({"pixels": "wide"}, "found pixels 'wide'"),
    ],
)
def test_a_width_that_is_not_clear_is_refused(given, says):
    with pytest.raises(InputError) as error:
        BlurWidth(**given)
    assert says in str(error.value)


def test_mm_without_spacing_names_the_file():
    with pytest.raises(InputError, match="clip.mp4: found no spacing.*3.5 mm.*pixels or degrees"):
        BlurWidth(mm=3.5).in_network_pixels({"resize_scale": 1.0}, "clip.mp4")


def gaze(points, weights, width, frames=None, size=12) -> Gaze:
    frames = np.zeros(len(points), dtype=int) if frames is None else np.array(frames)
    return Gaze(frames, np.array(points, dtype=float), np.array(weights, dtype=float), width, size)


@pytest.mark.parametrize("width", [(0.15, 0.4), (2.0, 1.0)])
def test_density_is_the_integral_of_weighted_gaussians(width):
    points, weights, fine = [(3.2, 7.9), (11.8, 0.3)], [1.0, 3.0], 200
    centres = (np.arange(12 * fine) + 0.5) / fine
    total = np.zeros((12, 12))
    for (x, y), weight in zip(points, weights, strict=True):
        across, down = (
            np.exp(-0.5 * ((centres - at) / s) ** 2).reshape(12, fine).sum(1) / (fine * s * math.sqrt(2 * math.pi))
            for at, s in ((x, width[0]), (y, width[1]))
        )
        total += weight * down[:, None] * across[None]
    density = gaze(points, weights, width).density(0)
    assert density.dtype == np.float32 and density.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(density, total / total.sum(), atol=1e-4)


def test_frames_are_kept_apart():
    some = gaze([(1.5, 2.5), (1.9, 2.1), (8.0, 9.0)], [1, 1, 1], (1, 1), frames=[4, 4, 2])
    assert some.fixated.tolist() == [2, 4]
    counts = some.counts(4)
    assert counts[2, 1] == 2 and counts.sum() == 2  # row 2, column 1
    assert some.counts(2)[9, 8] == 1
    assert not some.density(3).any() and not some.counts(3).any()
    rows, columns = np.unravel_index(some.density(2).argmax(), (12, 12))
    assert rows in (8, 9) and columns in (7, 8)
