# SPDX-License-Identifier: Apache-2.0
"""DICOM ultrasound, single and multi-frame: what the file says of time and space. The pixels are in `dicom_pixels`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .base import Cine, chosen_frames
from .dicom_pixels import PIXEL_ATTRIBUTES, open_pixels

if TYPE_CHECKING:
    from pydicom import Dataset

_ATTRIBUTES = [
    *PIXEL_ATTRIBUTES,
    "FrameIncrementPointer",
    "FrameTimeVector",
    "FrameTime",
    "CineRate",
    "RecommendedDisplayFrameRate",
    "SequenceOfUltrasoundRegions",
    "PixelSpacing",
]
_FRAME_TIME = 0x00181063
_TWO_D, _CM = 1, 3  # RegionSpatialFormat, PhysicalUnitsXDirection


def read_dicom(path: Path, frames: Sequence[int] | None = None) -> Cine:
    """A DICOM file as a cine, grey or RGB (see `dicom_pixels` for the colour and grey level rules).

    Frames are counted in the pixel data; NumberOfFrames (0028,0008) only gives a warning when it says otherwise.

    ``frame_times``: the first that is usable of FrameTimeVector, FrameTime, CineRate, RecommendedDisplayFrameRate, a
    video stream's own time stamps; FrameTime comes before FrameTimeVector when FrameIncrementPointer names it.
    ``spacing``: PhysicalDelta of the first 2-D region in cm, else PixelSpacing. Regions that reach past the frame show
    that the picture was rescaled or cut after the scanner wrote them: then no calibration is believed, with a warning.

    Raises:
        InputError: when it is no DICOM file, has no pixels, or they cannot be decoded.
    """
    dataset = _dataset(path)
    pixels = open_pixels(dataset, path)
    wanted = chosen_frames(pixels.count, frames, path)
    declared = str(dataset.get("NumberOfFrames") or "")
    if declared not in ("", str(pixels.count)):
        warnings.warn(f"{path}: NumberOfFrames says {declared}, the pixel data hold {pixels.count}", stacklevel=2)
    pictures = np.stack([pixels.frame(k) for k in wanted])
    meta: dict[str, Any] = {
        "filename_or_obj": str(path),
        "source_kind": "dicom",
        "n_frames": pixels.count,
        "photometric_interpretation": str(dataset.PhotometricInterpretation),
        "transfer_syntax": str(dataset.file_meta.TransferSyntaxUID),
    }
    times = _times(dataset, pixels.count, path)
    if times is None:
        times = pixels.times
    if times is not None:
        meta["frame_times"] = times[wanted]
    meta.update(_space(dataset, pictures.shape[2], pictures.shape[1], path))
    return Cine(pictures, meta)


def _dataset(path: Path) -> Dataset:
    """The attributes this reader needs and no others."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    with path.open("rb") as file:
        bare = file.read(132)[128:] != b"DICM"  # then the first element must be of group 0002 or 0008
        file.seek(0)
        forced = bare and file.read(2) in (b"\x08\x00", b"\x02\x00")
    try:
        dataset = pydicom.dcmread(path, force=forced, specific_tags=list(_ATTRIBUTES))
    except InvalidDicomError as error:
        raise InputError(
            f"{path}: found no DICOM header, expected a DICOM file; give the file its real suffix"
        ) from error
    except Exception as error:  # pydicom raises many kinds on damaged files
        raise InputError(f"{path}: cannot be read as DICOM ({error}), expected a whole file; copy it again") from error
    if "TransferSyntaxUID" not in dataset.file_meta:
        # the default of the standard; the pixels are the same under explicit VR
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    return dataset


def _numbers(value: Any) -> list[float]:
    """The numbers of an attribute, [] when it is missing, empty or no number."""
    values = value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else [value]
    try:
        return [float(v) for v in values]
    except (TypeError, ValueError):
        return []


def _times(dataset: Dataset, count: int, path: Path) -> np.ndarray | None:
    """Seconds since the first frame for each frame, or None."""

    def by_vector() -> np.ndarray | None:
        steps = _numbers(dataset.get("FrameTimeVector"))  # ms from the previous frame, the first entry 0
        if not steps:
            return None
        if len(steps) != count or min(steps) < 0 or (count > 1 and min(steps[1:]) == 0):
            warnings.warn(f"{path}: FrameTimeVector does not fit {count} frames and is ignored", stacklevel=2)
            return None
        return np.cumsum([0.0, *steps[1:]]) / 1000.0

    def by_step(name: str, seconds: Any) -> np.ndarray | None:
        value = _numbers(dataset.get(name))
        return np.arange(count) * seconds(value[0]) if value and value[0] > 0 else None

    def by_frame_time() -> np.ndarray | None:
        return by_step("FrameTime", lambda ms: ms / 1000.0)

    pointed = dataset.get("FrameIncrementPointer")
    first = [by_vector, by_frame_time]
    if pointed is not None and _FRAME_TIME in (pointed, *(pointed if hasattr(pointed, "__iter__") else ())):
        first.reverse()
    rates = [lambda n=name: by_step(n, lambda hz: 1.0 / hz) for name in ("CineRate", "RecommendedDisplayFrameRate")]
    return next((times for source in [*first, *rates] if (times := source()) is not None), None)


def _space(dataset: Dataset, width: int, height: int, path: Path) -> dict[str, Any]:
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
        deltas = [abs(n) * 10.0 for name in ("PhysicalDeltaY", "PhysicalDeltaX") for n in _numbers(item.get(name))]
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
    pixel = _numbers(dataset.get("PixelSpacing"))
    if flat:
        found["spacing"] = flat[0]
    elif not beyond and len(pixel) == 2 and min(pixel) > 0:
        found["spacing"] = (pixel[0], pixel[1])
    return found
