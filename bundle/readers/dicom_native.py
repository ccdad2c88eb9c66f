# SPDX-License-Identifier: Apache-2.0
"""Uncompressed DICOM pixel data: frame after frame, read from where they lie in the file (PS3.5 8.1, PS3.3 C.7.6.3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from .dicom_header import PixelElement
from .dicom_layout import Layout

NATIVE = tuple(f"1.2.840.10008.1.2{tail}" for tail in ("", ".1", ".1.99", ".2"))
"""Implicit and explicit VR little endian, deflated, explicit VR big endian."""
_PAIRED = "YBR_FULL_422"


class NativeFrames:
    """Frame k is its bytes.

    Attributes:
        count: frames that are whole.
        damage: what is wrong with the end of the data, "" when nothing is.

    Raises:
        InputError: when there is not one whole frame, or the data cannot be what the header says.
    """

    def __init__(self, element: PixelElement, layout: Layout, declared: int | None, path: Path) -> None:
        if element.length is None:
            raise InputError(f"{path}: found pixels in fragments, expected uncompressed ones; export it again")
        paired = layout.photometric == _PAIRED
        if paired and layout.columns % 2:
            raise InputError(
                f"{path}: found {_PAIRED} of {layout.columns} columns, expected an even number; convert it"
            )
        self._element = element
        self._swapped = layout.big_endian and layout.allocated == 8 and element.vr == "OW"
        self._size = layout.rows * layout.columns * (2 if paired else layout.samples) * layout.allocated // 8
        there = min(element.length, element.file_end - element.start)
        self.count = there // self._size
        if self.count == 0:
            raise InputError(
                f"{path}: found {there} bytes of pixels, expected {self._size} for one frame of "
                f"{layout.columns} x {layout.rows}; copy it again"
            )
        if paired and element.length in (full := self._size // 2 * 3 * (declared or 1), full + 1):
            raise InputError(
                f"{path}: found three bytes a pixel, expected two as {_PAIRED} has them; whether they are YBR_FULL or "
                "RGB cannot be known: convert it from the original again"
            )
        left_over = there - self.count * self._size > 1 and self.count != declared  # one byte makes the length even
        self.damage = "the file is cut" if there < element.length else "the next is not whole" if left_over else ""

    def __getitem__(self, k: int) -> bytes:
        file, begin = self._element.file, k * self._size
        odd = begin % 2 if self._swapped else 0
        file.seek(self._element.start + begin - odd)
        if not self._swapped:
            return file.read(self._size)
        pairs = np.frombuffer(file.read((odd + self._size + 1) // 2 * 2), np.uint16)  # bytes travel in swapped pairs
        return pairs.byteswap().tobytes()[odd : odd + self._size]


def native_values(data: bytes, layout: Layout) -> tuple[np.ndarray, bool]:
    """The stored values ``(H, W, C)`` of a frame; never RGB made from something else."""
    values = np.frombuffer(data, f"{'>' if layout.big_endian else '<'}u{layout.allocated // 8}")
    if layout.photometric == _PAIRED:  # PS3.3 C.7.6.3.1.2: Y0 Y1 Cb Cr for two pixels
        quads = values.reshape(layout.rows, layout.columns // 2, 4)
        luma = quads[..., :2].reshape(layout.rows, layout.columns)
        return np.dstack([luma, np.repeat(quads[..., 2:], 2, axis=1)]), False
    if layout.planar:
        return values.reshape(layout.samples, layout.rows, layout.columns).transpose(1, 2, 0), False
    return values.reshape(layout.rows, layout.columns, layout.samples), False
