# SPDX-License-Identifier: Apache-2.0
"""Rules of pairs: which frames, how far apart in seconds, which weights; and the presets that name them."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.data import ASSUMED_FRAME_RATE, frame_seconds, known_times
from bundle.errors import InputError
from bundle.transforms import PAIR_PRESETS, PairDraw, pair_preset

PRESETS = sorted(PAIR_PRESETS)
WITH_GAP = ["ivpp", "meta-uscl", "us-ucl"]
ROUNDING = 1e-6  # seconds


def steady(n_frames: int, rate: float = 30.0) -> np.ndarray:
    return np.arange(n_frames) / rate


def uneven(n_frames: int, seed: int = 0) -> np.ndarray:
    """Frames at 5 to 100 a second, with a pause now and then."""
    steps = np.random.RandomState(seed).choice([0.01, 0.02, 0.05, 0.2, 2.0], n_frames, p=[0.3, 0.3, 0.2, 0.15, 0.05])
    return np.cumsum(steps)


def draws(preset: str, times: np.ndarray, n: int = 400, gap: float | None = None, partner=None) -> list[PairDraw]:
    random = np.random.RandomState(0)
    return [pair_preset(preset, gap).rule.draw(random, times, partner) for _ in range(n)]


def shown(draw: PairDraw) -> list[set[int]]:
    """The frames that each view shows."""
    return [set(row[weight > 0].tolist()) for row, weight in zip(draw.frames, draw.weights, strict=True)]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("n_frames", [1, 2, 3, 17])
@pytest.mark.parametrize("rate", [0.5, 30.0, 200.0])
def test_every_draw_is_a_mixture_of_existing_frames(preset, n_frames, rate):
    known = pair_preset(preset)
    shape = draws(preset, steady(50), 1)[0].frames.shape
    for draw in draws(preset, steady(n_frames, rate), 50):
        assert draw.frames.shape == draw.weights.shape == shape, "all items of a batch have one shape"
        assert shape[0] == known.n_views == 2 + len(draw.negatives)
        assert draw.frames.min() >= 0 and draw.frames.max() < n_frames
        assert np.all(draw.weights >= 0) and np.allclose(draw.weights.sum(axis=1), 1)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_random_state_draws_the_same(preset):
    first, second = draws(preset, uneven(60), 30), draws(preset, uneven(60), 30)
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.frames, other.frames) and np.array_equal(one.weights, other.weights)
        assert one.pair_weight == other.pair_weight and np.array_equal(one.negatives, other.negatives)
    assert any(not np.array_equal(first[0].frames, one.frames) for one in first)


@pytest.mark.parametrize("preset", WITH_GAP)
@pytest.mark.parametrize("gap", [None, 0.05, 0.4, 3.0])
@pytest.mark.parametrize(
    "times",
    [*(steady(40, rate) for rate in (1, 5, 12.5, 30, 100)), uneven(40), uneven(40, 1), steady(2, 1), steady(3, 3)],
    ids=["1 Hz", "5 Hz", "12.5 Hz", "30 Hz", "100 Hz", "uneven", "uneven too", "two frames", "three frames"],
)
def test_no_pair_is_wider_than_its_gap(preset, gap, times):
    limit = pair_preset(preset, gap).max_gap
    widest = 0.0
    for draw in draws(preset, times, 300, gap):
        used = times[draw.frames[:2][draw.weights[:2] > 0]]
        widest = max(widest, np.ptp(used))
    assert widest <= limit + ROUNDING
    within = [b - a for i, a in enumerate(times) for b in times[i:] if b - a <= limit + ROUNDING]
    assert widest >= 0.7 * max(within), "and the limit is made use of"


def test_gaps_in_seconds_do_not_change_with_the_frame_rate():
    for preset in WITH_GAP:
        slow, fast = (
            [np.ptp(times[draw.frames[:2, 0]]) for draw in draws(preset, times, 2000)]
            for times in (steady(300, 60.0), steady(1200, 240.0))
        )
        assert np.mean(slow) == pytest.approx(np.mean(fast), abs=0.02)


def test_uscl_takes_three_distinct_frames_and_a_weight_for_each_view():
    weights = []
    for draw in draws("uscl", steady(9), 4000):
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
    assert all(draw.weights[0, 0] == draw.weights[1, 0] for draw in draws("uscl-released", steady(9)))


def test_uscl_covers_all_frames():
    seen = np.concatenate([draw.frames.ravel() for draw in draws("uscl", steady(7))])
    assert set(seen) == set(range(7))


@pytest.mark.parametrize("preset", ["uscl", "uscl-released", "meta-uscl"])
def test_two_frames_are_not_mixed_and_one_is_used_twice(preset):
    for draw in draws(preset, steady(2), 20):
        assert sorted(frame for view in shown(draw) for frame in view) == [0, 1]
    assert shown(draws(preset, steady(1), 1)[0]) == [{0}, {0}]


def test_meta_uscl_has_its_anchor_in_the_middle():
    weights, spans = [], []
    for draw in draws("meta-uscl", steady(100), 4000):
        (first, anchor), (last, same_anchor) = draw.frames
        assert first < anchor == same_anchor < last
        weights.append(draw.weights[:, 1])
        spans.append(last - first)
    weights = np.array(weights)
    assert set(spans) == set(range(2, 17)), "at 30 frames a second the limit is 16 frames"
    assert abs(np.corrcoef(weights.T)[0, 1]) < 0.06
    # Beta(3, 5) on the anchor: mean 3/8, variance 15 / (64 * 9)
    assert weights.mean() == pytest.approx(3 / 8, abs=0.01)
    assert weights.var() == pytest.approx(15 / 576, abs=0.003)


def test_meta_uscl_without_three_frames_in_the_gap():
    two = np.array([0.0, 0.3, 2.0, 4.0])
    assert {frozenset(map(frozenset, shown(draw))) for draw in draws("meta-uscl", two)} == {
        frozenset({frozenset({0}), frozenset({1})})
    }
    for draw in draws("meta-uscl", steady(5, 1.0), 20):
        one, other = shown(draw)
        assert one == other and len(one) == 1


@pytest.mark.parametrize("rate", [10, 30, 50])
@pytest.mark.parametrize("gap", [0.5, 1.0, 1.5])
def test_ivpp_weight_is_that_of_the_released_code(rate, gap):
    """There in frames: (limit - distance + 1) / (limit + 1), with limit = int(gap * rate)."""
    limit = int(gap * rate)
    seen = {}
    for draw in draws("ivpp", steady(200, rate), 3000, gap):
        distance = abs(int(draw.frames[0, 0] - draw.frames[1, 0]))
        assert 1 <= distance <= limit
        assert draw.pair_weight == pytest.approx((limit - distance + 1) / (limit + 1))
        seen[distance] = draw.pair_weight
    nearest_first = [seen[distance] for distance in sorted(seen)]
    assert nearest_first == sorted(nearest_first, reverse=True) and 0 < nearest_first[-1] < nearest_first[0] < 1


def test_ivpp_takes_a_frame_that_has_a_neighbour():
    times = np.array([0.0, 10.0, 10.5, 20.0])
    for draw in draws("ivpp", times, 50):
        assert set(draw.frames.ravel()) == {1, 2} and 0 < draw.pair_weight < 1
    for lonely in (steady(1), np.array([0.0, 5.0, 10.0])):
        for draw in draws("ivpp", lonely, 20):
            assert draw.frames[0] == draw.frames[1] and draw.pair_weight == pytest.approx(1)


@pytest.mark.parametrize("times", [steady(60), steady(200, 100.0), uneven(60), steady(9, 10.0)])
def test_us_ucl_far_frames_are_far_from_the_whole_pair(times):
    preset = pair_preset("us-ucl")
    limit = max(0.2 * (times[-1] - times[0]), 2 * preset.max_gap)
    n_far = 0
    for draw in draws("us-ucl", times):
        first, second, third = times[draw.frames[:, 0]]
        if draw.negatives[0]:
            n_far += 1
            assert min(abs(third - first), abs(third - second)) > limit > preset.max_gap
    assert n_far > 350
    far = {int(draw.frames[2, 0]) for draw in draws("us-ucl", times) if draw.negatives[0]}
    assert len(far) > 0.8 * len(times), "nearly any frame can be the far one"


def test_us_ucl_without_far_frames_has_no_extra_negative():
    for times in (steady(1), steady(5), steady(7)):  # 7 frames last as long as twice the near limit
        assert not any(draw.negatives[0] for draw in draws("us-ucl", times, 30))
    for draw in draws("us-ucl", np.array([0.0, 5.0, 10.0]), 30):  # no two near frames
        assert draw.frames[0] == draw.frames[1] != draw.frames[2] and draw.negatives[0]


def test_echoclr_takes_a_frame_of_each_video():
    seen = [draw.frames[:, 0] for draw in draws("echoclr", steady(4), 200, partner=steady(9)) if draw.partner]
    assert len(seen) == 200
    assert {own for own, _ in seen} == set(range(4)) and {other for _, other in seen} == set(range(9))
    alone = draws("echoclr", steady(4), 100)
    assert not any(draw.partner for draw in alone)
    assert all(draw.frames[0] != draw.frames[1] for draw in alone)
    assert np.all(draws("echoclr", steady(1), 1)[0].frames == 0)


def test_simclr_shows_one_frame_twice():
    for draw in draws("simclr", steady(9), 50):
        assert draw.frames[0] == draw.frames[1]


def test_unknown_preset_lists_the_known_ones():
    with pytest.raises(InputError, match="echoclr, ivpp, meta-uscl, simclr, us-ucl, uscl, uscl-released"):
        pair_preset("usclr")


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - set(WITH_GAP)))
def test_a_gap_for_a_preset_without_one_is_refused(preset):
    with pytest.raises(InputError, match=r"pair_gap: found 0.5, but .* \(meta-uscl, ivpp, us-ucl have one\)"):
        pair_preset(preset, 0.5)


@pytest.mark.parametrize("gap", [0, -1, float("inf"), float("nan"), "1.5"])
def test_a_gap_that_is_no_time_is_refused(gap):
    with pytest.raises(InputError, match="pair_gap"):
        pair_preset("ivpp", gap)


def test_times_that_are_not_known_are_those_of_the_assumed_rate():
    assert ASSUMED_FRAME_RATE == 30
    for unknown in (None, [0, 1], [0, 2, 1], [0, 1, 1], [0, 1, float("nan")], np.zeros((3, 1))):
        assert known_times(unknown, 3) is None
        assert np.array_equal(frame_seconds(unknown, 3), np.array([0, 1, 2]) / 30)
    assert frame_seconds([0, 1, 5], 3).tolist() == known_times([0, 1, 5], 3).tolist() == [0, 1, 5]
    assert frame_seconds([7.0], 1).tolist() == [7.0]
