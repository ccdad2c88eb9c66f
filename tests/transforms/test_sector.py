# SPDX-License-Identifier: Apache-2.0
"""The sector crop on made-up cines, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.errors import InputError
from bundle.transforms import CropToSector, CropToSectord, find_sector
from bundle.transforms.sector_outline import convex_outline, fill_outline


def fan(height: int, width: int, apex: tuple[float, float], near: float, far: float, half_angle: float) -> np.ndarray:
    """Bool ``(H, W)``: between two arcs about ``apex`` (row, column), up to ``half_angle`` degrees off down."""
    y, x = np.mgrid[:height, :width]
    radius = np.hypot(y - apex[0], x - apex[1])
    angle = np.degrees(np.arctan2(x - apex[1], y - apex[0]))
    return (radius >= near) & (radius <= far) & (np.abs(angle) <= half_angle)


def screen(n_frames: int = 12, height: int = 300, width: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """A speckled moving sector between static text, a grey bar and a logo: frames ``(T, H, W)`` and the sector."""
    rng = np.random.default_rng(0)
    sector = fan(height, width, (-20.0, 190.0), 70.0, 290.0, 33.0)
    frames = np.where(sector, rng.gamma(2.0, 30.0, (n_frames, height, width)).clip(8, 255), 0).astype(np.uint8)
    frames[:, 12:20, 6:60:3] = 230  # strokes of letters
    frames[:, 26:34, 6:50:3] = 230
    frames[:, 40:200, 385:393] = np.linspace(255, 0, 160, dtype=np.uint8)[:, None]
    frames[:, 255:285, 15:50] = 120
    return frames, sector


def bounds(mask: np.ndarray) -> tuple[int, ...]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize("n_frames", [1, 2, 12, 60])
def test_finds_the_sector_and_nothing_else(n_frames: int) -> None:
    frames, sector = screen(n_frames)
    fit = find_sector(frames)
    assert fit.source == "frames"
    assert np.abs(np.subtract(fit.box, bounds(sector))).max() <= 5
    x0, y0, x1, y1 = fit.box
    whole = np.zeros_like(sector)
    whole[y0:y1, x0:x1] = fit.mask
    assert (whole & sector).sum() >= 0.98 * sector.sum()
    furniture = (frames[0] > 0) & ~sector
    assert furniture.any() and not (whole & furniture).any()


def test_a_frozen_sector_of_which_little_moves_is_found_as_in_a_still() -> None:
    frames, sector = screen(1)
    frames = np.repeat(frames, 8, axis=0)
    frames[::2, 120:170, 150:210] //= 2  # a few percent of the frame, much less than a quarter of the sector
    assert 0.015 < 50 * 60 / sector.size and 50 * 60 < 0.25 * sector.sum()
    assert np.abs(np.subtract(find_sector(frames).box, bounds(sector))).max() <= 5


def test_the_crop_is_zero_outside_and_untouched_inside() -> None:
    frames, sector = screen()
    cine = MetaTensor(torch.from_numpy(np.stack([frames] * 3)), meta={"frame_times": [0.0, 0.1], "spacing": (0.2, 0.3)})
    result = CropToSector()(cine)
    x0, y0, x1, y1 = result.meta["sector_box"]
    assert result.shape == (3, 12, y1 - y0, x1 - x0) and result.dtype == torch.uint8
    mask = find_sector(frames).mask
    assert (result.numpy()[:, :, ~mask] == 0).all()
    assert np.array_equal(result.numpy()[:, :, mask], np.stack([frames] * 3)[:, :, y0:y1, x0:x1][:, :, mask])
    assert result.meta["original_size"] == (300, 400)
    redrawn = fill_outline(np.array(result.meta["sector_outline"]), 300, 400)
    assert np.array_equal(redrawn[y0:y1, x0:x1], mask)
    assert result.meta["spacing"] == (0.2, 0.3) and result.meta["frame_times"] == [0.0, 0.1]
    assert "sector_box" not in cine.meta  # the input is left alone


def test_static_bright_furniture_larger_than_the_sector_is_dropped() -> None:
    rng = np.random.default_rng(1)
    frames = np.zeros((8, 200, 300), np.uint8)
    frames[:, 60:160, 180:280] = rng.integers(10, 120, (8, 100, 100))
    frames[:, 20:180, 10:150] = rng.integers(10, 255, (160, 140))  # a photograph beside it, never moving
    assert np.abs(np.subtract(find_sector(frames).box, (180, 60, 280, 160))).max() <= 3


def test_a_counter_and_a_trace_that_change_are_not_the_sector() -> None:
    frames, sector = screen()
    for t, frame in enumerate(frames):
        frame[275:287, 300 + t % 3 : 380 : 3] = 230  # digits of a clock
        frame[292:295, 20 + 25 * t : 40 + 25 * t] = 255  # an ECG running through
    assert np.abs(np.subtract(find_sector(frames).box, bounds(sector))).max() <= 5


def test_a_piece_behind_a_shadow_belongs_to_the_sector() -> None:
    frames, sector = screen()
    frames[:, 120:, 205:250] = 0  # behind a rib
    frames[:, :, 265:] *= np.arange(265, 400) >= 280  # and beside it
    assert np.abs(np.subtract(find_sector(frames).box, bounds(sector))).max() <= 5


def test_dark_tissue_of_a_still_is_kept() -> None:
    frames, sector = screen(1)
    depth = np.arange(300)[:, None]
    frames[0] = np.where(sector & (depth > 150), 1 + frames[0] % 3, frames[0])
    assert np.abs(np.subtract(find_sector(frames).box, bounds(sector))).max() <= 5


def test_an_inside_that_is_common_and_dark_is_not_the_background() -> None:
    frames, sector = screen(1)
    frames[0][sector] = 1
    frames[0, 60:100, 150:230] = 90
    assert np.abs(np.subtract(find_sector(frames).box, bounds(sector))).max() <= 5


def test_a_grey_screen_around_the_sector_is_not_the_sector() -> None:
    frames, sector = screen()
    frames[:, ~sector & (frames[0] == 0)] = 45
    assert np.abs(np.subtract(find_sector(frames).box, bounds(sector))).max() <= 5


def test_a_header_across_the_screen_is_cut_from_a_still() -> None:
    rng = np.random.default_rng(2)
    still = np.zeros((1, 240, 320), np.uint8)
    still[0, 24:240, 30:290] = rng.integers(20, 200, (216, 260))
    still[0, 4:24] = 90
    still[0, 10:18, 20:300:3] = 240
    assert np.abs(np.subtract(find_sector(still).box, (30, 24, 290, 240))).max() <= 3


def test_the_dark_inside_of_a_sector_is_kept() -> None:
    frames, sector = screen()
    frames[:, 120:200, 150:230] = 0  # a cyst
    fit = find_sector(frames)
    x0, y0, _, _ = fit.box
    assert fit.mask[120 - y0 : 200 - y0, 150 - x0 : 230 - x0].all()


def test_a_region_is_the_box() -> None:
    frames, _ = screen()
    regions = [
        {"box": [10, 280, 300, 300], "kind": "waveform", "spacing": None},
        {"box": [20, 30, 372, 290], "kind": "2d", "spacing": (0.2, 0.2)},
    ]
    fit = find_sector(frames, regions)
    assert (fit.box, fit.source) == ((20, 30, 372, 290), "region")
    assert not fit.mask[:, :3].any() and fit.mask[100, 170]  # the mask is still the sector's
    result = CropToSector()(MetaTensor(torch.from_numpy(frames[None]), meta={"regions": regions}))
    assert result.shape == (1, 12, 260, 352)
    assert [r["box"] for r in result.meta["regions"]] == [[0, 250, 280, 260], [0, 0, 352, 260]]
    assert result.meta["regions"][1]["spacing"] == (0.2, 0.2)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([20, 30, 500, 340], (20, 30, 400, 300)),  # reaches past the frame: clipped
        ([-30, -9, 360, 290], (0, 0, 360, 290)),
        ([50, 50, 52, 290], None),  # degenerate
        ([600, 600, 700, 700], None),  # beside the frame
        ([372, 200, 399, 299], None),  # nothing lit
        ([200, 100, 372, 290], None),  # holds half of what moves
        ([0, 0, 400, 300], None),  # says nothing
    ],
)
def test_a_region_is_clipped_or_ignored(box: list[int], expected: tuple[int, ...] | None) -> None:
    frames, sector = screen()
    fit = find_sector(frames, [{"box": box, "kind": "2d"}])
    if expected is None:
        assert fit.source == "frames"
        assert np.abs(np.subtract(fit.box, bounds(sector))).max() <= 5
    else:
        assert (fit.box, fit.source) == (expected, "region")


def test_of_two_regions_the_better_lit_one_is_taken() -> None:
    rng = np.random.default_rng(3)
    frames = np.zeros((6, 100, 220), np.uint8)
    frames[:, 10:90, 10:100] = rng.integers(5, 60, (6, 80, 90))
    frames[:, 10:60, 120:160] = rng.integers(5, 60, (6, 50, 40))
    regions = [{"box": b, "kind": "2d"} for b in ([110, 0, 220, 100], [0, 0, 105, 100])]
    assert find_sector(frames, regions).box == (0, 0, 105, 100)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((5, 40, 60), np.uint8),
        np.full((5, 40, 60), 255, np.uint8),
        np.zeros((1, 1, 1), np.uint8),
        np.full((1, 2, 3), 80, np.uint8),
        np.pad(np.full((4, 2, 2), 200, np.uint8), ((0, 0), (50, 50), (50, 50))),  # a dot
        np.pad(np.full((1, 12, 300), 200, np.uint8), ((0, 0), (100, 100), (5, 5))),  # a bar
    ],
    ids=["black", "white", "pixel", "tiny", "dot", "bar"],
)
def test_in_doubt_the_whole_frame_is_kept(frames: np.ndarray) -> None:
    fit = find_sector(frames)
    assert fit.box == (0, 0, frames.shape[2], frames.shape[1])
    assert fit.mask.shape == frames.shape[1:] and fit.mask.all()


@pytest.mark.parametrize("shape", [(3, 1, 7), (2, 5, 5), (1, 16, 9), (4, 33, 31)])
def test_tiny_frames_give_a_box_inside_the_frame(shape: tuple[int, int, int]) -> None:
    frames = np.random.default_rng(4).integers(0, 255, shape, dtype=np.uint8)
    x0, y0, x1, y1 = find_sector(frames).box
    assert 0 <= x0 < x1 <= shape[2] and 0 <= y0 < y1 <= shape[1]


def test_the_mask_is_convex_along_rows_and_columns() -> None:
    mask = find_sector(screen()[0]).mask.astype(int)
    for axis in (0, 1):
        assert (np.abs(np.diff(mask, axis=axis)).sum(axis) <= 2).all()


@pytest.mark.parametrize("factor", [1, 3])
def test_the_outline_is_the_convex_hull(factor: int) -> None:
    from scipy.spatial import Delaunay

    area = np.random.default_rng(5).random((30, 40)) < 0.01
    rows, columns = np.nonzero(area)
    corners = [[(rows + i) * factor, (columns + j) * factor] for i in (0, 1) for j in (0, 1)]
    hull = Delaunay(np.concatenate(corners, axis=1).T)
    y, x = np.mgrid[: 30 * factor, : 40 * factor] + 0.5
    expected = hull.find_simplex(np.stack([y.ravel(), x.ravel()], 1)).reshape(y.shape) >= 0
    filled = fill_outline(convex_outline(area, factor), *y.shape)
    assert np.count_nonzero(filled != expected) <= 2  # pixels whose centre lies on the line


def test_cropping_a_crop_changes_little() -> None:
    frames, _ = screen()
    once = CropToSector()(torch.from_numpy(frames[None]))
    twice = CropToSector()(once.as_tensor())
    assert np.abs(np.subtract(twice.shape, once.shape)).max() <= 4


def test_dictionary_form_and_refusals() -> None:
    frames, _ = screen()
    crop = CropToSectord("image")
    sample = crop({"image": torch.from_numpy(frames[None]), "label": 3})
    assert sample["label"] == 3
    assert torch.equal(sample["image"].as_tensor(), CropToSector()(frames[None]).as_tensor())
    named = MetaTensor(torch.zeros(1, 0, 4, 4, dtype=torch.uint8), meta={"filename_or_obj": "clip.mp4"})
    with pytest.raises(InputError, match="clip.mp4.*expected"):
        crop({"image": named})
    with pytest.raises(InputError, match="float32"):
        crop({"image": torch.zeros(1, 2, 4, 4)})
