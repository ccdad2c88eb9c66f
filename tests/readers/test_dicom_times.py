# SPDX-License-Identifier: Apache-2.0
"""The times of DICOM cines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.readers import read_cine

Write = Callable[..., Path]

VECTOR, TIME = 0x00181065, 0x00181063


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, None),
        ({"FrameTime": 40}, [0, 0.04, 0.08, 0.12, 0.16]),
        ({"FrameTimeVector": [0, 10, 20, 30, 40]}, [0, 0.01, 0.03, 0.06, 0.1]),
        ({"FrameTimeVector": [0, 10, 20, 30, 40], "FrameTime": 40}, [0, 0.01, 0.03, 0.06, 0.1]),
        (
            {"FrameTimeVector": [0, 1, 1, 1, 1], "FrameTime": 40, "FrameIncrementPointer": TIME},
            [0, 0.04, 0.08, 0.12, 0.16],
        ),
        (
            {"FrameTimeVector": [0, 1, 1, 1, 1], "FrameTime": 40, "FrameIncrementPointer": VECTOR},
            [0, 0.001, 0.002, 0.003, 0.004],
        ),
        ({"FrameTime": 0, "CineRate": 50}, [0, 0.02, 0.04, 0.06, 0.08]),
        ({"FrameTime": "", "RecommendedDisplayFrameRate": 10}, [0, 0.1, 0.2, 0.3, 0.4]),
        ({"CineRate": 50, "RecommendedDisplayFrameRate": 10}, [0, 0.02, 0.04, 0.06, 0.08]),
        ({"CineRate": 50, "FrameTime": 40}, [0, 0.04, 0.08, 0.12, 0.16]),
    ],
)
def test_frame_times(
    write_dicom: Write, grey_cine: np.ndarray, attributes: dict[str, Any], expected: list | None
) -> None:
    path = write_dicom(grey_cine, "MONOCHROME2", **attributes)
    if expected is None:
        assert "frame_times" not in read_cine(path).meta
        return
    np.testing.assert_allclose(read_cine(path).meta["frame_times"], expected)
    np.testing.assert_allclose(read_cine(path, [3, 1]).meta["frame_times"], np.array(expected)[[3, 1]])


def test_frame_time_vector_of_wrong_length_is_passed_over(write_dicom: Write, grey_cine: np.ndarray) -> None:
    path = write_dicom(grey_cine, "MONOCHROME2", FrameTimeVector=[0, 10, 20], CineRate=50)
    with pytest.warns(UserWarning, match="FrameTimeVector does not fit 5 frames"):
        meta = read_cine(path).meta
    np.testing.assert_allclose(meta["frame_times"], np.arange(5) / 50)
