# SPDX-License-Identifier: Apache-2.0
"""The header of a DICOM file, and where its pixels start."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..errors import InputError
from .dicom_values import code, quiet_pydicom, value

if TYPE_CHECKING:
    from pydicom import Dataset

IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_DICOMDIR = "1.2.840.10008.1.3.10"
_UNDEFINED = 0xFFFFFFFF


@dataclass
class PixelElement:
    """Pixel Data (7FE0,0010), not read yet.

    Attributes:
        file: holds its value from ``start`` on; ends at ``file_end``.
        length: of the value in bytes as the file says, None when undefined (encapsulated).
        vr: ``"OB"``, ``"OW"``, ...
    """

    file: IO[bytes]
    start: int
    length: int | None
    vr: str
    file_end: int


def read_header(file: IO[bytes], attributes: Sequence[str] | None, path: Path) -> Dataset:
    """The named attributes of an open DICOM file and no others, None for all; leaves the file in front of the pixels.

    Raises:
        InputError: when it is no DICOM file, is a DICOMDIR, or cannot be read.
    """
    dataset = _dataset(file, attributes, path, with_pixels=False)
    if code(dataset.file_meta, "MediaStorageSOPClassUID") == _DICOMDIR:
        raise InputError(
            f"{path}: found a DICOMDIR (an index of files), expected a clip; give its folder to make_datalist"
        )
    if "TransferSyntaxUID" not in dataset.file_meta:
        from pydicom.uid import UID

        # the default of the standard; the pixels are the same under explicit VR
        dataset.file_meta.TransferSyntaxUID = UID(IMPLICIT)
    if not code(dataset.file_meta, "TransferSyntaxUID"):
        raise InputError(f"{path}: found a transfer syntax that is no UID, expected a whole DICOM file; copy it again")
    return dataset


def find_pixels(file: IO[bytes], dataset: Dataset, path: Path) -> PixelElement:
    """The pixels of a file whose header has just been read.

    Nothing of them is read, except that of a deflated file everything has to be inflated.

    Raises:
        InputError: when there are none.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    element: PixelElement | None
    if syntax == _DEFLATED:
        file.seek(0)
        data = value(_dataset(file, ["PixelData"], path, with_pixels=True), "PixelData") or b""
        element = PixelElement(io.BytesIO(data), 0, len(data), "OB", len(data))
    else:
        element = _element_at(file, syntax == BIG_ENDIAN)
    if element is None or element.length == 0:
        raise InputError(
            f"{path}: found a DICOM file without pixels, expected an image or a cine; leave it out, or copy it again "
            "if it should have pictures"
        )
    return element


def _dataset(file: IO[bytes], attributes: Sequence[str] | None, path: Path, with_pixels: bool) -> Dataset:
    import pydicom
    from pydicom.errors import InvalidDicomError

    bare = file.read(132)[128:] != b"DICM"  # then the first element must be of group 0002 or 0008
    file.seek(0)
    forced = bare and file.read(2) in (b"\x08\x00", b"\x02\x00")
    file.seek(0)
    try:
        with quiet_pydicom():
            return pydicom.dcmread(
                file,
                force=forced,
                stop_before_pixels=not with_pixels,
                specific_tags=None if attributes is None else list(attributes),
            )
    except InvalidDicomError as error:
        raise InputError(
            f"{path}: found no DICOM header, expected a DICOM file; give the file its real suffix"
        ) from error
    except Exception as error:  # pydicom raises many kinds on damaged files
        raise InputError(
            f"{path}: cannot be read as DICOM ({type(error).__name__}), expected a whole file; copy it again"
        ) from error


def _element_at(file: IO[bytes], big: bool) -> PixelElement | None:
    """Pixel Data at the file's position, where pydicom stops in front of it; None when something else is there."""
    start = file.tell()
    head = file.read(12)
    order = ">" if big else "<"
    if len(head) < 8 or head[:4] != struct.pack(f"{order}HH", 0x7FE0, 0x0010):
        return None
    # the first byte of an implicit length is even, those of these VRs are odd: no file is taken for the other kind
    explicit = head[4:6] in (b"OB", b"OW", b"UN")
    if explicit and len(head) < 12:
        return None
    (length,) = struct.unpack_from(f"{order}I", head, 8 if explicit else 4)
    vr = head[4:6].decode() if explicit else "OW"
    start += 12 if explicit else 8
    return PixelElement(file, start, None if length == _UNDEFINED else length, vr, file.seek(0, os.SEEK_END))
