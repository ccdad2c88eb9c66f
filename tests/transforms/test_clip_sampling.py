# SPDX-License-Identifier: Apache-2.0
"""Which frames make a clip: strides in seconds and in frames, short cines, uneven times."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from bundle.data import Datalist
from bundle.errors import InputError
from bundle.keys import Keys
from bundle.transforms import ClipSampling, keep_long_enough


def times(n_frames: int, rate: float) -> np.ndarray:
    return 3.0 + np.arange(n_frames) / rate


def draws(sampling: ClipSampling, count: int, n_frames: int, frame_times: np.ndarray | None, seed: int = 0):
    random = np.random.RandomState(seed)
    return [sampling.draw(random, n_frames, frame_times) for _ in range(count)]


@pytest.mark.parametrize("rate", [10, 25, 59.94])
def test_neighbours_are_a_stride_in_seconds_apart_whatever_the_frame_rate(rate):
    n_frames = int(4 * rate)
    clips = draws(ClipSampling(4, (0.2, 0.4)), 300, n_frames, times(n_frames, rate))
    gaps = np.array([np.diff(times(n_frames, rate)[clip.frames]) for clip in clips])
    strides = np.array([clip.stride for clip in clips])
    # a frame lies at most half a frame interval from its wished time
    assert np.abs(gaps - strides[:, None]).max() <= 1 / rate + 1e-9
    assert 0.2 <= strides.min() < 0.22 and 0.38 < strides.max() <= 0.4
    firsts, lasts = [clip.frames[0] for clip in clips], [clip.frames[-1] for clip in clips]
    assert min(firsts) <= 0.05 * n_frames and max(lasts) >= 0.95 * n_frames - 1, "the whole cine is used"
    assert not any(clip.shortened for clip in clips)


@pytest.mark.parametrize("unknown", [None, np.zeros(40), np.full(40, np.nan), np.arange(39.0), np.arange(40.0)[::-1]])
def test_strides_are_frames_where_times_are_unknown(unknown):
    clips = draws(ClipSampling(3, stride=(5, 5), stride_frames=(4, 4)), 600, 40, unknown)
    assert all(np.diff(clip.frames).tolist() == [4, 4] for clip in clips)
    assert {int(clip.frames[0]) for clip in clips} >= {0, 31}, "from the first to the last possible start"


def test_uneven_times_get_the_nearest_frames():
    uneven = np.array([0.0, 0.1, 0.2, 0.9, 1.0, 1.1, 2.0])
    clip = ClipSampling(3, (1.0, 1.0)).draw(np.random.RandomState(0), 7, uneven)
    assert clip.frames.tolist() == [0, 4, 6] and clip.stride == 1.0 and not clip.shortened


@pytest.mark.parametrize("n", [2, 4, 6])
def test_frames_increase_strictly_also_where_the_stride_is_below_the_frame_interval(n):
    random = np.random.RandomState(1)
    for n_frames in (n, n + 1, 3 * n):
        uneven = np.cumsum(random.exponential(1.0, n_frames))
        for clip in draws(ClipSampling(n, (1e-3, 0.5)), 50, n_frames, uneven):
            assert (np.diff(clip.frames) > 0).all() and 0 <= clip.frames[0] and clip.frames[-1] < n_frames


def test_a_short_cine_is_sampled_at_the_largest_stride_that_fits_and_says_so():
    for clip in draws(ClipSampling(4, (0.3, 0.5)), 20, 10, times(10, 20)):
        assert clip.shortened and clip.frames.tolist() == [0, 3, 6, 9] and clip.stride == pytest.approx(0.15)
    # between the smallest and the largest stride nothing is shortened
    clips = draws(ClipSampling(4, (0.1, 0.5)), 50, 10, times(10, 20))
    assert not any(clip.shortened for clip in clips) and max(clip.stride for clip in clips) <= 0.15 + 1e-9
    # nor at the smallest exactly, whatever the times' rounding
    assert not any(clip.shortened for clip in draws(ClipSampling(4, (0.15, 0.5)), 5, 10, times(10, 20)))


def test_a_short_cine_is_refused_on_request_and_one_with_too_few_frames_always():
    with pytest.raises(InputError, match=r"found 0.45 seconds; expected at least 0.9 for 4 frames 0.3 apart"):
        ClipSampling(4, (0.3, 0.5), shorten=False).draw(np.random.RandomState(0), 10, times(10, 20))
    with pytest.raises(InputError, match=r"found 5 frames; expected at least 6 for 4 frames 2 apart"):
        ClipSampling(4, stride_frames=(2, 2), shorten=False).draw(np.random.RandomState(0), 6, None)
    with pytest.raises(InputError, match="found 3 frames; expected at least 4"):
        ClipSampling(4).draw(np.random.RandomState(0), 3, times(3, 20))


def test_even_clips_lie_evenly_and_need_no_random_state():
    sampling = ClipSampling(2, stride_frames=(2, 4))
    starts = [int(sampling.even(k, 5, 104, None).frames[0]) for k in range(5)]
    assert starts == [10, 30, 50, 70, 90]
    assert all(np.diff(sampling.even(k, 5, 104, None).frames) == [3] for k in range(5))


@pytest.mark.parametrize(
    "wrong", [{"n_frames": 1}, {"stride": (0.3, 0.1)}, {"stride": (0, 1)}, {"stride_frames": (1, np.inf)}]
)
def test_other_settings_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        ClipSampling(**wrong)


class Cines:
    """Stands for a frame cache: frames and meta by a record's video."""

    def __init__(self, lengths: dict[str, tuple[int, float | None]]) -> None:
        self.lengths = lengths

    def frames(self, record):
        return np.zeros((1, self.lengths[record[Keys.VIDEO_ID]][0], 2, 2), np.uint8)

    def meta(self, record):
        n_frames, rate = self.lengths[record[Keys.VIDEO_ID]]
        return {} if rate is None else {Keys.FRAME_TIMES: times(n_frames, rate).tolist()}


def kept(sampling: ClipSampling, training: str, validation: str = "") -> str:
    cines = Cines({"a": (30, 20), "b": (10, 20), "c": (3, 20), "d": (30, None), "e": (1, None)})
    parts = [[{Keys.VIDEO_ID: name} for name in names] for names in (training, validation, "")]
    datalist = keep_long_enough(Datalist("set", [], *parts), cines, sampling)
    return "".join(record[Keys.VIDEO_ID] for record in datalist.training + datalist.validation)


def test_cines_too_short_are_left_out_by_name_and_shortened_ones_counted(caplog):
    caplog.set_level(logging.INFO)
    assert kept(ClipSampling(4, (0.3, 0.5)), "abcd", "abe") == "abdab"
    assert "left out: video c: found 3 frames" in caplog.text and "left out: video e: found 1 frame" in caplog.text
    assert "2 of 5 cines are sampled at a smaller stride than asked, 2 are left out as too short" in caplog.text
    assert kept(ClipSampling(4, (0.3, 0.5), shorten=False), "abcd", "abe") == "ada"
    with pytest.raises(InputError, match="set: none of 2 training clips is long enough"):
        kept(ClipSampling(4), "ce", "a")
