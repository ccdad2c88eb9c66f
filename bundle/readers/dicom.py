# SPDX-License-Identifier: Apache-2.0
"""DICOM ultrasound, single and multi-frame, as a cine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .base import Cine, chosen_frames
from .dicom_header import find_pixels, read_header
from .dicom_modality import MODALITY_ATTRIBUTES, other_modality
from .dicom_pixels import PIXEL_ATTRIBUTES, open_pixels
from .dicom_space import SPACE_ATTRIBUTES, space
from .dicom_times import TIME_ATTRIBUTES, frame_times
from .dicom_values import code

_ATTRIBUTES = [*MODALITY_ATTRIBUTES, *PIXEL_ATTRIBUTES, *TIME_ATTRIBUTES, *SPACE_ATTRIBUTES]
_BUFFER = 512
"""Bytes read ahead: the headers of fragments are a few bytes each and far apart."""


def read_dicom(path: Path, frames: Sequence[int] | None = None, any_modality: bool = False) -> Cine:
    """A DICOM file as a cine, grey or RGB (see `dicom_colour` for the rules), of chosen frames without the others.

    Frames are counted in the pixel data; NumberOfFrames (0028,0008) only gives a warning when it says otherwise. A file
    that is cut gives the frames that are whole, with a warning. ``frame_times`` are those of `frame_times` or else a
    video stream's own, ``regions`` and ``spacing`` those of `space`. With ``any_modality`` the file need not be
    ultrasound.

    Raises:
        InputError: when it is no DICOM file or no ultrasound, has no whole frame, or they cannot be decoded.
    """
    with path.open("rb", buffering=_BUFFER) as file:
        dataset = read_header(file, _ATTRIBUTES, path)
        if not any_modality and (other := other_modality(dataset)) is not None:
            raise InputError(
                f"{path}: found modality {other}, expected ultrasound; leave it out, or ask for any_modality"
            )
        pixels = open_pixels(dataset, find_pixels(file, dataset, path), frames, path)
        wanted = chosen_frames(pixels.count, frames, path)
        pictures = pixels.frames(wanted)
    meta: dict[str, Any] = {
        "filename_or_obj": str(path),
        "source_kind": "dicom",
        "n_frames": pixels.count,
        "photometric_interpretation": code(dataset, "PhotometricInterpretation"),
        "transfer_syntax": str(dataset.file_meta.TransferSyntaxUID),
    }
    times = frame_times(dataset, pixels.count, path)
    if times is None:
        times = pixels.times
    if times is not None:
        meta["frame_times"] = times[wanted]
    meta.update(space(dataset, pictures.shape[2], pictures.shape[1], path))
    return Cine(pictures, meta)
