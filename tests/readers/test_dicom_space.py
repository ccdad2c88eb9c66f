# SPDX-License-Identifier: Apache-2.0
"""Regions and calibration of DICOM files."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from bundle.readers import read_cine

Write = Callable[..., Path]


def region(box: tuple[int, int, int, int], form: int = 1, unit: int = 3, dx: float = 0.02, dy: float = 0.03) -> Dataset:
    item = Dataset()
    item.RegionLocationMinX0, item.RegionLocationMinY0, item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = form, 1, 0
    item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = unit, unit
    item.PhysicalDeltaX, item.PhysicalDeltaY = dx, dy
    return item


def test_regions_and_spacing(write_dicom: Write, grey_cine: np.ndarray) -> None:
    items = [region((0, 40, 63, 47), form=4, unit=4), region((4, 5, 60, 39))]
    path = write_dicom(grey_cine, "MONOCHROME2", SequenceOfUltrasoundRegions=Sequence(items), PixelSpacing=[9, 9])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        meta = read_cine(path).meta
    assert meta["spacing"] == pytest.approx((0.3, 0.2))  # (row, col), mm
    assert [r["box"] for r in meta["regions"]] == [[0, 40, 64, 48], [4, 5, 61, 40]]
    assert [r["spatial_format"] for r in meta["regions"]] == [4, 1]
    assert meta["regions"][0]["spacing"] is None and meta["regions"][1]["spacing"] == pytest.approx((0.3, 0.2))


def test_a_region_one_pixel_too_large_is_no_sign_of_rescaling(write_dicom: Write, grey_cine: np.ndarray) -> None:
    path = write_dicom(grey_cine, "MONOCHROME2", SequenceOfUltrasoundRegions=Sequence([region((0, 0, 64, 48))]))
    meta = read_cine(path).meta
    assert meta["regions"][0]["box"] == [0, 0, 64, 48] and meta["spacing"] == pytest.approx((0.3, 0.2))


def test_regions_past_the_frame_drop_the_calibration(write_dicom: Write, grey_cine: np.ndarray) -> None:
    items = [region((8, 9, 100, 90)), region((70, 0, 90, 20))]
    path = write_dicom(grey_cine, "MONOCHROME2", SequenceOfUltrasoundRegions=Sequence(items), PixelSpacing=[1, 1])
    with pytest.warns(UserWarning, match="calibration is dropped"):
        meta = read_cine(path).meta
    assert "spacing" not in meta
    assert meta["regions"] == [{"box": [8, 9, 64, 48], "spatial_format": 1, "spacing": None}]


def test_pixel_spacing_without_regions(write_dicom: Write, grey_cine: np.ndarray) -> None:
    assert read_cine(write_dicom(grey_cine, "MONOCHROME2", PixelSpacing=[0.5, 0.25])).meta["spacing"] == (0.5, 0.25)
    assert "spacing" not in read_cine(write_dicom(grey_cine, "MONOCHROME2")).meta
