# SPDX-License-Identifier: Apache-2.0
"""Tables of fixations: what is read, and the one line for what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle.data import Fixation, read_fixations
from bundle.errors import InputError

VIDEOS = {"set/a", "set/b"}


@pytest.fixture
def table(tmp_path: Path):
    def write(*lines: str, header: str = "video_id,frame,time,x,y,duration") -> Path:
        path = tmp_path / "fixations.csv"
        path.write_text("\n".join([header, *lines]) + "\n")
        return path

    return write


def test_rows_by_video_with_and_without_the_sets_name(table):
    path = table("a,0,0.0,10.5,20,0.25", "set/b,,0.4,1,2,", "", " a , 3.0 ,, 4 ,5,1e-1")
    assert read_fixations(path, VIDEOS) == {
        "set/a": [Fixation(2, 0, 0.0, 10.5, 20.0, 0.25), Fixation(5, 3, None, 4.0, 5.0, 0.1)],
        "set/b": [Fixation(3, None, 0.4, 1.0, 2.0, None)],
    }


def test_other_columns_and_orders(table):
    path = table("7,8,b,left,2", header="y,x,video_id,eye,frame")
    assert read_fixations(path, VIDEOS) == {"set/b": [Fixation(2, 2, None, 8.0, 7.0, None)]}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("c,0,,1,2,1", "video 'c' is not in the datalist, which has 2 videos such as set/a"),
        (",0,,1,2,1", "video '' is not in the datalist"),
        ("a,,,1,2,1", "neither frame nor time"),
        ("a,0,,left,2,1", "x is 'left': expected a number"),
        ("a,0,,1,nan,1", "y is 'nan'"),
        ("a,0,,1,,1", "no y"),
        ("a,0,soon,1,2,1", "time is 'soon'"),
        ("a,1.5,,1,2,1", "frame is 1.5: expected a whole number, 0 for the first"),
        ("a,-1,,1,2,1", "frame is -1"),
        ("a,0,,1,2,0", "duration is 0: expected seconds, above 0"),
        ("a,0,,1,2,inf", "duration is 'inf'"),
        ("a,0,,1,2,1,9", "7 cells under 6 columns"),
    ],
)
def test_a_bad_row_is_named(table, row, says):
    path = table("a,0,,1,2,1", row)
    with pytest.raises(InputError) as error:
        read_fixations(path, VIDEOS)
    assert str(error.value).startswith(f"{path}, line 3: ") and says in str(error.value)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("video_id,frame,x,y,x", "column 'x' is there twice"),
        ("video_id,frame,x", "no column 'y'"),
        ("frame,x,y", "no column 'video_id'"),
        ("video_id,x,y,duration", "no column 'frame' or 'time'"),
        ("video_id;frame;x;y", "columns separated by ';'"),
    ],
)
def test_a_bad_header_is_refused(table, header, says):
    with pytest.raises(InputError) as error:
        read_fixations(table(header=header), VIDEOS)
    assert says in str(error.value) and "fixations.csv" in str(error.value)


def test_unknown_videos_can_be_left_out(table):
    path = table("c,0,,1,2,1", "a,0,,1,2,1")
    assert list(read_fixations(path, VIDEOS, unknown_videos="leave_out")) == ["set/a"]
    with pytest.raises(InputError, match="unknown_videos: found 'skip'"):
        read_fixations(path, VIDEOS, unknown_videos="skip")


def test_an_id_that_two_sets_have_must_be_written_whole(table):
    both = {"one/a", "two/a"}
    assert list(read_fixations(table("two/a,0,,1,2,1"), both)) == ["two/a"]
    with pytest.raises(InputError, match="line 2: video 'a' may be one/a or two/a"):
        read_fixations(table("a,0,,1,2,1"), both)


def test_no_table(tmp_path):
    with pytest.raises(InputError, match="none.csv: cannot be read.*a table of fixations"):
        read_fixations(tmp_path / "none.csv", VIDEOS)
