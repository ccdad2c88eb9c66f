# SPDX-License-Identifier: Apache-2.0
"""Pairs: which frames, which weights, and that what is drawn is what is computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import Compose

from bundle.errors import InputError
from bundle.keys import Keys
from bundle.transforms import PAIR_PRESETS, RandPairViews, RandPairViewsd, RandViewGeometry, RandViewIntensity
from bundle.transforms.pair_rules import pair_preset


def cine(n_frames: int, size: int = 8) -> np.ndarray:
    """Frame t has the grey value 10 t everywhere."""
    return np.broadcast_to(np.arange(n_frames, dtype=np.uint8)[None, :, None, None] * 10, (1, n_frames, size, size))


def draws(preset: str, n_frames: int, n: int = 400):
    random = np.random.RandomState(0)
    return [pair_preset(preset).rule.draw(random, n_frames) for _ in range(n)]


@pytest.mark.parametrize("preset", sorted(PAIR_PRESETS))
@pytest.mark.parametrize("n_frames", [1, 2, 3, 17])
def test_every_draw_is_a_mixture_of_existing_frames(preset, n_frames):
    for draw in draws(preset, n_frames, 100):
        assert draw.frames.shape == draw.weights.shape and len(draw.frames) == 2
        assert draw.frames.min() >= 0 and draw.frames.max() < n_frames
        assert np.all(draw.weights >= 0) and np.allclose(draw.weights.sum(axis=1), 1)


def test_uscl_takes_three_distinct_frames_and_a_weight_for_each_view():
    weights = []
    for draw in draws("uscl", 9, 4000):
        (a, anchor), (b, same_anchor) = draw.frames
        assert anchor == same_anchor and len({a, b, anchor}) == 3
        weights.append(draw.weights[:, 0])
    weights = np.array(weights)
    assert abs(np.corrcoef(weights.T)[0, 1]) < 0.06
    # Beta(0.5, 0.5): mean 1/2, variance 1/8, and 2 / pi * asin(sqrt(0.1)) of its mass below 0.1
    assert weights.mean() == pytest.approx(0.5, abs=0.02)
    assert weights.var() == pytest.approx(1 / 8, abs=0.01)
    assert (weights < 0.1).mean() == pytest.approx(2 / np.pi * np.arcsin(np.sqrt(0.1)), abs=0.02)


def test_released_preset_shares_one_weight():
    assert all(draw.weights[0, 0] == draw.weights[1, 0] for draw in draws("uscl-released", 9))


def test_uscl_covers_all_frames():
    seen = np.concatenate([draw.frames.ravel() for draw in draws("uscl", 7)])
    assert set(seen) == set(range(7))


@pytest.mark.parametrize("preset", ["uscl", "uscl-released"])
def test_few_frames_are_not_mixed(preset):
    for draw in draws(preset, 2, 20):
        shown = [set(row[weight > 0]) for row, weight in zip(draw.frames, draw.weights, strict=True)]
        assert sorted(next(iter(s)) for s in shown) == [0, 1] and all(len(s) == 1 for s in shown)
    assert np.all(draws(preset, 1, 1)[0].frames == 0)


def test_simclr_shows_one_frame_twice():
    for draw in draws("simclr", 9, 50):
        assert draw.frames[0] == draw.frames[1]


@pytest.mark.parametrize("preset", sorted(PAIR_PRESETS))
def test_views_are_the_drawn_mixture(preset):
    pairs = RandPairViews(preset, mean=0.1, std=0.4)
    pairs.set_random_state(3)
    for _ in range(10):
        views = pairs(cine(12))
        expected = (pairs.drawn.frames * pairs.drawn.weights).sum(axis=1) * 10 / 255
        assert views.shape == (2, 1, 8, 8)
        assert np.allclose(views.mean(dim=(1, 2, 3)), (expected - 0.1) / 0.4, atol=1e-5)
        assert float(views.std(dim=(1, 2, 3)).max()) < 1e-5


def augment():
    return Compose([RandViewGeometry(), RandViewIntensity()])


def test_same_seed_same_views_and_other_seed_other_views():
    frames = np.random.RandomState(0).randint(0, 255, (1, 20, 16, 16)).astype(np.uint8)
    pairs = RandPairViews(augment=augment())
    first = [pairs.set_random_state(seed)(frames) for seed in (5, 5, 6)]
    assert torch.equal(first[0], first[1])
    assert not torch.allclose(first[0], first[2])


def test_the_two_views_of_one_frame_are_augmented_independently():
    frames = np.random.RandomState(0).randint(50, 200, (1, 1, 16, 16)).astype(np.uint8)
    pairs = RandPairViews("simclr", augment=augment())
    pairs.set_random_state(0)
    differences = [float((views[0] - views[1]).abs().mean()) for views in (pairs(frames) for _ in range(20))]
    assert min(differences) > 0.01


def test_released_preset_augments_each_frame_before_mixing():
    """With flips only: mixing first gives views that are pure or flipped as a whole; mixing last also mixes the two."""
    frames = np.zeros((1, 3, 4, 4), np.uint8)
    frames[..., 0] = 250
    flips = RandViewGeometry(crop_area=(1, 1), crop_ratio=(1, 1), flip=0.5)

    def lit_on_both_sides(preset):
        pairs = RandPairViews(preset, augment=flips, mean=0, std=1)
        pairs.set_random_state(0)
        views = torch.cat([pairs(frames) for _ in range(60)])
        return ((views[..., 0] > 0.01) & (views[..., -1] > 0.01)).float().mean()

    assert lit_on_both_sides("uscl") == 0
    assert lit_on_both_sides("uscl-released") > 0.2


def test_memory_mapped_cine_reads_like_an_array(tmp_path):
    frames = np.random.RandomState(1).randint(0, 255, (1, 9, 8, 8)).astype(np.uint8)
    np.save(tmp_path / "cine.npy", frames)
    mapped = np.load(tmp_path / "cine.npy", mmap_mode="r")
    pairs = RandPairViews(augment=augment())
    assert torch.equal(pairs.set_random_state(0)(frames), pairs.set_random_state(0)(mapped))


def test_dictionary_form_keeps_the_record_and_tells_the_draw():
    transform = RandPairViewsd(augment=augment())
    sample = transform.set_random_state(0)({Keys.IMAGE: cine(9, 16), Keys.VIDEO_ID: "a/1", Keys.LABEL: 2})
    assert set(sample) == {Keys.VIDEO_ID, Keys.LABEL, Keys.VIEWS, Keys.PAIR_FRAMES, Keys.PAIR_MIXING}
    assert sample[Keys.VIEWS].shape == (2, 1, 16, 16)
    assert sample[Keys.PAIR_FRAMES].shape == sample[Keys.PAIR_MIXING].shape == (2, 2)


def test_a_cine_without_frames_is_an_error_that_names_the_video():
    with pytest.raises(InputError, match="a/17"):
        RandPairViewsd()({Keys.IMAGE: cine(0), Keys.VIDEO_ID: "a/17"})


def test_unknown_preset_lists_the_known_ones():
    with pytest.raises(InputError, match="simclr, uscl, uscl-released"):
        RandPairViews("usclr")
