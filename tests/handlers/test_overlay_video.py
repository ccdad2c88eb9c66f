# SPDX-License-Identifier: Apache-2.0
"""Heat maps on frames, and the video of them."""

from __future__ import annotations

import numpy as np

from bundle.handlers.overlay_video import overlay, side_by_side, write_video
from bundle.readers import read_cine


def test_an_overlay_leaves_the_frame_where_the_map_is_0_and_is_warm_at_its_maximum():
    frame = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
    heat = np.zeros((6, 8), dtype=np.float32)
    heat[2, 3], heat[4, 4] = 1e-4, 5e-5
    picture = overlay(frame, heat)
    assert picture.shape == (6, 8, 3) and picture.dtype == np.uint8
    untouched = heat == 0
    assert (picture[untouched] == frame[untouched][:, None]).all()
    red, _, blue = picture[2, 3].astype(int)
    assert red > blue + 30
    assert np.array_equal(overlay(frame, 1000 * heat), picture)
    assert np.array_equal(overlay(frame, 0 * heat), np.repeat(frame[..., None], 3, axis=2))


def test_side_by_side_has_title_frame_rings_and_picture():
    frame = np.full((40, 60), 50, np.uint8)
    picture = np.full((40, 60, 3), 9, np.uint8)
    both = side_by_side(frame, np.array([[20.0, 10.0]]), picture, "simulated")
    assert both.shape == (56, 120, 3)
    assert (both[:16] > 200).any() and (both[16:, 60:] == 9).all()
    yellow = np.argwhere((both[16:, :60, 0] > 200) & (both[16:, :60, 2] < 50))
    assert np.abs(yellow.mean(0) - [10, 20]).max() < 1


def test_the_video_comes_back_frame_by_frame(tmp_path):
    levels = [20, 90, 160, 230]
    write_video(tmp_path / "overlay.mp4", (np.full((33, 47, 3), level, np.uint8) for level in levels), 12.5)
    cine = read_cine(tmp_path / "overlay.mp4")
    assert cine.frames.shape[:3] == (4, 32, 46)
    assert np.abs(cine.frames.mean(axis=(1, 2, 3)) - levels).max() < 6
    np.testing.assert_allclose(np.diff(cine.meta["frame_times"]), 0.08, atol=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["overlay.mp4"]
