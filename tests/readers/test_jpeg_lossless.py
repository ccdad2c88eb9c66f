# SPDX-License-Identifier: Apache-2.0
"""Lossless JPEG against an encoder that follows the standard pixel by pixel."""

from __future__ import annotations

import struct
from itertools import product

import numpy as np
import pytest

from bundle.readers.jpeg_lossless import decode_lossless_jpeg

ROWS, COLUMNS = 6, 9


def segment(marker: int, value: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(value) + 2) + value


def predicted(p: np.ndarray, y: int, x: int, predictor: int, first: int, top: int) -> int:
    """T.81 H.1.2.1; ``top``: the first row of the restart interval."""
    if y == top:
        return int(p[y, x - 1]) if x else first
    if x == 0:
        return int(p[y - 1, x])
    a, b, c = int(p[y, x - 1]), int(p[y - 1, x]), int(p[y - 1, x - 1])
    return (a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1)[predictor - 1]


def encoded(picture: np.ndarray, bits: int, predictor: int, shift: int = 0, rows_each: int = 0, by: int = 0) -> bytes:
    """``by``: components of a scan, 0 for all."""
    channels = picture.shape[2]
    values = picture >> shift
    codes = bytes([0, 0, 0, 0, 17, *[0] * 11, *range(17)])  # 17 categories of five bits each
    parts = [b"\xff\xd8", segment(0xC4, b"\x00" + codes)]
    names = b"".join(bytes([7 + k, 0x11, 0]) for k in range(channels))
    parts.append(segment(0xC3, struct.pack(">BHHB", bits, ROWS, COLUMNS, channels) + names))
    if rows_each:
        parts.append(segment(0xDD, struct.pack(">H", rows_each * COLUMNS)))
    group = by or channels
    for start in range(0, channels, group):
        scan = range(start, start + group)
        parts.append(segment(0xDA, bytes([group, *(n for k in scan for n in (7 + k, 0)), predictor, 0, shift])))
        for top in range(0, ROWS, rows_each or ROWS):
            text = ""
            for y, x, k in product(range(top, min(top + (rows_each or ROWS), ROWS)), range(COLUMNS), scan):
                guess = predicted(values[..., k], y, x, predictor, 1 << (bits - shift - 1), top)
                difference = (int(values[y, x, k]) - guess) & 0xFFFF
                signed = difference if difference <= 1 << 15 else difference - (1 << 16)
                size = abs(signed).bit_length()
                text += f"{size:05b}"
                if 0 < size < 16:
                    text += f"{signed if signed > 0 else signed + (1 << size) - 1:0{size}b}"
            text += "1" * (-len(text) % 8)
            coded = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")
            parts.append((bytes([0xFF, 0xD0 + (top // rows_each - 1) % 8]) if top else b"") + coded)
    return b"".join([*parts, b"\xff\xd9"])


def picture_of(bits: int, channels: int) -> np.ndarray:
    """Full range with a black corner, so that 16 bits start with a difference of 32768."""
    values = np.random.default_rng(bits).integers(0, 1 << bits, (ROWS, COLUMNS, channels)).astype(np.uint16)
    values[:2, :3] = 0
    return values


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [2, 8, 12, 16])
def test_every_predictor(predictor: int, bits: int) -> None:
    picture = picture_of(bits, 1)
    for rows_each in (0, 1, 4):
        np.testing.assert_array_equal(
            decode_lossless_jpeg(encoded(picture, bits, predictor, rows_each=rows_each)), picture
        )
    smooth = np.sort(picture, axis=1)
    np.testing.assert_array_equal(decode_lossless_jpeg(encoded(smooth, bits, predictor)), smooth)


@pytest.mark.parametrize("by", [0, 1])
@pytest.mark.parametrize("predictor", [1, 6])
def test_colour_in_one_scan_or_three(predictor: int, by: int) -> None:
    picture = picture_of(16, 3)
    np.testing.assert_array_equal(decode_lossless_jpeg(encoded(picture, 16, predictor, by=by, rows_each=2)), picture)


def test_point_transform() -> None:
    picture = picture_of(12, 1)
    np.testing.assert_array_equal(decode_lossless_jpeg(encoded(picture, 12, 1, shift=3)), picture >> 3 << 3)


def test_every_cut_is_refused() -> None:
    data = encoded(picture_of(12, 1), 12, 1)
    for end in range(len(data) - 2):  # up to the last byte in front of the end marker
        with pytest.raises(ValueError, match="no JPEG frame header|cut|missing|too early|sense"):
            decode_lossless_jpeg(data[:end])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"\x07\x11\x00", b"\x07\x21\x00", "samples left out"),
        (b"\xff\xdd\x00\x04\x00\x09", b"\xff\xdd\x00\x04\x00\x08", "restart intervals that do not fit"),
        (b"\xff\xdd\x00\x04\x00\x09", b"\xff\xdd\x00\x04\x00\x12", "restart intervals that do not fit"),
        (b"\x01\x07\x00\x01\x00\x00", b"\x01\x07\x00\x08\x00\x00", "a scan header without sense"),
        (b"\x01\x07\x00\x01\x00\x00", b"\x01\x07\x30\x01\x00\x00", "a scan header without sense"),
        (b"\x01\x07\x00\x01\x00\x00", b"\x01\x09\x00\x01\x00\x00", "a scan header without sense"),
        (b"\xff\xc4\x00\x24\x00\x00", b"\xff\xc4\x00\x24\x00\xff", "a Huffman table without sense"),
        (b"\xff\xc3", b"\xff\xc0", "no lossless JPEG .marker FFC0"),
    ],
)
def test_headers_that_make_no_sense(old: bytes, new: bytes, message: str) -> None:
    data = encoded(picture_of(12, 1), 12, 1, rows_each=1)
    assert data.count(old) == 1
    with pytest.raises(ValueError, match=message):
        decode_lossless_jpeg(data.replace(old, new))
