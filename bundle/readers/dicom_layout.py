# SPDX-License-Identifier: Apache-2.0
"""How the pixels of a DICOM file are laid out (PS3.3 C.7.6.3, Image Pixel)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .dicom_header import BIG_ENDIAN
from .dicom_values import code, numbers

if TYPE_CHECKING:
    from pydicom import Dataset

LAYOUT_ATTRIBUTES = [
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
]
GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
YBR = ("YBR_FULL", "YBR_FULL_422")
_KNOWN = {1: (*GREY, PALETTE), 3: ("RGB", "YBR_ICT", "YBR_RCT", *YBR)}
MOST_PIXELS = 1 << 26
"""Of a frame: what has more is a damaged header, and would fill the memory."""
_NEEDED = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")


@dataclass(frozen=True)
class Layout:
    """Numbers and kinds of the Image Pixel attributes.

    Attributes:
        shift: place of a stored value's lowest bit within the allocated ones (HighBit).
        planar: colour by plane (all red, all green, all blue), not by pixel.
    """

    photometric: str
    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    shift: int
    signed: bool
    planar: bool
    big_endian: bool

    def check_size(self, width: int, height: int) -> None:
        """Raise a ValueError unless an encoded picture has the size that the header says."""
        if (height, width) != (self.rows, self.columns):
            raise ValueError(f"a picture of {width} x {height} where {self.columns} x {self.rows} is needed")


def layout_of(dataset: Dataset, path: Path) -> Layout:
    """Read and check the layout.

    Raises:
        InputError: when an attribute is missing or of a kind that is not read here.
    """
    photometric = code(dataset, "PhotometricInterpretation")
    found = {name: _whole(dataset, name) for name in _NEEDED}
    missing = [name for name, number in found.items() if not number]
    if not photometric:
        missing.append("PhotometricInterpretation")
    if missing:
        raise InputError(f"{path}: found no {', '.join(missing)}, expected a DICOM image; export it again")
    rows, columns, samples, allocated = (int(number or 0) for number in found.values())
    if rows * columns > MOST_PIXELS:
        raise InputError(
            f"{path}: found frames of {columns} x {rows} pixels, expected {MOST_PIXELS >> 20} million pixels at most; "
            "copy it again"
        )
    if photometric not in _KNOWN.get(samples, ()):
        raise InputError(
            f"{path}: found {samples} samples a pixel as {photometric}, expected grey, palette, RGB or YBR_FULL; "
            "convert it"
        )
    stored = _whole(dataset, "BitsStored") or allocated
    if allocated not in (8, 16) or not 1 < stored <= allocated:
        raise InputError(f"{path}: found {stored} bits stored in {allocated}, expected 8 to 16 in 8 or 16; convert it")
    high = _whole(dataset, "HighBit")
    return Layout(
        photometric,
        rows,
        columns,
        samples,
        allocated,
        stored,
        shift=0 if high is None else min(max(high + 1 - stored, 0), allocated - stored),
        signed=_whole(dataset, "PixelRepresentation") == 1,
        planar=samples > 1 and _whole(dataset, "PlanarConfiguration") == 1,
        big_endian=dataset.file_meta.TransferSyntaxUID == BIG_ENDIAN,
    )


def _whole(dataset: Dataset, name: str) -> int | None:
    found = numbers(dataset, name)
    return int(found[0]) if found else None
