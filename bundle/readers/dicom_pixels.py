# SPDX-License-Identifier: Apache-2.0
"""The frames of a DICOM file as they are meant to be seen: grey or RGB, uint8.

Each frame is found, decoded and coloured on its own, the same way under pydicom 2.4 and 3. Only video streams (MPEG)
and deflated files have to be gone through as a whole.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from .dicom_codecs import decoder_of
from .dicom_colour import COLOUR_ATTRIBUTES, Display
from .dicom_fragments import RLE, EncodedFrames, stream_of
from .dicom_header import PixelElement
from .dicom_layout import LAYOUT_ATTRIBUTES, layout_of
from .dicom_native import NATIVE, NativeFrames
from .dicom_values import numbers, value
from .video import decode_stream

if TYPE_CHECKING:
    from pydicom import Dataset

PIXEL_ATTRIBUTES = ["NumberOfFrames", "ExtendedOffsetTable", *LAYOUT_ATTRIBUTES, *COLOUR_ATTRIBUTES]
_VIDEO = tuple(f"1.2.840.10008.1.2.4.{n}{tail}" for n in range(100, 109) for tail in ("", ".1"))  # .1: fragmentable


@dataclass
class Pixels:
    """The frames of a file.

    Attributes:
        count: how many there are.
        frames: indices -> ``(T, H, W, C)`` uint8.
        times: seconds of each frame of a video stream, None for other files.
    """

    count: int
    frames: Callable[[Sequence[int]], np.ndarray]
    times: np.ndarray | None = None


def open_pixels(dataset: Dataset, element: PixelElement, asked: Sequence[int] | None, path: Path) -> Pixels:
    """Find the frames of a file, of which those ``asked`` for are to be read (None: all).

    The pixel data are counted; NumberOfFrames (0028,0008) only gives a warning when it says otherwise.

    Raises:
        InputError: when they are stored in a way that cannot be decoded, or not one is whole.
    """
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    declared = numbers(dataset, "NumberOfFrames")
    number = int(declared[0]) if declared and 1 <= declared[0] < 1e9 else None
    if syntax in _VIDEO:
        decoded = decode_stream(
            io.BytesIO(stream_of(element)), path, None if asked is None else {int(k) for k in asked}
        )
        pixels, damage = Pixels(decoded.count, lambda wanted: decoded.stack(wanted, path), decoded.times), ""
    else:
        pixels, damage = _pictures(dataset, element, number, asked, path)
    if damage:
        warnings.warn(f"{path}: damaged after {pixels.count} frames ({damage}); those are used", stacklevel=2)
    elif number not in (None, pixels.count):
        warnings.warn(f"{path}: NumberOfFrames says {number}, the pixel data hold {pixels.count}", stacklevel=2)
    return pixels


def _pictures(
    dataset: Dataset, element: PixelElement, number: int | None, asked: Sequence[int] | None, path: Path
) -> tuple[Pixels, str]:
    """Frames that are each a picture of their own, and the damage at their end."""
    uid = dataset.file_meta.TransferSyntaxUID
    decode = decoder_of(str(uid))
    name = str(uid) if uid.name == str(uid) else f"{uid.name} ({uid})"
    if decode is None:
        raise InputError(
            f"{path}: found transfer syntax {name}, expected one that can be decoded (uncompressed, RLE, JPEG, "
            "JPEG-LS, JPEG 2000, MPEG); convert it, for example with dcmdjpeg or gdcmconv"
        )
    layout = layout_of(dataset, path)
    in_words = str(uid) in (*NATIVE, RLE)  # other encoders get the values without the bits around them
    display = Display(dataset, layout, layout.shift if in_words else 0, path)
    stored: NativeFrames | EncodedFrames
    if str(uid) in NATIVE:
        stored = NativeFrames(element, layout, number, path)
    else:
        stored = EncodedFrames(element, str(uid), number, value(dataset, "ExtendedOffsetTable"), asked)
    if not stored.count:
        found = f"no whole frame, {stored.damage}" if stored.damage else "no start of a frame"
        raise InputError(f"{path}: found {found} in the pixel data, expected {name}; copy it again")

    def picture(k: int) -> np.ndarray:
        try:
            return display(*decode(stored[k], layout))
        except Exception as error:  # each decoder has its own errors
            said = " ".join(str(error).split())
            raise InputError(f"{path}: frame {k} cannot be decoded as {name} ({said}); copy it again") from error

    def frames(wanted: Sequence[int]) -> np.ndarray:
        first = picture(wanted[0])
        pictures = np.empty((len(wanted), *first.shape), np.uint8)
        pictures[0] = first
        for place, k in enumerate(wanted[1:], start=1):
            pictures[place] = picture(k)
        return pictures

    return Pixels(stored.count, frames), stored.damage
