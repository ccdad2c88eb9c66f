# SPDX-License-Identifier: Apache-2.0
"""Uncompressed pixels: odd sizes, byte order, bits that are not the lowest, pairs of pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.readers import read_cine

Write = Callable[..., Path]


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big", "deflated"])
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "RGB"])
def test_frames_of_an_odd_number_of_bytes(
    write_dicom: Write, sector_cine: np.ndarray, syntax: str, photometric: str
) -> None:
    cine = sector_cine[:, :45, :61, : 3 if photometric == "RGB" else 1]
    path = write_dicom(np.ascontiguousarray(cine), photometric, syntax)
    np.testing.assert_array_equal(read_cine(path).frames, cine)
    np.testing.assert_array_equal(read_cine(path, [3, 1]).frames, cine[[3, 1]])


def test_bytes_in_words_of_a_big_endian_file(write_dicom: Write, sector_cine: np.ndarray) -> None:
    cine = np.ascontiguousarray(sector_cine[:, :45, :61, :1])
    path = write_dicom(cine, "MONOCHROME2", "big")
    data = path.read_bytes()
    start = data.index(b"\x7f\xe0\x00\x10OB") + 12
    swapped = np.frombuffer(data[start:], np.uint8).reshape(-1, 2)[:, ::-1].tobytes()
    path.write_bytes(data[:start].replace(b"\x7f\xe0\x00\x10OB", b"\x7f\xe0\x00\x10OW") + swapped)
    np.testing.assert_array_equal(read_cine(path).frames, cine)
    np.testing.assert_array_equal(read_cine(path, [1, 4]).frames, cine[[1, 4]])  # frame 1 starts at an odd byte


@pytest.mark.parametrize("syntax", ["explicit", "big", "rle"])
@pytest.mark.parametrize("high", [11, 13, 15])
def test_high_bit(
    write_dicom: Write, encode: Callable[..., list[bytes]], sector_cine: np.ndarray, syntax: str, high: int
) -> None:
    """Twelve bits somewhere in sixteen; the others hold an overlay."""
    values = sector_cine[..., :1].astype(np.uint16) * 16 + 5
    shift = high - 11
    words = (values << shift) | (np.uint16(0xF) if high == 15 else np.uint16(1 << 15))
    attributes = {"BitsStored": 12, "HighBit": high}
    if syntax == "rle":
        from pydicom.encaps import encapsulate

        size = {"Rows": 46, "Columns": 62, "SamplesPerPixel": 1, "BitsAllocated": 16}
        path = write_dicom(encapsulate(encode(words, "rle")), "MONOCHROME2", "rle", **size, **attributes)
    else:
        path = write_dicom(words, "MONOCHROME2", syntax, **attributes)
    np.testing.assert_array_equal(read_cine(path).frames, np.rint(values * (255 / 4095)))


def test_colour_of_fewer_bits_than_allocated(write_dicom: Write, sector_cine: np.ndarray) -> None:
    path = write_dicom(sector_cine.astype(np.uint16) * 16, "RGB", BitsStored=12)
    assert np.abs(read_cine(path).frames.astype(int) - sector_cine * (16 * 255 / 4095)).max() <= 0.5
    path = write_dicom(sector_cine >> 1, "RGB", BitsStored=7)
    assert np.abs(read_cine(path).frames.astype(int) - (sector_cine >> 1) * (255 / 127)).max() <= 0.5


def test_ybr_full_422_of_three_bytes_a_pixel_is_refused(write_dicom: Write, sector_cine: np.ndarray) -> None:
    for count in (1, 4):
        path = write_dicom(sector_cine[:count], "YBR_FULL_422")
        with pytest.raises(InputError, match="found three bytes a pixel, expected two as YBR_FULL_422"):
            read_cine(path)


def test_ybr_full_422_of_an_odd_number_of_columns_is_refused(write_dicom: Write, sector_cine: np.ndarray) -> None:
    path = write_dicom(np.ascontiguousarray(sector_cine[:, :, :61, :2]), "YBR_FULL_422", SamplesPerPixel=3)
    with pytest.raises(InputError, match="61 columns, expected an even number"):
        read_cine(path)


def test_pixels_in_fragments_under_an_uncompressed_syntax_are_refused(write_dicom: Write) -> None:
    from pydicom.encaps import encapsulate

    size = {"Rows": 2, "Columns": 2, "SamplesPerPixel": 1}
    path = write_dicom(encapsulate([b"1234"]), "MONOCHROME2", "jpeg", **size)
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.1\0\0\0"))
    with pytest.raises(InputError, match="found pixels in fragments, expected uncompressed ones"):
        read_cine(path)
