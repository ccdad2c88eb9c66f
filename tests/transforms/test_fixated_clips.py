# SPDX-License-Identifier: Apache-2.0
"""Fixations on the clips of a datalist: frames, times, weights, places, and what is left out or refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.data import Datalist
from bundle.errors import InputError
from bundle.keys import UNLABELLED, Keys
from bundle.transforms import BlurWidth, FixationRules, with_fixations

# a frame of 100 x 80 pixels, of which rows 10 to 70 and columns 20 to 60 are kept, padded to a square of 60, made 30
META = {
    "original_size": [80, 100],
    "sector_box": [20, 10, 60, 70],
    "resize_padding": [10, 0, 10, 0],
    "resize_scale": 0.5,
    "frame_times": [5.0, 5.1, 5.2, 5.4],
}


class Cache:
    """What `with_fixations` asks of a frame cache."""

    def __init__(self, n_frames: int = 4, **meta: Any) -> None:
        self.n_frames = n_frames
        self.known = {**META, **meta}

    def meta(self, record: dict[str, Any]) -> dict[str, Any]:
        return self.known

    def frames(self, record: dict[str, Any]) -> np.ndarray:
        return np.zeros((1, self.n_frames, 30, 30), np.uint8)


def record(name: str, patient: str = "p", label: int = UNLABELLED) -> dict[str, Any]:
    return {Keys.IMAGE: f"/{name}.dcm", Keys.VIDEO_ID: f"set/{name}", Keys.PATIENT_ID: patient, Keys.LABEL: label}


@pytest.fixture
def read(tmp_path: Path):
    def read(
        *lines: str,
        rules: FixationRules | None = None,
        cache: Cache | None = None,
        names="ab",
        more_training=(),
        **more: Any,
    ):
        path = tmp_path / "gaze.csv"
        path.write_text("\n".join(["video_id,frame,time,x,y,duration", *lines]) + "\n")
        datalist = Datalist(
            "set", [], [*(record(name, name) for name in names), *more_training], [record("v", "v")], []
        )
        return with_fixations(datalist, cache or Cache(), path, BlurWidth(pixels=4), rules, **more)

    return read


BEGAN = FixationRules(frames="began")


def rows(datalist: Datalist) -> list[list[float]]:
    """Frame, x, y, weight of each fixation of the first training clip."""
    gaze = datalist.training[0][Keys.GAZE]
    return np.column_stack([gaze.frames, gaze.points, gaze.weights]).round(6).tolist()


def test_places_come_along_through_the_crop(read):
    found = read("a,2,,20,10,0.3", "a,0,,59,69,1", rules=BEGAN)
    # the centre of the pixel in the crop's corner, and of the one in the opposite corner
    assert rows(found) == [[2, 5.25, 0.25, 0.3], [0, 24.75, 29.75, 1]]
    gaze = found.training[0][Keys.GAZE]
    assert gaze.width == (2.0, 2.0) and gaze.size == 30


def test_a_time_is_that_of_the_frame_then_shown(read):
    times = {"0": 0, "0.0999": 1, "0.15": 1, "0.2": 2, "0.39": 2, "0.41": 3, "0.49": 3}  # rounded to a millisecond
    found = read(*(f"a,,{time},40,40,1" for time in times), rules=BEGAN)
    assert [row[0] for row in rows(found)] == list(times.values())


def test_a_fixation_that_lasts_counts_by_its_seconds_on_each_frame(read):
    found = read("a,,0.05,40,40,0.3", "a,2,,40,40,9")
    expected = [[0, 0.05], [1, 0.1], [2, 0.15], [2, 0.2], [3, 0.1]]  # the last frame is shown for a median step
    assert [[row[0], row[3]] for row in rows(found)] == expected
    early = read("a,,-0.2,40,40,0.25")
    assert [[row[0], row[3]] for row in rows(early)] == [[0, 0.05]]
    same = read("a,,0.05,40,40,0.3", rules=FixationRules(by_duration=False))
    assert [row[3] for row in rows(same)] == [1, 1, 1]


def test_durations_can_be_left_out_of_account(read):
    assert rows(read("a,1,,40,40,", rules=FixationRules(frames="began", by_duration=False)))[0][3] == 1
    with pytest.raises(InputError, match="line 2: no duration.*weigh all fixations the same"):
        read("a,1,,40,40,", rules=BEGAN)
    with pytest.raises(InputError, match="line 2: no duration.*where they began"):
        read("a,1,,40,40,", rules=FixationRules(by_duration=False))


def test_a_still_has_one_frame_and_needs_no_times(read):
    found = read("a,,7.5,40,40,0.3", "a,0,,40,40,0.2", cache=Cache(1, frame_times=None))
    assert [[row[0], row[3]] for row in rows(found)] == [[0, 0.3], [0, 0.2]]


def test_unknown_frame_times(read):
    untimed = Cache(frame_times=None)
    assert rows(read("a,3,,40,40,1", cache=untimed, rules=BEGAN))[0][0] == 3
    for line, rules in (("a,,0.1,40,40,1", BEGAN), ("a,3,,40,40,1", None)):
        with pytest.raises(InputError, match="line 2: the file of set/a does not say when its frames were taken"):
            read(line, cache=untimed, rules=rules)


OUTSIDE = ["a,0,,100,40,1", "a,0,,-0.6,40,1", "a,0,,40,79.5,1", "a,,0.51,40,40,1", "a,,-0.1,40,40,0.09"]


def test_fixations_outside_are_counted_and_left_out(read, caplog):
    with caplog.at_level(logging.WARNING):
        found = read(*OUTSIDE, "a,0,,99.4,79.4,1", "a,0,,40,40,1", "v,0,,40,40,1")
    assert [row[0] for row in rows(found)] == [0, 1, 2, 3] and len(found.validation) == 1
    warned = caplog.text
    assert "5 of 8 fixations lie outside their frame or clip" in warned and "gaze.csv, line 2: (100, 40)" in warned
    assert "1 of 3 clips have no fixation and are left out" in warned


@pytest.mark.parametrize("line", OUTSIDE)
def test_or_refused(read, line):
    with pytest.raises(InputError, match="gaze.csv, line 3: .*outside the .*leave_out"):
        read("a,0,,40,40,1", line, rules=FixationRules(outside="refuse"))


def test_what_lies_beside_the_crop_is_left_out_with_a_word(read, caplog):
    with caplog.at_level(logging.INFO):
        found = read("a,0,,5,40,1", "a,2,,40,40,1")
    assert [row[0] for row in rows(found)] == [2, 3]
    assert "1 of 2 fixations lie beside the sector's crop" in caplog.text


def test_a_frame_the_clip_does_not_have_is_always_refused(read):
    with pytest.raises(InputError, match="gaze.csv, line 2: frame 4 of set/a, which has 4: expected 0 to 3"):
        read("a,4,,40,40,1")


def test_no_fixated_training_clip_is_refused(read):
    with pytest.raises(InputError, match="none of 2 training clips has a fixation"):
        read("v,0,,40,40,1")


def test_several_files_of_a_video_are_refused(read):
    other = {**record("a", "a"), Keys.IMAGE: "/b.dcm"}
    with pytest.raises(InputError, match=r"gaze.csv: found /a.dcm and /b.dcm with the video_id set/a.* of its own"):
        read("a,0,,40,40,1", names="a", more_training=[other])
    assert len(read("v,0,,40,40,1", "c,0,,40,40,1", names="ac", more_training=[other]).training) == 1, "without gaze"


def test_few_patients(read):
    lines = [f"{name},0,,40,40,1" for name in "abcdef"]
    everyone = {r[Keys.PATIENT_ID] for r in read(*lines, names="abcdef").training}
    few = [{r[Keys.PATIENT_ID] for r in read(*lines, names="abcdef", patients=n, seed=3).training} for n in (2, 4)]
    assert [len(some) for some in few] == [2, 4] and few[0] < few[1] < everyone


@pytest.mark.parametrize("given", [{"frames": "all"}, {"outside": "drop"}])
def test_other_rules_are_refused(given):
    with pytest.raises(InputError, match="expected"):
        FixationRules(**given)
