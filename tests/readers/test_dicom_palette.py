# SPDX-License-Identifier: Apache-2.0
"""Palettes: entries of 8 and 16 bits, first values, segments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.readers import read_cine

Write = Callable[..., Path]
COLOURS = ("Red", "Green", "Blue")


def tables(stored: list[bytes], descriptor: list[int], segmented: bool = False) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for colour, data in zip(COLOURS, stored, strict=True):
        attributes[f"{colour}PaletteColorLookupTableDescriptor"] = descriptor
        attributes[f"{'Segmented' if segmented else ''}{colour}PaletteColorLookupTableData"] = data
    return attributes


def words(values: np.ndarray, bits: int, syntax: str) -> bytes:
    """Entries in words of the file's byte order; two of 8 bits share one, the first in the low byte."""
    if bits == 16:
        return values.astype(">u2" if syntax == "big" else "<u2").tobytes()
    even = np.append(values, [0] * (len(values) % 2)).astype(np.uint8)
    return (even.reshape(-1, 2)[:, ::-1] if syntax == "big" else even).tobytes()


@pytest.mark.parametrize("syntax", ["explicit", "big", "implicit"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("entry_bits", [8, 16])
def test_past_either_end_the_last_entry_counts(write_dicom: Write, bits: int, entry_bits: int, syntax: str) -> None:
    entries, first = (201, 20) if bits == 8 else (1000, 300)
    table = np.random.default_rng(0).integers(0, 256, (entries, 3))
    indices = np.arange(2 * 16 * 24).reshape(2, 16, 24, 1) * (1 if bits == 8 else 2)
    indices = indices.astype(f"u{bits // 8}")
    stored = [words(table[:, k] * (257 if entry_bits == 16 else 1), entry_bits, syntax) for k in range(3)]
    path = write_dicom(indices, "PALETTE COLOR", syntax, **tables(stored, [entries, first, entry_bits]))
    expected = table[np.clip(indices[..., 0].astype(int) - first, 0, entries - 1)]
    np.testing.assert_array_equal(read_cine(path).frames, expected)


def test_small_values_in_16_bit_entries(write_dicom: Write) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    stored = [words(np.arange(256), 16, "explicit")] * 3
    path = write_dicom(ramp, "PALETTE COLOR", **tables(stored, [256, 0, 16]))
    np.testing.assert_array_equal(read_cine(path).frames, ramp.repeat(3, -1))


def test_signed_indices(write_dicom: Write) -> None:
    indices = np.arange(-8, 8, dtype=np.int16).reshape(1, 4, 4, 1)
    stored = [words(np.arange(16) * 4096 + 4095, 16, "explicit")] * 3
    attributes = tables(stored, [16, -8, 16])
    path = write_dicom(indices, "PALETTE COLOR", PixelRepresentation=1, **attributes)
    np.testing.assert_array_equal(read_cine(path).frames[0, ..., 0].ravel(), np.arange(16) * 16 + 15)


def test_65536_entries(write_dicom: Write) -> None:
    indices = np.arange(0, 65536, 64, dtype=np.uint16).reshape(1, 32, 32, 1)
    stored = [words(np.arange(65536), 16, "explicit")] * 3
    path = write_dicom(indices, "PALETTE COLOR", **tables(stored, [0, 0, 16]))  # 0 stands for 65536
    np.testing.assert_array_equal(read_cine(path).frames[..., 0], indices[..., 0] >> 8)


@pytest.mark.parametrize("syntax", ["explicit", "big"])
@pytest.mark.parametrize("bits", [8, 16])
def test_segments(write_dicom: Write, syntax: str, bits: int) -> None:
    """PS3.3 C.7.9.2: three values, a ramp, a ramp again, a copy of the two ramps, and one value."""
    unit, size = (1, 1) if bits == 8 else (257, 2)
    segments = [0, 3, 0, 5 * unit, 0, 1, 4, 100 * unit, 1, 5, 0, 2, 2]
    offset = 5 * size  # in bytes, to the first ramp
    segments += [offset, 0, 0, 0] if bits == 8 else [offset, 0]
    segments += [0, 1, 9 * unit]
    ramps = [25, 50, 75, 100, 80, 60, 40, 20, 0]
    entries = np.array([0, 5, 0, *ramps, *ramps, 9])
    indices = np.arange(len(entries) + 2, dtype=np.uint8).reshape(1, 4, -1, 1)
    stored = [words(np.array(segments), bits, syntax)] * 3
    attributes = tables(stored, [len(entries), 0, bits], segmented=True)
    path = write_dicom(indices, "PALETTE COLOR", syntax, **attributes)
    expected = entries[np.minimum(np.arange(indices.size), len(entries) - 1)]
    np.testing.assert_array_equal(read_cine(path).frames[..., 1].ravel(), expected)


@pytest.mark.parametrize("name", ["SPRING", "SUMMER", "FALL", "WINTER"])
def test_the_segmented_palettes_of_the_standard(write_dicom: Write, name: str) -> None:
    import pydicom

    try:
        from pydicom.pixels import apply_color_lut
    except ImportError:  # pydicom 2
        from pydicom.pixel_data_handlers import apply_color_lut

    palette = pydicom.dcmread(Path(pydicom.__file__).parent / "data" / "palettes" / f"{name.lower()}.dcm")
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    stored = [palette[f"Segmented{colour}PaletteColorLookupTableData"].value for colour in COLOURS]
    descriptor = list(palette.RedPaletteColorLookupTableDescriptor)
    path = write_dicom(ramp, "PALETTE COLOR", **tables(stored, descriptor, segmented=True))
    np.testing.assert_array_equal(read_cine(path).frames, apply_color_lut(ramp[..., 0], palette))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "no Red descriptor of three numbers"),
        (tables([b"\0" * 8] * 3, [4, 0, 16]) | {"BluePaletteColorLookupTableData": None}, "no Blue table"),
        (tables([bytes([1, 0, 3, 0, 9, 0])] * 3, [4, 0, 16], segmented=True), "cannot be used"),  # starts with a ramp
        (tables([bytes([7, 0, 3, 0, 9, 0])] * 3, [4, 0, 16], segmented=True), "a segment of type 7"),
        # a copy of itself
        (tables([bytes([0, 0, 1, 0, 9, 0, 2, 0, 9, 0, 6, 0, 0, 0])] * 3, [9, 0, 16], segmented=True), "of type 2"),
    ],
)
def test_palettes_that_cannot_be_used(write_dicom: Write, attributes: dict[str, Any], message: str) -> None:
    path = write_dicom(np.zeros((1, 4, 4, 1), np.uint8), "PALETTE COLOR", **attributes)
    with pytest.raises(InputError, match=message) as caught:
        read_cine(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
