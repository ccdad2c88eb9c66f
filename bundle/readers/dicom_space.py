# SPDX-License-Identifier: Apache-2.0
"""Ultrasound regions and calibration of a DICOM file (PS3.3 C.8.5.5, US Region Calibration)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .dicom_values import numbers, value

if TYPE_CHECKING:
    from pydicom import Dataset

SPACE_ATTRIBUTES = ["SequenceOfUltrasoundRegions", "PixelSpacing"]
FINEST, COARSEST = 0.001, 10.0  # mm a pixel; what lies outside is no calibration
MOST_ANISOTROPIC = 4.0  # mm down to mm across, or the reverse
AGREEING = 0.01  # share by which two calibrations may differ

_KIND_OF_FORMAT = {1: "2d", 2: "m-mode", 3: "spectral", 4: "waveform", 5: "graphics"}
_KIND_OF_DATA = {
    **dict.fromkeys((3, 4), "spectral"),  # pulsed and continuous wave Doppler
    **dict.fromkeys((5, 6, 7, 8, 9, 10, 11, 12, 16, 17, 18), "waveform"),  # Doppler, volume, ECG, pulse, sound, area
    **dict.fromkeys((13, 14), "graphics"),  # grey bar, colour bar
}
_UNITS = ("none", "%", "dB", "cm", "s", "Hz", "dB/s", "cm/s", "cm2", "cm2/s", "cm3", "cm3/s", "degrees")
_CM = _UNITS.index("cm")

Spacing = tuple[float, float]


def space(dataset: Dataset, width: int, height: int, path: Path) -> dict[str, Any]:
    """``regions`` and ``spacing`` (see `base`) as far as the file has them and they can be true.

    Boxes are clipped to the frame; corners in the wrong order are put right; a box without an area in the frame is left
    out. A region past the frame (by more than the one pixel that many writers add) shows that the picture was resized
    or cut after scanning: then no calibration of the file is believed.

    Only 2-D regions are calibrated in mm: by PhysicalDeltaX and PhysicalDeltaY (0018,602C and 602E) where both units
    are cm. Their sign is a direction and does not matter. A calibration that is not a number, 0, below `FINEST` or
    above `COARSEST`, in other units, or differs between down and across by more than `MOST_ANISOTROPIC`, is dropped.
    Units that are absent or 0 say that there is none.

    ``spacing`` is that of the calibrated 2-D regions, if all agree within `AGREEING`; where they do not (two views of
    two depths), a picture has no one spacing. Without them it is PixelSpacing (0028,0030), which the ultrasound modules
    do not have but many writers and converters add. ImagerPixelSpacing (0018,1164) is measured at an X-ray detector and
    is not read. Whatever is dropped or contradicts is told by a warning.
    """
    placed = [
        (item, corners) for item in value(dataset, "SequenceOfUltrasoundRegions") or () if (corners := _corners(item))
    ]
    beyond = any(min(x0, y0) < -1 or x1 > width or y1 > height for _, (x0, y0, x1, y1) in placed)
    if beyond:
        warnings.warn(
            f"{path}: ultrasound regions reach past the frame of {width} x {height} pixels, so it was resized or cut "
            "after scanning; the calibration is dropped",
            stacklevel=2,
        )
    regions, calibrated = [], []
    for item, (x0, y0, x1, y1) in placed:
        box = [max(x0, 0), max(y0, 0), min(x1 + 1, width), min(y1 + 1, height)]
        if box[0] < box[2] and box[1] < box[3]:
            form, kind = _whole(item, "RegionSpatialFormat") or 0, _kind(item)
            spacing = _calibration(item, path) if kind == "2d" and not beyond else None
            regions.append({"box": box, "kind": kind, "spatial_format": form, "spacing": spacing})
            calibrated += [spacing] if spacing else []
    one = None if beyond else _one_spacing(dataset, calibrated, path)
    found = {"regions": regions, "spacing": one}
    return {key: known for key, known in found.items() if known}


def _corners(item: Dataset) -> tuple[int, int, int, int] | None:
    """x0, y0, x1, y1 in order, the last pixel included; None when they are missing or have no area between them."""
    corners = [_whole(item, f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
    # unsigned by the standard, but some writers put negative numbers there all the same
    signed = [corner - (1 << 32 if corner >= 1 << 31 else 0) for corner in corners if corner is not None]
    if len(signed) < 4:
        return None
    (x0, x1), (y0, y1) = sorted(signed[0::2]), sorted(signed[1::2])
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _kind(item: Dataset) -> str:
    """The data decide where they are no picture of tissue or flow, whatever the format; otherwise the format does."""
    form, data = (_whole(item, name) or 0 for name in ("RegionSpatialFormat", "RegionDataType"))
    return _KIND_OF_DATA.get(data) or _KIND_OF_FORMAT.get(form, "unknown")


def _whole(item: Dataset, name: str) -> int | None:
    return next((int(n) for n in numbers(item, name) if math.isfinite(n)), None)


def _calibration(item: Dataset, path: Path) -> Spacing | None:
    units = [_whole(item, f"PhysicalUnits{axis}Direction") or 0 for axis in "YX"]
    deltas = [abs(n) * 10.0 for axis in "YX" for n in numbers(item, f"PhysicalDelta{axis}")[:1]]
    if 0 in units or len(deltas) < 2:
        return None
    if units != [_CM, _CM]:
        named = " and ".join(_UNITS[unit] if 0 < unit < len(_UNITS) else f"unit {unit}" for unit in units)
        doubt: str | None = f"is in {named}, expected cm"
    else:
        doubt = _doubt(deltas)
    if doubt:
        warnings.warn(f"{path}: the calibration of a 2-D region {doubt}; it is dropped", stacklevel=2)
        return None
    return deltas[0], deltas[1]


def _doubt(spacing: Sequence[float]) -> str | None:
    """What shows that (row, col) mm a pixel cannot be true, if anything does."""
    if len(spacing) != 2:
        return f"has {len(spacing)} values, expected 2"
    said = f"is {spacing[0]:.4g} x {spacing[1]:.4g} mm a pixel"
    if not all(math.isfinite(mm) and FINEST <= mm <= COARSEST for mm in spacing):
        return f"{said}, expected {FINEST:g} to {COARSEST:g}"
    if max(spacing) / min(spacing) > MOST_ANISOTROPIC:
        return f"{said}, expected a ratio of {MOST_ANISOTROPIC:g} at most"
    return None


def _one_spacing(dataset: Dataset, calibrated: Sequence[Spacing], path: Path) -> Spacing | None:
    pixel = numbers(dataset, "PixelSpacing")
    if pixel and (doubt := _doubt(pixel)):
        warnings.warn(f"{path}: PixelSpacing {doubt}; it is dropped", stacklevel=2)
        pixel = []
    if not calibrated:
        return (pixel[0], pixel[1]) if pixel else None
    first, said = calibrated[0], " and ".join(f"{row:.4g} x {col:.4g}" for row, col in dict.fromkeys(calibrated))
    if not all(_agree(first, other) for other in calibrated):
        warnings.warn(f"{path}: its 2-D regions have {said} mm a pixel; the picture has no one spacing", stacklevel=2)
        return None
    if pixel and not _agree(first, pixel):
        warnings.warn(
            f"{path}: its 2-D region has {said} mm a pixel, PixelSpacing is {pixel[0]:.4g} x {pixel[1]:.4g}; "
            "the region counts",
            stacklevel=2,
        )
    return first


def _agree(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a / b - 1) <= AGREEING for a, b in zip(one, other, strict=True))
