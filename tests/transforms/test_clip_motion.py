# SPDX-License-Identifier: Apache-2.0
"""Motion of a clip: what counts (shown content that differs), what does not (brightness, noise, what is outside)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bundle.transforms.clip_geometry import ClipGeometry
from bundle.transforms.clip_motion import MOTION_THRESHOLD, even_brightness, least_difference

ALL = torch.ones(64, 64, dtype=torch.bool)


def texture(seed: int = 0, side: int = 64) -> torch.Tensor:
    """``(1, side, side)`` in 0.1 to 0.9: smooth, with a black border."""
    coarse = torch.rand(1, 1, 10, 10, generator=torch.Generator().manual_seed(seed))
    picture = 0.1 + 0.8 * torch.nn.functional.interpolate(coarse, size=side, mode="bicubic")[0].clamp(0, 1)
    picture[:, :6] = picture[:, -6:] = picture[:, :, :6] = picture[:, :, -6:] = 0
    return picture


def still(n: int = 4) -> torch.Tensor:
    return texture().expand(n, 1, 64, 64)


def moving(n: int = 4) -> torch.Tensor:
    """The texture goes 2 pixels to the right each frame."""
    return torch.stack([texture().roll(2 * k, dims=-1) for k in range(n)])


def test_even_brightness_gives_every_frame_the_clips_mean_and_spread():
    gains, offsets = torch.tensor([0.7, 0.9, 1.0, 0.8]), torch.tensor([0.0, 0.02, 0.05, 0.01])
    lit = texture() > 0
    frames = torch.where(lit, still() * gains.view(-1, 1, 1, 1) + offsets.view(-1, 1, 1, 1), 0.0)
    even = even_brightness(frames, ALL)
    pixels = even[:, lit]
    given = frames[:, lit]
    assert torch.allclose(pixels.mean(1), given.mean(1).mean().expand(4), atol=1e-4)
    assert torch.allclose(pixels.std(1), given.std(1).mean().expand(4), atol=1e-3)
    assert (even[:, ~lit] == 0).all() and even.min() >= 0 and even.max() <= 1
    # what differs by gain and offset alone is the same picture
    assert torch.allclose(even, even[:1].expand_as(even), atol=1e-4)


def test_even_brightness_leaves_an_even_clip_and_a_black_one_alone():
    assert torch.allclose(even_brightness(still(), ALL), still(), atol=1e-5)
    black = torch.zeros(3, 1, 8, 8)
    assert torch.equal(even_brightness(black, ALL[:8, :8]), black)
    flat = torch.full((3, 1, 8, 8), 0.5)
    assert torch.allclose(even_brightness(flat, ALL[:8, :8]), flat)


def test_what_grows_beside_the_window_changes_nothing_in_it():
    seen = ClipGeometry().seen(64, 64)
    frames = still().clone()
    for time in range(4):
        frames[time, :, 60:, : 16 * (time + 1)] = 0.8
    assert not seen[60:].any()
    assert torch.allclose(even_brightness(frames, seen)[..., seen], still()[..., seen], atol=1e-5)
    assert (even_brightness(frames, ALL)[3] - still()[3])[..., seen].abs().max() > 0.02, "of the whole frame it does"


def slow_difference(frames: torch.Tensor) -> float:
    """The definition, pixel by pixel."""
    frames = 255 * frames[:, 0].double().numpy()
    n, height, width = frames.shape
    lit = (frames > 0).any(axis=0)
    padded = np.pad(frames, ((0, 0), (1, 1), (1, 1)))
    smooth = sum(padded[:, r : r + height, c : c + width] for r in range(3) for c in range(3)) / 9
    pairs = [(i, j) for i in range(n) for j in range(i)]
    return min(np.abs(smooth[i] - smooth[j])[lit].mean() for i, j in pairs)


def test_least_difference_agrees_with_its_definition():
    clip = moving()
    assert least_difference(clip) == pytest.approx(slow_difference(clip), rel=1e-4)
    assert least_difference(clip) > 10 * MOTION_THRESHOLD


def test_neither_drift_nor_noise_is_motion():
    gains = torch.tensor([0.7, 0.8, 0.9, 1.0]).view(-1, 1, 1, 1)
    assert least_difference(still()) == 0
    assert least_difference(still() * gains) > MOTION_THRESHOLD, "which is why brightness is evened first"
    assert least_difference(even_brightness(still() * gains, ALL)) < 0.1 * MOTION_THRESHOLD
    # 8 grey levels of noise in each pixel of a frame of 448, of which 64 are left
    noise = 8 / 255 * torch.randn(4, 1, 448, 448, generator=torch.Generator().manual_seed(1))
    noisy = torch.where(still() > 0, still() + torch.nn.functional.avg_pool2d(noise, 7), 0.0).clamp(0, 1)
    assert 0 < least_difference(noisy) < MOTION_THRESHOLD


def test_two_frames_that_are_alike_make_a_clip_still_wherever_they_are():
    clip = moving()
    clip[3] = clip[0]
    assert least_difference(clip) == 0


def test_nothing_moves_in_the_dark():
    assert least_difference(torch.zeros(4, 1, 16, 16)) == 0
