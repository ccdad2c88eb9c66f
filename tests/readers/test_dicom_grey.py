# SPDX-License-Identifier: Apache-2.0
"""From stored values to grey levels: rescale, modality LUT, VOI LUT, window, full range."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from bundle.readers import read_cine

Write = Callable[..., Path]


def assert_shows(path: Path, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(read_cine(path).frames, np.rint(expected))


def lut(entries: np.ndarray, first: int, bits: int, vr: str = "US") -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(entries) % (1 << 16), first, bits]
    item.LUTData = [int(entry) for entry in entries] if vr == "US" else entries.astype("<u2").tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "SS" if first < 0 else "US", vr
    return Sequence([item])


def slow_window(value: float, centre: float, width: float, function: str) -> float:
    """PS3.3 C.11.2.1.2 and .3 for one value, output 0 to 255."""
    if function == "SIGMOID":
        return 255 / (1 + np.exp(-4 * (value - centre) / width))
    if function == "LINEAR_EXACT":
        if value <= centre - width / 2:
            return 0
        return 255 if value > centre + width / 2 else ((value - centre) / width + 0.5) * 255
    if value <= centre - 0.5 - (width - 1) / 2:
        return 0
    if value > centre - 0.5 + (width - 1) / 2:
        return 255
    return ((value - (centre - 0.5)) / (width - 1) + 0.5) * 255


@pytest.fixture
def ramp() -> np.ndarray:
    """All values of 12 bits."""
    return np.arange(4096, dtype=np.uint16).reshape(1, 64, 64, 1)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("centre", "width"), [(3000, 2000), (100, 1)])
def test_window_and_rescale(
    write_dicom: Write, ramp: np.ndarray, function: str, photometric: str, centre: float, width: float
) -> None:
    path = write_dicom(
        ramp,
        photometric,
        BitsStored=12,
        RescaleSlope=2,
        RescaleIntercept=-100,
        WindowCenter=[centre, 5],  # the first of several counts
        WindowWidth=[width, 6],
        VOILUTFunction=function,
    )
    with np.errstate(over="ignore"):
        shown = np.array([slow_window(2 * v - 100, centre, width, function) for v in range(4096)]).reshape(ramp.shape)
    assert_shows(path, 255 - np.rint(shown) if photometric == "MONOCHROME1" else shown)


def test_window_of_eight_bits(write_dicom: Write) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    path = write_dicom(levels, "MONOCHROME2", WindowCenter=100, WindowWidth=50)
    assert_shows(path, np.array([slow_window(v, 100, 50, "LINEAR") for v in range(256)]).reshape(levels.shape))


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"WindowCenter": 5},
        {"WindowCenter": 5, "WindowWidth": 0},
        {"WindowCenter": 5, "WindowWidth": ""},
        {"RescaleSlope": 3, "RescaleIntercept": -7},
        {"RescaleSlope": 0, "RescaleIntercept": 5},
        {"RescaleIntercept": 5},
    ],
)
def test_without_a_window_the_full_range_of_bits_stored_counts(
    write_dicom: Write, ramp: np.ndarray, attributes: dict[str, Any]
) -> None:
    dim = ramp // 2  # the upper half of the range is unused and stays dark
    assert_shows(write_dicom(dim, "MONOCHROME2", BitsStored=12, **attributes), dim * (255 / 4095))


def test_a_negative_slope_inverts(write_dicom: Write, ramp: np.ndarray) -> None:
    path = write_dicom(ramp, "MONOCHROME2", BitsStored=12, RescaleSlope=-1, RescaleIntercept=0)
    assert_shows(path, (4095 - ramp.astype(int)) * (255 / 4095))


@pytest.mark.parametrize("vr", ["US", "OW"])
@pytest.mark.parametrize("syntax", ["explicit", "implicit"])
def test_voi_lut(write_dicom: Write, syntax: str, vr: str) -> None:
    entries = np.arange(200) ** 2 * 4095 // 199**2
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    path = write_dicom(levels, "MONOCHROME2", syntax, VOILUTSequence=lut(entries, 20, 12, vr), WindowCenter=1)
    expected = entries[np.clip(np.arange(256) - 20, 0, 199)] * (255 / 4095)
    assert_shows(path, expected.reshape(levels.shape))


def test_voi_lut_of_more_bits_than_it_says(write_dicom: Write) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    path = write_dicom(levels, "MONOCHROME2", VOILUTSequence=lut(np.arange(256) * 257, 0, 8))
    assert_shows(path, levels)


def test_modality_lut_with_and_without_a_window(write_dicom: Write) -> None:
    entries = np.arange(256) ** 2 // 16  # 0 to 4064, of 4095
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    table = lut(entries, 0, 12)
    path = write_dicom(levels, "MONOCHROME2", ModalityLUTSequence=table)
    assert_shows(path, (entries * (255 / 4095)).reshape(levels.shape))
    path = write_dicom(levels, "MONOCHROME2", ModalityLUTSequence=table, WindowCenter=2000, WindowWidth=1000)
    expected = np.array([slow_window(entry, 2000, 1000, "LINEAR") for entry in entries])
    assert_shows(path, expected.reshape(levels.shape))


def test_signed_values_with_a_table_and_with_a_window(write_dicom: Write) -> None:
    values = np.arange(-128, 128, dtype=np.int16).reshape(1, 16, 16, 1)
    signed = {"PixelRepresentation": 1}
    path = write_dicom(values, "MONOCHROME2", VOILUTSequence=lut(np.arange(256), -128, 8), **signed)
    assert_shows(path, values.astype(int) + 128)
    path = write_dicom(values, "MONOCHROME2", WindowCenter=-20, WindowWidth=100, **signed)
    expected = np.array([slow_window(value, -20, 100, "LINEAR") for value in range(-128, 128)])
    assert_shows(path, expected.reshape(values.shape))
