# SPDX-License-Identifier: Apache-2.0
"""Chosen frames alone: what is read and decoded, and offset tables that are right, wrong or missing."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate

from bundle.readers import dicom_pixels, read_cine

Write = Callable[..., Path]
Encode = Callable[..., list[bytes]]
SIZE = {"Rows": 46, "Columns": 62, "SamplesPerPixel": 1}
ENCODED = ("rle", "jpeg", "jpeg_lossless", "jpeg_ls", "j2k_lossless")


def table_at(pixels: bytes, offsets: list[int]) -> bytes:
    """Pixel data with another basic offset table."""
    (length,) = struct.unpack_from("<I", pixels, 4)
    return pixels[:4] + struct.pack(f"<{len(offsets) + 1}I", 4 * len(offsets), *offsets) + pixels[8 + length :]


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each access to a file that is opened from now on got from the system."""
    counted: list[int] = []

    class Counting(io.FileIO):
        def readinto(self, buffer: Any) -> int:
            counted.append(super().readinto(buffer) or 0)
            return counted[-1]

        def readall(self) -> bytes:
            counted.append(len(data := super().readall()))
            return data

    def opened(path: Path, mode: str = "r", buffering: int = -1) -> io.BufferedReader:
        assert mode == "rb"
        return io.BufferedReader(Counting(path), buffering if buffering > 0 else io.DEFAULT_BUFFER_SIZE)

    monkeypatch.setattr(Path, "open", opened)
    return counted


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The length of each frame that is decoded from now on."""
    lengths: list[int] = []

    def counting(syntax: str) -> Any:
        decode = dicom_pixels.__dict__["_decoder_of"](syntax)

        def counted(data: bytes, layout: Any) -> Any:
            lengths.append(len(data))
            return decode(data, layout)

        return counted

    monkeypatch.setattr(dicom_pixels, "_decoder_of", dicom_pixels.decoder_of, raising=False)
    monkeypatch.setattr(dicom_pixels, "decoder_of", counting)
    return lengths


@pytest.fixture(scope="module")
def long_cine() -> np.ndarray:
    """500 frames of noise."""
    return np.random.default_rng(0).integers(0, 256, (500, 46, 62, 1), np.uint8)


@pytest.mark.parametrize("table", ["basic", "extended", "none"])
@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big", *ENCODED])
def test_four_of_500_frames(
    write_dicom: Write,
    encode: Encode,
    long_cine: np.ndarray,
    bytes_read: list[int],
    decoded: list[int],
    syntax: str,
    table: str,
) -> None:
    if syntax not in ENCODED:
        if table != "none":
            pytest.skip("only encoded frames have a table")
        path = write_dicom(long_cine, "MONOCHROME2", syntax)
    else:
        coded, extra = encode(long_cine[:20], syntax) * 25, {}
        pixels = encapsulate(coded, has_bot=table != "none")
        if table == "extended":
            extra["ExtendedOffsetTable"] = np.frombuffer(pixels, "<u4", 500, 8).astype("<u8").tobytes()
            pixels = table_at(pixels, [])
        path = write_dicom(pixels, "MONOCHROME2", syntax, NumberOfFrames=500, **SIZE, **extra)
    bytes_read.clear()
    cine = read_cine(path, [499, 3, 250, 3 + 17])
    assert cine.meta["n_frames"] == 500 and len(decoded) == 4
    share = sum(bytes_read) / path.stat().st_size
    assert share < (0.25 if table == "none" and syntax in ENCODED else 0.02)  # the walk costs 512 bytes a frame
    decoded.clear()
    np.testing.assert_array_equal(read_cine(path).frames[[499, 3, 250, 20]], cine.frames)
    assert len(decoded) == 500


@pytest.mark.parametrize("syntax", ["jpeg", "jpeg_ls", "j2k_lossless"])
@pytest.mark.parametrize("fragments", [2, 3])
@pytest.mark.parametrize("has_table", [True, False])
def test_frames_in_several_fragments(
    write_dicom: Write, encode: Encode, sector_cine: np.ndarray, syntax: str, fragments: int, has_table: bool
) -> None:
    coded = encode(sector_cine[..., :1], syntax)
    whole = read_cine(write_dicom(encapsulate(coded), "MONOCHROME2", syntax, **SIZE)).frames
    pixels = encapsulate(coded, fragments_per_frame=fragments, has_bot=has_table)
    for declared in (5, ""):
        path = write_dicom(pixels, "MONOCHROME2", syntax, NumberOfFrames=declared, **SIZE)
        np.testing.assert_array_equal(read_cine(path).frames, whole)
        np.testing.assert_array_equal(read_cine(path, [4, 1]).frames, whole[[4, 1]])


def wrong_tables(starts: list[int]) -> dict[str, list[int]]:
    return {
        "off by two": [start + 2 for start in starts],
        "all but the first off by two": [0, *(start + 2 for start in starts[1:])],
        "all zero": [0] * 5,
        "in the wrong order": [0, starts[2], starts[1], *starts[3:]],
        "past the end": [*starts[:4], starts[4] + 10**6],
        "of the first alone": [0],
        "of too many": [*starts, starts[-1] + 1000],
        "a fragment late": [0, *(start + 1 for start in starts[1:])],
        "counted from the pixel data": [start + 28 for start in starts],
        "lengths instead of offsets": np.diff([*starts, starts[-1] + 2000]).tolist(),
    }


@pytest.mark.parametrize("fault", list(wrong_tables([0] * 5)))
@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("syntax", ["jpeg", "rle"])
def test_wrong_tables_are_not_believed(
    write_dicom: Write, encode: Encode, sector_cine: np.ndarray, fault: str, extended: bool, syntax: str
) -> None:
    coded = encode(sector_cine[..., :1], syntax)
    fragments = 1 if syntax == "rle" else 2
    pixels = encapsulate(coded, fragments_per_frame=fragments)
    offsets = wrong_tables(list(struct.unpack_from("<5I", pixels, 8)))[fault]
    extra: dict[str, Any] = {}
    if extended:
        extra["ExtendedOffsetTable"] = np.array(offsets, "<u8").tobytes()
        offsets = []
    path = write_dicom(table_at(pixels, offsets), "MONOCHROME2", syntax, NumberOfFrames=5, **SIZE, **extra)
    alone = [read_cine(write_dicom(encapsulate([c]), "MONOCHROME2", syntax, name="b.dcm", **SIZE)) for c in coded]
    expected = np.concatenate([cine.frames for cine in alone])
    np.testing.assert_array_equal(read_cine(path).frames, expected)
    np.testing.assert_array_equal(read_cine(path, [3, 1]).frames, expected[[3, 1]])


def test_a_table_wrong_about_the_frame_asked_for(write_dicom: Write, encode: Encode, sector_cine: np.ndarray) -> None:
    """Frames of two fragments; the table calls a second fragment the start of frame 2."""
    coded = encode(sector_cine[..., :1], "jpeg")
    pixels = encapsulate(coded, fragments_per_frame=2)
    starts = list(struct.unpack_from("<5I", pixels, 8))
    items = pixels[8 + 20 :]
    starts[2] += 8 + struct.unpack_from("<I", items, starts[2] + 4)[0]
    expected = read_cine(write_dicom(pixels, "MONOCHROME2", "jpeg", NumberOfFrames=5, **SIZE)).frames
    path = write_dicom(table_at(pixels, starts), "MONOCHROME2", "jpeg", NumberOfFrames=5, **SIZE)
    for k in range(5):
        np.testing.assert_array_equal(read_cine(path, [k]).frames, expected[[k]])


def test_without_any_table_item(write_dicom: Write, encode: Encode, sector_cine: np.ndarray) -> None:
    coded = encode(sector_cine[..., :1], "jpeg")
    path = write_dicom(encapsulate(coded, has_bot=False)[8:], "MONOCHROME2", "jpeg", **SIZE)
    assert read_cine(path).meta["n_frames"] == 5


@pytest.mark.parametrize("ending", ["delimiter", "defined length"])
def test_ends_as_writers_have_them(write_dicom: Write, encode: Encode, sector_cine: np.ndarray, ending: str) -> None:
    coded = encode(sector_cine[..., :1], "jpeg")
    path = write_dicom(encapsulate(coded), "MONOCHROME2", "jpeg", NumberOfFrames=5, **SIZE)
    expected, data = read_cine(path).frames, path.read_bytes()
    assert data.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    if ending == "defined length":
        start = data.index(b"\xe0\x7f\x10\x00OB\0\0") + 8
        length = len(data) - 8 - start - 4
        data = data[:start] + struct.pack("<I", length) + data[start + 4 : -8]
    path.write_bytes(data + b"\xfc\xff\xfc\xffOB\0\0" + struct.pack("<I", 8) + b"\0" * 8)  # trailing padding
    np.testing.assert_array_equal(read_cine(path).frames, expected)
    np.testing.assert_array_equal(read_cine(path, [2]).frames, expected[[2]])
