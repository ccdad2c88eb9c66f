# SPDX-License-Identifier: Apache-2.0
"""Ultrasound regions and calibration of a DICOM file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .dicom_values import numbers

if TYPE_CHECKING:
    from pydicom import Dataset

SPACE_ATTRIBUTES = ["SequenceOfUltrasoundRegions", "PixelSpacing"]
_TWO_D, _CM = 1, 3  # RegionSpatialFormat, PhysicalUnitsXDirection


def space(dataset: Dataset, width: int, height: int, path: Path) -> dict[str, Any]:
    """``regions`` and ``spacing`` as far as the file has them."""
    found: dict[str, Any] = {}
    regions: list[dict[str, Any]] = []
    beyond = False
    for item in dataset.get("SequenceOfUltrasoundRegions") or ():
        names = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")
        corners = [item.get(name) for name in names]
        if None in corners:
            continue
        x0, y0, x1, y1 = (int(corner) for corner in corners)
        beyond = beyond or x1 > width or y1 > height  # Max is the last pixel, but many write one more
        box = [min(x0, width), min(y0, height), min(x1 + 1, width), min(y1 + 1, height)]
        deltas = [abs(n) * 10.0 for name in ("PhysicalDeltaY", "PhysicalDeltaX") for n in numbers(item, name)]
        units = (item.get("PhysicalUnitsYDirection"), item.get("PhysicalUnitsXDirection"))
        calibrated = units == (_CM, _CM) and len(deltas) == 2 and min(deltas) > 0
        regions.append(
            {
                "box": box,
                "spatial_format": int(item.get("RegionSpatialFormat") or 0),
                "spacing": (deltas[0], deltas[1]) if calibrated else None,
            }
        )
    if beyond:
        warnings.warn(
            f"{path}: ultrasound regions reach past the frame of {width} x {height} pixels, so it was resized or cut "
            "after scanning; the calibration is dropped",
            stacklevel=2,
        )
        for region in regions:
            region["spacing"] = None
    # a box clipped away to nothing is no region of this picture
    kept = [r for r in regions if r["box"][0] < r["box"][2] and r["box"][1] < r["box"][3]]
    if kept:
        found["regions"] = kept
    flat = [r["spacing"] for r in kept if r["spatial_format"] == _TWO_D and r["spacing"] is not None]
    pixel = numbers(dataset, "PixelSpacing")
    if flat:
        found["spacing"] = flat[0]
    elif not beyond and len(pixel) == 2 and min(pixel) > 0:
        found["spacing"] = (pixel[0], pixel[1])
    return found
