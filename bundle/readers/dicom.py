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
from .dicom_space import SPACE_ATTRIBUTES, space
from .dicom_times import TIME_ATTRIBUTES, frame_times

if TYPE_CHECKING:
    from pydicom import Dataset

_ATTRIBUTES = [*PIXEL_ATTRIBUTES, *TIME_ATTRIBUTES, *SPACE_ATTRIBUTES]


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
    times = frame_times(dataset, pixels.count, path)
    if times is None:
        times = pixels.times
    if times is not None:
        meta["frame_times"] = times[wanted]
    meta.update(space(dataset, pictures.shape[2], pictures.shape[1], path))
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
