# SPDX-License-Identifier: Apache-2.0
"""Palettes of DICOM files, plain and segmented (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6 and C.7.9.2).

Not by pydicom, which counts entries in the entries' own 8 bits, takes the byte offset of an indirect segment for a
count of entries, and lets none start with a linear segment after a 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from .dicom_layout import Layout
from .dicom_values import numbers, value

if TYPE_CHECKING:
    from pydicom import Dataset

_COLOURS = ("Red", "Green", "Blue")
PALETTE_ATTRIBUTES = [
    name
    for colour in _COLOURS
    for name in (
        f"{colour}PaletteColorLookupTableDescriptor",
        f"{colour}PaletteColorLookupTableData",
        f"Segmented{colour}PaletteColorLookupTableData",
    )
]
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2


def palette_table(dataset: Dataset, layout: Layout, stored: np.ndarray, path: Path) -> np.ndarray:
    """RGB ``(N, 3)`` uint8 for each of the ``stored`` values; past either end of the palette its last entry counts.

    16-bit entries give their high byte, or the low one when no entry of the three exceeds 255, as some writers have it.

    Raises:
        InputError: when a table is missing or makes no sense.
    """
    try:
        table = np.stack([_one_colour(colour, dataset, layout, stored) for colour in _COLOURS], axis=-1)
    except (ValueError, IndexError, TypeError) as error:
        raise InputError(
            f"{path}: its palette cannot be used ({error}), expected three lookup tables; convert it"
        ) from error
    return (table >> 8 if table.max() > 255 else table).astype(np.uint8)


def _one_colour(colour: str, dataset: Dataset, layout: Layout, stored: np.ndarray) -> np.ndarray:
    descriptor = [int(n) for n in numbers(dataset, f"{colour}PaletteColorLookupTableDescriptor")]
    if len(descriptor) != 3:
        raise ValueError(f"no {colour} descriptor of three numbers")
    entries, first, bits = descriptor
    entries = entries or 1 << 16
    if layout.signed and first >= 1 << 15:  # written as unsigned
        first -= 1 << 16
    if plain := value(dataset, f"{colour}PaletteColorLookupTableData"):
        table = _entries_of(plain, 16 if len(plain) >= 2 * entries else 8, layout)[:entries]
    elif segments := value(dataset, f"Segmented{colour}PaletteColorLookupTableData"):
        table = _expanded(_entries_of(segments, bits, layout))[:entries]
    else:
        raise ValueError(f"no {colour} table")
    return table[np.clip(stored - first, 0, len(table) - 1)]


def _entries_of(data: bytes, bits: int, layout: Layout) -> np.ndarray:
    words = np.frombuffer(data[: len(data) // 2 * 2], ">u2" if layout.big_endian else "<u2").astype("<u2")
    return words if bits > 8 else words.view(np.uint8)  # of two bytes in a word the low one comes first


def _expanded(data: np.ndarray) -> np.ndarray:
    """The entries that segments stand for."""
    entries: list[int] = []

    def expand(position: int, segments: int | None) -> None:
        """``segments``: how many to expand, all when None."""
        while position + 1 < len(data) and segments != 0:
            kind, length = int(data[position]), int(data[position + 1])
            position += 2
            if kind == _DISCRETE:
                entries.extend(data[position : position + length].tolist())
                position += length
            elif kind == _LINEAR:
                ramp = np.linspace(entries[-1], int(data[position]), length + 1)
                entries.extend(np.rint(ramp[1:]).astype(int).tolist())
                position += 1
            elif kind == _INDIRECT and segments is None:
                words = data[position : position + 4 // data.itemsize].tobytes()
                expand(int.from_bytes(words, "little") // data.itemsize, length)
                position += 4 // data.itemsize
            else:
                raise ValueError(f"a segment of type {kind}")
            segments = None if segments is None else segments - 1

    expand(0, None)
    return np.asarray(entries)
