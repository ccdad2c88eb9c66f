# SPDX-License-Identifier: Apache-2.0
"""Pairs: that what is drawn is what is computed. The rules are tested in `test_pair_rules`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import Compose

from bundle.errors import InputError
from bundle.keys import Keys
from bundle.transforms import PAIR_PRESETS, RandPairViews, RandPairViewsd, RandViewGeometry, RandViewIntensity


def cine(n_frames: int, size: int = 8) -> np.ndarray:
    """Frame t has the grey value 10 t everywhere."""
    return np.broadcast_to(np.arange(n_frames, dtype=np.uint8)[None, :, None, None] * 10, (1, n_frames, size, size))


@pytest.mark.parametrize("preset", sorted(PAIR_PRESETS))
def test_views_are_the_drawn_mixture(preset):
    pairs = RandPairViews(preset, mean=0.1, std=0.4)
    pairs.set_random_state(3)
    for _ in range(10):
        views = pairs(cine(12))
        expected = (pairs.drawn.frames * pairs.drawn.weights).sum(axis=1) * 10 / 255
        assert views.shape == (pairs.preset.n_views, 1, 8, 8)
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
    assert set(sample) == {Keys.IMAGE, Keys.VIDEO_ID, Keys.LABEL, Keys.VIEWS, Keys.PAIR_FRAMES, Keys.PAIR_MIXING}
    assert sample[Keys.VIEWS].shape == (2, 1, 16, 16)
    assert sample[Keys.PAIR_FRAMES].shape == sample[Keys.PAIR_MIXING].shape == (2, 2)


def test_a_cine_without_frames_is_an_error_that_names_the_video():
    with pytest.raises(InputError, match="a/17"):
        RandPairViewsd()({Keys.IMAGE: cine(0), Keys.VIDEO_ID: "a/17"})


def test_second_view_is_of_the_partner():
    pairs = RandPairViews("echoclr", mean=0, std=1).set_random_state(0)
    own, other = cine(12), 255 - cine(5)
    for _ in range(10):
        first, second = pairs(own, None, (other, None)).mean(dim=(1, 2, 3))
        frames = pairs.drawn.frames[:, 0]
        assert float(first) == pytest.approx(frames[0] * 10 / 255, abs=1e-5)
        assert float(second) == pytest.approx((255 - frames[1] * 10) / 255, abs=1e-5)


def test_times_of_the_cine_reach_the_rule():
    pairs = RandPairViews("ivpp").set_random_state(0)
    times = [0.0, 10.0, 20.0, 20.1, 40.0]
    for _ in range(10):
        pairs(cine(5), times)
        assert set(pairs.drawn.frames.ravel()) == {2, 3}
    for _ in range(10):
        pairs(cine(5))
        assert pairs.drawn.frames[0] != pairs.drawn.frames[1]


@pytest.mark.parametrize(
    ("preset", "added"),
    [("ivpp", {Keys.PAIR_WEIGHT: ()}), ("us-ucl", {Keys.NEGATIVE_MASK: (1,)}), ("echoclr", {})],
)
def test_what_the_loss_needs_is_in_the_sample(preset, added):
    transform = RandPairViewsd(preset=preset).set_random_state(0)
    sample = transform({Keys.IMAGE: cine(9), Keys.FRAME_TIMES: None, Keys.LABEL: 2})
    given = {Keys.IMAGE, Keys.FRAME_TIMES, Keys.LABEL}
    assert set(sample) == {*given, Keys.VIEWS, Keys.PAIR_FRAMES, Keys.PAIR_MIXING, *added}
    assert {name: tuple(sample[name].shape) for name in added} == added
    draw = transform.pairs.drawn
    if preset == "ivpp":
        assert float(sample[Keys.PAIR_WEIGHT]) == pytest.approx(draw.pair_weight)
    if preset == "us-ucl":
        assert sample[Keys.NEGATIVE_MASK].tolist() == draw.negatives.tolist() == [True]
        assert transform({Keys.IMAGE: cine(1), Keys.LABEL: 2})[Keys.NEGATIVE_MASK].tolist() == [False]


def record(index: int, n_frames: int, label: int) -> dict:
    return {Keys.IMAGE: cine(n_frames), Keys.FRAME_TIMES: None, Keys.LABEL: label, Keys.INDEX: index}


def test_partners_are_drawn_and_read_one_at_a_time():
    read = []

    def partner(index):
        def get():
            read.append(index)
            return record(index, 9, label=index)

        return get

    transform = RandPairViewsd(preset="echoclr").set_random_state(0)
    data = {**record(0, 9, label=-1), Keys.PARTNERS: [partner(3), partner(7)]}
    samples = [transform(data) for _ in range(30)]
    assert {int(sample[Keys.PAIR_INDEX][1]) for sample in samples} == {3, 7} and len(read) == 30
    for sample, index in zip(samples, read, strict=True):
        assert sample[Keys.PAIR_INDEX].tolist() == [0, index]
        assert sample[Keys.LABEL].tolist() == [-1, index], "each view has the label of its video"
    alone = transform({**record(5, 9, label=1), Keys.PARTNERS: []})
    assert alone[Keys.PAIR_INDEX].tolist() == [5, 5] and alone[Keys.LABEL].tolist() == [1, 1]
    assert alone[Keys.PAIR_FRAMES][0] != alone[Keys.PAIR_FRAMES][1]
    ignored = RandPairViewsd(preset="simclr")({**record(5, 9, label=1), Keys.PARTNERS: [partner(3)]})
    assert Keys.PAIR_INDEX not in ignored and ignored[Keys.LABEL] == 1
