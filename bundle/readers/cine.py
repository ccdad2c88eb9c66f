# SPDX-License-Identifier: Apache-2.0
"""One reader for every ultrasound file: what the file is decides, not what it is called."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import InputError
from .array import read_array
from .base import Cine
from .dicom import read_dicom
from .nifti import read_nifti
from .sequence import read_sequence
from .stills import read_folder, read_still
from .video import read_video

__all__ = ["Cine", "read_cine"]

Backend = Callable[..., Cine]
_WITH_AXES = (read_sequence, read_nifti, read_array)
"""Readers of files that are plain arrays: which axis is time can be told."""

_STARTS: tuple[tuple[int, bytes, Backend], ...] = (
    (128, b"DICM", read_dicom),
    (0, b"\x93NUMPY", read_array),
    (0, b"\x89PNG", read_still),
    (0, b"\xff\xd8\xff", read_still),
    (0, b"BM", read_still),
    (0, b"II*\x00", read_still),
    (0, b"MM\x00*", read_still),
    (8, b"WEBP", read_still),
    (0, b"NRRD", read_sequence),
    (0, b"GIF8", read_video),
    (8, b"AVI ", read_video),
    (4, b"ftyp", read_video),
    (4, b"moov", read_video),
    (4, b"mdat", read_video),
    (4, b"wide", read_video),
    (4, b"free", read_video),
    (4, b"skip", read_video),
    (0, b"\x1a\x45\xdf\xa3", read_video),  # Matroska, WebM
    (0, b"\x00\x00\x01\xba", read_video),  # MPEG program stream
    (0, b"\x00\x00\x01\xb3", read_video),  # MPEG video
    (0, b"\x30\x26\xb2\x75", read_video),  # Windows Media
    (0, b"OggS", read_video),
    (0, b"FLV", read_video),
    (344, b"n+1\x00", read_nifti),
    (344, b"ni1\x00", read_nifti),
    (4, b"n+2\x00", read_nifti),
)
"""Offset, bytes found there, who reads it."""

_SUFFIXES: dict[str, Backend] = {
    **dict.fromkeys((".dcm", ".dicom", ".ima"), read_dicom),
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".avi", ".mpg", ".mpeg", ".webm", ".mkv", ".wmv", ".gif"), read_video),
    **dict.fromkeys((".ts", ".m2ts", ".mts", ".3gp", ".flv", ".ogv"), read_video),
    **dict.fromkeys((".mha", ".mhd", ".nrrd", ".nhdr"), read_sequence),
    **dict.fromkeys((".nii", ".nii.gz"), read_nifti),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"), read_still),
    ".npy": read_array,
}


def read_cine(
    path: str | Path, frames: Sequence[int] | None = None, *, time_axis: int | None = None, any_modality: bool = False
) -> Cine:
    """Read an ultrasound clip or still.

    DICOM (single and multi-frame), video (mp4, mov, avi, mpg, webm, gif and what else PyAV opens), MetaImage and NRRD
    sequences, NIfTI, one image, a folder of images in natural order, a ``.npy`` array. The first bytes of the file
    decide who reads it; the suffix only where they say nothing.

    Args:
        path: file, or folder of frames.
        frames: indices of the frames to hand out, in that order (frame k is the k-th of the file, from 0); None for
            all.
        time_axis: which axis is time, from 0 in the file's own order, for MetaImage, NRRD, NIfTI and ``.npy``; None
            finds it by the rule of :mod:`bundle.readers.axes`. The other formats say themselves what a frame is and
            pass it over, so that a folder of several formats can be read with one setting.
        any_modality: read DICOM files of other modalities than ultrasound too.

    Returns:
        The cine, ``(T, H, W, C)`` uint8, with the meta described in :mod:`bundle.readers.base`.

    Raises:
        InputError: when the path is missing, empty, of no known kind, damaged or has no pictures, lacks a frame or the
            axis told, or does not fit into the memory.
    """
    path = Path(path)
    backend = read_folder if path.is_dir() else _backend_of(path)
    try:
        if time_axis is not None and backend in _WITH_AXES:
            return backend(path, frames, time_axis)
        if any_modality and backend is read_dicom:
            return read_dicom(path, frames, any_modality)
        return backend(path, frames)
    except MemoryError as error:
        raise InputError(
            f"{path}: found more pixels than fit into the memory, expected a clip that does; choose frames, or copy it "
            "again if its header is damaged"
        ) from error


def known_by_content(path: Path) -> bool:
    """Whether the first bytes of a file say which of the formats it is; True too for one that cannot be opened.

    A DICOM file does say so: what is only called one is none. (Some videos do not.)
    """
    try:
        with path.open("rb") as file:
            return _backend_by_content(path, file.read(512)) is not None
    except (OSError, InputError):
        return True  # reading it will tell why


def _backend_of(path: Path) -> Backend:
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise InputError(f"{path}: found a pipe or device, expected an ultrasound clip; leave it out")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}, expected a file or folder that can be read; check the path"
        ) from error
    if not head:
        raise InputError(f"{path}: found an empty file (0 bytes), expected an ultrasound clip; copy it again")
    if (backend := _backend_by_content(path, head)) is not None:
        return backend
    suffix = ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    raise InputError(
        f"{path}: found a file of unknown kind, expected DICOM, video, MetaImage, NRRD, NIfTI, an image, a .npy array "
        "or a folder of images; convert it to one of these"
    )


def _backend_by_content(path: Path, head: bytes) -> Backend | None:
    if head[:2] == b"\x1f\x8b":  # gzip: look inside
        head = _unzipped_start(path)
    for offset, mark, backend in _STARTS:
        if head[offset : offset + len(mark)] == mark:
            return backend
    if head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] == b"\x00":
        return read_dicom  # written without the preamble: starts with a low element of group 0002 or 0008
    if head.lstrip().startswith((b"ObjectType", b"NDims")):
        return read_sequence
    return None


def _unzipped_start(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(512)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: found a damaged gzip file ({error}), expected .nii.gz; copy it again") from error
