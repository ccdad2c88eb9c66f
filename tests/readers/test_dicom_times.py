# SPDX-License-Identifier: Apache-2.0
"""The times of DICOM cines."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.readers import read_cine

Write = Callable[..., Path]

VECTOR, TIME = 0x00181065, 0x00181063
STEPS_AS_A_VECTOR = [0, 10, 20, 30, 40]  # ms
UNEVEN = [0, 0.01, 0.03, 0.06, 0.1]  # the seconds they add up to


def every(step: float, count: int = 5) -> np.ndarray:
    return np.arange(count) * step


def read_times(path: Path, match: str = "", frames: list[int] | None = None) -> np.ndarray | None:
    """The times, with one warning of ``match`` or none at all."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        meta = read_cine(path, frames).meta
    said = [str(w.message) for w in caught if str(path) in str(w.message)]
    assert len(said) == (1 if match else 0) and all(match in text and "\n" not in text for text in said), said
    return meta.get("frame_times")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"FrameTime": 40}, every(0.04)),
        ({"FrameTime": [40, 40]}, every(0.04)),
        ({"FrameTimeVector": STEPS_AS_A_VECTOR}, UNEVEN),
        ({"FrameTimeVector": STEPS_AS_A_VECTOR, "FrameTime": 25}, UNEVEN),  # the mean step
        ({"FrameTimeVector": [99, 10, 20, 30, 40]}, UNEVEN),  # what stands before the first frame does not count
        ({"FrameTimeVector": [-1, 10, 20, 30, 40]}, UNEVEN),
        ({"FrameTimeVector": [10, 20, 30, 40]}, UNEVEN),  # without it
        ({"FrameTimeVector": [0, 10, 20, 30, 40, 50]}, UNEVEN),
        ({"FrameTime": "", "RecommendedDisplayFrameRate": 10}, every(0.1)),
        ({"CineRate": 50, "FrameTime": 19.8}, every(0.0198)),  # 50.5 a second, written as a whole number
        ({"FrameTime": 0.5}, every(0.0005)),  # the fastest that is believed
        ({"FrameTime": 2000}, every(2.0)),  # and the slowest
    ],
)
def test_one_source_or_several_that_agree(
    write_dicom: Write, grey_cine: np.ndarray, attributes: dict[str, Any], expected: Any
) -> None:
    path = write_dicom(grey_cine, "MONOCHROME2", **attributes)
    np.testing.assert_allclose(read_times(path), expected)
    np.testing.assert_allclose(read_times(path, frames=[3, 1]), np.asarray(expected)[[3, 1]])


@pytest.mark.parametrize("attributes", [{}, {"FrameTime": ""}, {"FrameTimeVector": []}])
def test_no_times(write_dicom: Write, grey_cine: np.ndarray, attributes: dict[str, Any]) -> None:
    assert read_times(write_dicom(grey_cine, "MONOCHROME2", **attributes)) is None


def test_a_still_has_no_times_and_no_warning(write_dicom: Write, grey_cine: np.ndarray) -> None:
    assert read_times(write_dicom(grey_cine[:1], "MONOCHROME2", FrameTime=0, CineRate=0)) is None


