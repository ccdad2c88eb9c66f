# SPDX-License-Identifier: Apache-2.0
"""What the grid of test_dicom_grid.py cannot write, and the ways in which encoded pictures differ from their header."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate

from bundle.errors import InputError
from bundle.readers import read_cine

Write = Callable[..., Path]
Encode = Callable[..., list[bytes]]

DATA = Path(__file__).parent / "data"
"""The first frame of ``sector_cine``, encoded by imagecodecs 2026.3.6: ``htj2k_encode`` (OpenJPH; ``reversible`` True,
or False with ``level`` 0.01) and ``jpeg8_encode`` (libjpeg-turbo; ``level`` 98, ``bitspersample`` 12). The deeper ones
are ``grey * 16 + column % 16``."""
SIZE = {"Rows": 46, "Columns": 62}


def largest_error(path: Path, expected: np.ndarray) -> float:
    frames = read_cine(path).frames
    assert frames.dtype == np.uint8 and frames.shape == expected.shape
    return float(np.abs(frames.astype(int) - expected).max())


@pytest.mark.parametrize("syntax", [201, 202, 203])
@pytest.mark.parametrize(
    ("file", "photometric", "samples", "bits", "error"),
    [
        ("htj2k_grey", "MONOCHROME2", 1, 8, 0),
        ("htj2k_grey", "MONOCHROME1", 1, 8, 0),
        ("htj2k_colour", "YBR_RCT", 3, 8, 0),
        ("htj2k_colour_lossy", "YBR_ICT", 3, 8, 6),
        ("htj2k_grey_16_bits", "MONOCHROME2", 1, 16, 0),
    ],
)
def test_high_throughput_jpeg_2000(
    write_dicom: Write,
    sector_cine: np.ndarray,
    syntax: int,
    file: str,
    photometric: str,
    samples: int,
    bits: int,
    error: int,
) -> None:
    coded = (DATA / f"{file}.j2c").read_bytes()
    attributes = {"SamplesPerPixel": samples, "BitsAllocated": bits, "BitsStored": bits, **SIZE}
    # under a name that pydicom 2.4 knows and writes
    path = write_dicom(encapsulate([coded] * 3), photometric, "1.2.840.10008.1.2.4.101", **attributes)
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.4.101", b"1.2.840.10008.1.2.4.%d" % syntax))
    expected = sector_cine[:1, ..., :samples]
    if bits == 16:
        expected = np.rint((expected * 16.0 + np.arange(62)[:, None] % 16) * (255 / 65535))
    if photometric == "MONOCHROME1":
        expected = 255 - expected
    assert largest_error(path, expected.repeat(3, axis=0)) <= error
    some = read_cine(path, [2])
    assert some.meta["n_frames"] == 3 and some.meta["transfer_syntax"].endswith(f".{syntax}")


def test_jpeg_of_12_bits(write_dicom: Write, sector_cine: np.ndarray) -> None:
    coded = [(DATA / "grey_12_bits.jpg").read_bytes()]
    attributes = {"SamplesPerPixel": 1, "BitsAllocated": 16, "BitsStored": 12, **SIZE}
    path = write_dicom(encapsulate(coded), "MONOCHROME2", "jpeg_extended", **attributes)
    expected = (sector_cine[:1, ..., :1] * 16.0 + np.arange(62)[:, None] % 16) * (255 / 4095)
    assert largest_error(path, np.rint(expected)) <= 1


@pytest.mark.parametrize("interleave", [0, 1, 2])
def test_jpeg_ls_by_plane_line_and_pixel(write_dicom: Write, sector_cine: np.ndarray, interleave: int) -> None:
    import jpeg_ls

    planes = sector_cine.transpose(0, 3, 1, 2) if interleave == 0 else sector_cine
    coded = [bytes(jpeg_ls.encode_array(np.ascontiguousarray(p), interleave_mode=interleave)) for p in planes]
    path = write_dicom(encapsulate(coded), "RGB", "jpeg_ls", SamplesPerPixel=3, **SIZE)
    assert largest_error(path, sector_cine) == 0


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422", "RGB"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_what_a_jpeg_says_of_its_colour_counts(
    write_dicom: Write, encode: Encode, colour_cine: np.ndarray, photometric: str, subsampling: int
) -> None:
    """Many writers say RGB of YCbCr; the JFIF marker knows better."""
    coded = encode(colour_cine, "jpeg", 8, subsampling)
    path = write_dicom(encapsulate(coded), photometric, "jpeg", SamplesPerPixel=3, Rows=48, Columns=64)
    assert largest_error(path, colour_cine) <= 8


def without_marker(frame: bytes) -> bytes:
    """Neither JFIF nor Adobe, and components named 1, 2, 3."""
    frame = re.sub(rb"\xff\xee\x00\x0eAdobe.{7}|\xff\xe0\x00\x10JFIF.{10}", b"", frame, flags=re.DOTALL)
    start, scan = frame.index(b"\xff\xc0") + 10, frame.index(b"\xff\xda") + 5
    edited = bytearray(frame)
    for k in range(3):
        edited[start + 3 * k] = edited[scan + 2 * k] = k + 1
    return bytes(edited)


def test_jpeg_without_a_marker(write_dicom: Write, encode: Encode, colour_cine: np.ndarray) -> None:
    """Only the photometric interpretation says what it is, unless the chroma is coarser, which RGB has not."""
    size = {"Rows": 48, "Columns": 64, "SamplesPerPixel": 3}

    def written(subsampling: int | None, photometric: str) -> Path:
        coded = [without_marker(frame) for frame in encode(colour_cine, "jpeg", 8, subsampling)]
        return write_dicom(encapsulate(coded), photometric, "jpeg", **size)

    assert largest_error(written(None, "RGB"), colour_cine) <= 8
    assert largest_error(written(None, "YBR_FULL"), colour_cine) > 30
    assert largest_error(written(0, "YBR_FULL"), colour_cine) <= 8
    assert largest_error(written(2, "YBR_FULL_422"), colour_cine) <= 8
    assert largest_error(written(2, "RGB"), colour_cine) <= 8


def test_lossless_jpeg_under_the_name_of_baseline(write_dicom: Write, encode: Encode, sector_cine: np.ndarray) -> None:
    coded = encode(sector_cine, "jpeg_lossless")
    path = write_dicom(encapsulate(coded), "RGB", "jpeg", SamplesPerPixel=3, **SIZE)
    assert largest_error(path, sector_cine) == 0


@pytest.mark.parametrize(
    "mark", [b"", b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0", b"\xff\xee\x00\x0eAdobe\0d\0\0\0\0\x01"]
)
@pytest.mark.parametrize("first", [0, 1, 82])
def test_no_mark_converts_lossless_jpeg(
    write_dicom: Write, encode: Encode, sector_cine: np.ndarray, mark: bytes, first: int
) -> None:
    """Neither JFIF nor Adobe markers nor the names of the components, which make YCbCr of other JPEG."""
    (frame,) = encode(sector_cine[:1], "jpeg_lossless")
    edited = bytearray(frame)
    start, scan = frame.index(b"\xff\xc3") + 10, frame.index(b"\xff\xda") + 5
    for k in range(3):
        edited[start + 3 * k] = edited[scan + 2 * k] = first + k
    coded = bytes(edited[:2]) + mark + bytes(edited[2:])
    path = write_dicom(encapsulate([coded]), "RGB", "jpeg_lossless", SamplesPerPixel=3, **SIZE)
    assert largest_error(path, sector_cine[:1]) == 0


def test_jpeg_2000_with_and_without_the_colour_transform(write_dicom: Write, sector_cine: np.ndarray) -> None:
    from PIL import Image

    for transform, wrapped in ((0, False), (1, False), (1, True)):
        coded = []
        for picture in sector_cine:
            buffer = io.BytesIO()
            options: dict[str, Any] = {"mct": transform, "no_jp2": not wrapped, "irreversible": False}
            Image.fromarray(picture).save(buffer, format="JPEG2000", **options)
            coded.append(buffer.getvalue())
        photometric = "YBR_RCT" if transform else "RGB"
        path = write_dicom(encapsulate(coded), photometric, "j2k_lossless", SamplesPerPixel=3, **SIZE)
        assert largest_error(path, sector_cine) == 0


@pytest.mark.parametrize("syntax", ["rle", "jpeg", "jpeg_lossless", "jpeg_ls", "j2k_lossless"])
def test_a_picture_of_another_size_is_refused(
    write_dicom: Write, encode: Encode, sector_cine: np.ndarray, syntax: str
) -> None:
    coded = encode(sector_cine[:2, ..., :1], syntax)
    path = write_dicom(encapsulate(coded), "MONOCHROME2", syntax, SamplesPerPixel=1, Rows=48, Columns=62)
    with pytest.raises(InputError, match="frame 0 cannot be decoded as") as caught:
        read_cine(path)
    assert "62 x 48" in str(caught.value) or syntax == "rle"


def test_grey_where_colour_is_said_is_refused(write_dicom: Write, encode: Encode, sector_cine: np.ndarray) -> None:
    coded = encode(sector_cine[..., :1], "jpeg")
    path = write_dicom(encapsulate(coded), "YBR_FULL", "jpeg", SamplesPerPixel=3, **SIZE)
    with pytest.raises(InputError, match="1 samples a pixel where three are needed"):
        read_cine(path)


@pytest.mark.parametrize("fault", ["segments", "short"])
def test_rle_that_does_not_fit(write_dicom: Write, encode: Encode, sector_cine: np.ndarray, fault: str) -> None:
    (coded,) = encode(sector_cine[:1, ..., :1], "rle")
    coded = b"\x03" + coded[1:] if fault == "segments" else coded[:400]
    path = write_dicom(encapsulate([coded]), "MONOCHROME2", "rle", SamplesPerPixel=1, **SIZE)
    with pytest.raises(InputError, match="frame 0 cannot be decoded as RLE Lossless"):
        read_cine(path)
