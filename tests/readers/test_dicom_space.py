# SPDX-License-Identifier: Apache-2.0
"""Regions and calibration of DICOM files."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from bundle.readers import read_cine

Write = Callable[..., Path]
Read = Callable[..., dict[str, Any]]

WHOLE = (4, 5, 60, 39)  # in frames of 64 x 48


def region(
    box: tuple[int, int, int, int] = WHOLE,
    form: int | None = 1,
    data: int | None = 1,
    units: tuple[int, int] = (3, 3),
    dx: float = 0.02,
    dy: float = 0.03,
) -> Dataset:
    """A region in cm a pixel, which are (0.3, 0.2) mm down and across unless told otherwise."""
    item = Dataset()
    item.RegionLocationMinX0, item.RegionLocationMinY0, item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box
    if form is not None:
        item.RegionSpatialFormat = form
    if data is not None:
        item.RegionDataType = data
    item.RegionFlags = 0
    item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = dx, dy
    return item


@pytest.fixture
def meta_of(write_dicom: Write, grey_cine: np.ndarray) -> Read:
    """``meta_of(*regions, match, **attributes)``: the meta of a file, read with one warning of ``match`` or none."""

    def meta_of(*regions: Dataset, match: str = "", **attributes: Any) -> dict[str, Any]:
        path = write_dicom(grey_cine, "MONOCHROME2", SequenceOfUltrasoundRegions=Sequence(regions), **attributes)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            meta = read_cine(path, [0]).meta
        said = [str(w.message) for w in caught if str(path) in str(w.message)]
        assert len(said) == (1 if match else 0) and all(match in text and "\n" not in text for text in said), said
        return meta

    return meta_of


def test_regions_and_spacing(meta_of: Read) -> None:
    meta = meta_of(region((0, 40, 63, 47), form=4, data=10, units=(4, 0)), region())
    assert meta["spacing"] == pytest.approx((0.3, 0.2))  # (row, col), mm
    assert meta["regions"] == [
        {"box": [0, 40, 64, 48], "kind": "waveform", "spatial_format": 4, "spacing": None},
        {"box": [4, 5, 61, 40], "kind": "2d", "spatial_format": 1, "spacing": pytest.approx((0.3, 0.2))},
    ]


@pytest.mark.parametrize(
    ("form", "data", "kind"),
    [
        (1, 1, "2d"),
        (1, 2, "2d"),  # colour flow
        (1, 15, "2d"),  # integrated backscatter
        (1, 0, "2d"),
        (1, None, "2d"),
        (1, 10, "waveform"),  # 2-D in format, but the data are an ECG
        (1, 14, "graphics"),
        (1, 3, "spectral"),
        (2, 1, "m-mode"),
        (2, 2, "m-mode"),
        (3, 3, "spectral"),
        (3, 4, "spectral"),
        (3, 1, "spectral"),
        (4, 10, "waveform"),
        (4, 12, "waveform"),
        (4, 18, "waveform"),
        (3, 7, "waveform"),  # the maximum traced on a spectrum
        (4, 1, "waveform"),
        (5, 13, "graphics"),
        (5, 0, "graphics"),
        (5, 1, "graphics"),
        (0, 1, "unknown"),
        (None, None, "unknown"),
        (77, 99, "unknown"),
    ],
)
def test_kind_of_region(meta_of: Read, form: int | None, data: int | None, kind: str) -> None:
    meta = meta_of(region(form=form, data=data))
    assert meta["regions"][0]["kind"] == kind and meta["regions"][0]["spatial_format"] == (form or 0)
    assert ("spacing" in meta) == (meta["regions"][0]["spacing"] is not None) == (kind == "2d")


@pytest.mark.parametrize(
    ("corners", "box"),
    [
        ((60, 39, 4, 5), [4, 5, 61, 40]),  # swapped
        ((4, 39, 60, 5), [4, 5, 61, 40]),
        ((0, 0, 64, 48), [0, 0, 64, 48]),  # one more than the last pixel, as many write it
        ((2**32 - 1, 2**32 - 1, 9, 9), [0, 0, 10, 10]),  # -1
        ((9, 9, 9, 30), None),
        ((0, 0, 0, 0), None),
    ],
)
def test_boxes(meta_of: Read, corners: tuple[int, int, int, int], box: list[int] | None) -> None:
    meta = meta_of(region(corners))
    assert [r["box"] for r in meta.get("regions", [])] == ([box] if box else [])
    assert ("spacing" in meta) == (box is not None)


@pytest.mark.parametrize("corners", [(8, 9, 100, 90), (8, 9, 63, 49), (2**32 - 9, 0, 30, 30)])
def test_regions_past_the_frame_drop_the_calibration(meta_of: Read, corners: tuple[int, int, int, int]) -> None:
    outside = region((70, 0, 90, 20))
    meta = meta_of(region(corners), outside, match="calibration is dropped", PixelSpacing=[1, 1])
    assert "spacing" not in meta and [r["spacing"] for r in meta["regions"]] == [None]
    x0, y0, x1, y1 = meta["regions"][0]["box"]
    assert 0 <= x0 < x1 <= 64 and 0 <= y0 < y1 <= 48


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ({"dx": 0.0}, "is 0.3 x 0 mm a pixel, expected 0.001 to 10"),
        ({"dx": math.nan}, "is 0.3 x nan mm a pixel"),
        ({"dx": math.inf, "dy": math.inf}, "is inf x inf mm a pixel"),
        ({"dx": 9e-5, "dy": 9e-5}, "is 0.0009 x 0.0009 mm a pixel"),
        ({"dx": 1.01, "dy": 1.01}, "is 10.1 x 10.1 mm a pixel"),
        ({"dx": 0.02, "dy": 0.081}, "expected a ratio of 4 at most"),
        ({"units": (4, 3)}, "is in cm and s, expected cm"),
        ({"units": (5, 99)}, "is in unit 99 and Hz, expected cm"),
    ],
)
def test_calibration_that_cannot_be_true_is_dropped(meta_of: Read, calibration: dict[str, Any], message: str) -> None:
    meta = meta_of(region(**calibration), match=message)
    assert "spacing" not in meta and meta["regions"][0]["spacing"] is None
    meta = meta_of(region(**calibration), match=message, PixelSpacing=[0.5, 0.25])
    assert meta["spacing"] == (0.5, 0.25)


def test_calibration_that_the_file_does_not_claim(meta_of: Read) -> None:
    without = region()
    del without.PhysicalDeltaX
    for item in (without, region(units=(0, 0)), region(units=(0, 3))):
        meta = meta_of(item)
        assert "spacing" not in meta and meta["regions"][0]["spacing"] is None


@pytest.mark.parametrize("calibration", [{"dy": -0.03}, {"dx": -0.02, "dy": -0.03}, {"dx": 0.0101, "dy": 0.04}])
def test_calibration_that_may_surprise_and_is_true(meta_of: Read, calibration: dict[str, Any]) -> None:
    across, down = calibration.get("dx", 0.02), calibration.get("dy", 0.03)
    assert meta_of(region(**calibration))["spacing"] == pytest.approx((abs(down) * 10, abs(across) * 10))


def test_several_2d_regions(meta_of: Read) -> None:
    left, right = (0, 0, 31, 47), (32, 0, 63, 47)
    assert meta_of(region(left), region(right, dx=0.0201))["spacing"] == pytest.approx((0.3, 0.2))
    meta = meta_of(region(left), region(right, dx=0.04), match="no one spacing", PixelSpacing=[0.3, 0.2])
    assert "spacing" not in meta
    assert [r["spacing"] for r in meta["regions"]] == [pytest.approx((0.3, 0.2)), pytest.approx((0.3, 0.4))]
    # a region that is no 2-D picture has no say, nor has one without a calibration
    others = [region(right, form=2, units=(4, 3)), region(right, dx=0.0, dy=0.0, units=(0, 0))]
    assert meta_of(region(left), *others)["spacing"] == pytest.approx((0.3, 0.2))


def test_pixel_spacing(meta_of: Read) -> None:
    assert meta_of(PixelSpacing=[0.5, 0.25])["spacing"] == (0.5, 0.25)
    assert "spacing" not in meta_of() and "spacing" not in meta_of(ImagerPixelSpacing=[0.5, 0.25])
    assert "spacing" not in meta_of(PixelSpacing=[0, 0], match="PixelSpacing is 0 x 0 mm a pixel")
    assert "spacing" not in meta_of(PixelSpacing=[0.5], match="PixelSpacing has 1 values, expected 2")
    meta_of(region(), PixelSpacing=[0.3, 0.2])
    meta = meta_of(region(), PixelSpacing=[9, 9], match="PixelSpacing is 9 x 9; the region counts")
    assert meta["spacing"] == pytest.approx((0.3, 0.2))