@pytest.mark.parametrize(
    ("pointer", "first"),
    [(None, "FrameTimeVector"), (VECTOR, "FrameTimeVector"), (0x00540080, "FrameTimeVector")]
    + [(TIME, "FrameTime"), ([TIME, VECTOR], "FrameTime")],
)
def test_the_pointer_decides_which_time_counts(
    write_dicom: Write, grey_cine: np.ndarray, pointer: Any, first: str
) -> None:
    given = {} if pointer is None else {"FrameIncrementPointer": pointer}
    path = write_dicom(grey_cine, "MONOCHROME2", FrameTimeVector=[0, 10, 10, 10, 10], FrameTime=40, **given)
    times = read_times(path, f"{first} counts")  # they contradict each other
    np.testing.assert_allclose(times, every(0.04 if first == "FrameTime" else 0.01))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"FrameTime": 0}, "FrameTime is 0, expected more than 0"),
        ({"FrameTime": -40}, "FrameTime is -40"),
        ({"FrameTime": "nan"}, "FrameTime is nan"),
        ({"FrameTime": "inf"}, "FrameTime gives 0 frames a second, expected 0.5 to 2000"),
        ({"FrameTime": 0.02}, "FrameTime gives 5e+04 frames a second"),  # seconds
        ({"FrameTime": 2001}, "FrameTime gives 0.4998 frames a second"),
        ({"FrameTime": [20, 40]}, "FrameTime has 2 values that differ"),
        ({"FrameTimeVector": [0, 10, 20]}, "FrameTimeVector has 3 entries and does not fit 5 frames"),
        ({"FrameTimeVector": [0, 10, 20, 30]}, "FrameTimeVector has 4 entries"),  # which one is missing?
        ({"FrameTimeVector": [10] * 7}, "FrameTimeVector has 7 entries"),
        ({"FrameTimeVector": [0, 10, -10, 30, 40]}, "steps that are not positive"),
        ({"FrameTimeVector": [0, 10, 0, 30, 40]}, "steps that are not positive"),
        ({"FrameTimeVector": [0, 0.02, 0.02, 0.02, 0.02]}, "FrameTimeVector gives 5e+04 frames a second"),
    ],
)
def test_what_cannot_be_true_is_passed_over(
    write_dicom: Write, grey_cine: np.ndarray, attributes: dict[str, Any], message: str
) -> None:
    path = write_dicom(grey_cine, "MONOCHROME2", CineRate=50, **attributes)
    np.testing.assert_allclose(read_times(path, message), every(0.02))
    assert read_times(write_dicom(grey_cine, "MONOCHROME2", **attributes), message) is None


@pytest.mark.parametrize(
    ("first", "other", "message"),
    [
        ({"FrameTime": 40}, {"CineRate": 50}, "FrameTime gives 25 frames a second, CineRate 50; FrameTime counts"),
        ({"CineRate": 50}, {"RecommendedDisplayFrameRate": 10}, "CineRate counts"),
        ({"FrameTimeVector": [0, 40, 40, 40, 40]}, {"FrameTime": 40.5}, "FrameTimeVector counts"),
    ],
)
def test_sources_that_contradict_each_other(
    write_dicom: Write, grey_cine: np.ndarray, first: dict[str, Any], other: dict[str, Any], message: str
) -> None:
    alone = read_times(write_dicom(grey_cine, "MONOCHROME2", **first))
    both = read_times(write_dicom(grey_cine, "MONOCHROME2", **first, **other), message)
    np.testing.assert_array_equal(both, alone)


@pytest.mark.parametrize("vector", [[0, 10, 20, 30, 40], [10, 20, 30, 40]])
def test_a_cut_cine_keeps_the_times_of_the_frames_it_has(
    write_dicom: Write, grey_cine: np.ndarray, vector: list[int]
) -> None:
    path = write_dicom(grey_cine[:3], "MONOCHROME2", FrameTimeVector=vector, NumberOfFrames=5)
    np.testing.assert_allclose(read_times(path, "NumberOfFrames says 5"), UNEVEN[:3])


@pytest.mark.parametrize(
    ("keyword", "text", "expected"),
    [
        ("FrameTime", b"33,5", every(0.0335)),
        ("FrameTime", b"slow", None),
        ("FrameTimeVector", b"0\\10\\ \\30\\40", None),
        ("CineRate", b"29.97 ", every(1 / 29.97)),
    ],
)
def test_values_as_writers_have_them(
    write_dicom: Write, grey_cine: np.ndarray, keyword: str, text: bytes, expected: np.ndarray | None
) -> None:
    from pydicom.datadict import tag_for_keyword

    path = write_dicom(grey_cine, "MONOCHROME2")
    data, tag = path.read_bytes(), tag_for_keyword(keyword)
    text += b" " * (len(text) % 2)
    element = (
        struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"IS" if keyword == "CineRate" else b"DS", len(text)) + text
    )
    behind = data.index(b"\x28\x00\x02\x00US")  # SamplesPerPixel, the next in order of tags
    path.write_bytes(data[:behind] + element + data[behind:])
    times = read_times(path)
    assert times is None if expected is None else np.allclose(times, expected)
