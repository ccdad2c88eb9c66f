# SPDX-License-Identifier: Apache-2.0
"""Damaged and foreign DICOM files: the whole frames and a warning, or one line that says what to do."""

from __future__ import annotations

import re
import warnings
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
ENCODED = ("rle", "jpeg", "jpeg_lossless", "jpeg_ls", "j2k_lossless")
SIZE = {"Rows": 46, "Columns": 62, "SamplesPerPixel": 1, "NumberOfFrames": 5}


def refused(path: Path, message: str) -> None:
    for frames in (None, [0]):
        with pytest.raises(InputError, match=message) as caught:
            read_cine(path, frames)
        said = str(caught.value)
        assert str(path) in said and "\n" not in said and "ecret" not in said and "hidden" not in said


def encoded_file(write_dicom: Write, encode: Encode, cine: np.ndarray, syntax: str, **options: Any) -> Path:
    pixels = encapsulate(encode(cine[..., :1], syntax), **options)
    return write_dicom(pixels, "MONOCHROME2", syntax, **SIZE)


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big"])
@pytest.mark.parametrize("whole", [4, 2, 1])
def test_uncompressed_frames_before_the_cut(
    write_dicom: Write, sector_cine: np.ndarray, syntax: str, whole: int
) -> None:
    cine = np.ascontiguousarray(sector_cine[..., :1])
    path = write_dicom(cine, "MONOCHROME2", syntax)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - (5 - whole) * 46 * 62 + 100])
    for frames in (None, [whole - 1]):
        with pytest.warns(UserWarning, match=f"damaged after {whole} frames .the file is cut.; those are used"):
            cut = read_cine(path, frames)
        assert cut.meta["n_frames"] == whole
        np.testing.assert_array_equal(cut.frames, cine[:whole] if frames is None else cine[frames])
    with pytest.raises(InputError, match=f"frame {whole} was asked for"), pytest.warns(UserWarning):
        read_cine(path, [whole])


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big"])
def test_uncompressed_without_a_whole_frame(write_dicom: Write, sector_cine: np.ndarray, syntax: str) -> None:
    path = write_dicom(np.ascontiguousarray(sector_cine[..., :1]), "MONOCHROME2", syntax)
    path.write_bytes(path.read_bytes()[: -4 * 46 * 62 - 100])
    refused(path, "found 2752 bytes of pixels, expected 2852 for one frame of 62 x 46; copy it again")


def test_a_whole_file_of_too_few_pixels(write_dicom: Write, sector_cine: np.ndarray) -> None:
    cine = np.ascontiguousarray(sector_cine[..., :1])
    path = write_dicom(cine.tobytes()[:-100], "MONOCHROME2", **SIZE)
    with pytest.warns(UserWarning, match="damaged after 4 frames .the next is not whole."):
        np.testing.assert_array_equal(read_cine(path).frames, cine[:4])


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("fragments", [1, 2])
@pytest.mark.parametrize("syntax", ENCODED)
def test_encoded_frames_before_the_cut(
    write_dicom: Write, encode: Encode, sector_cine: np.ndarray, syntax: str, fragments: int, table: bool
) -> None:
    if syntax == "rle" and fragments > 1:
        pytest.skip("one fragment a frame")
    path = encoded_file(write_dicom, encode, sector_cine, syntax, fragments_per_frame=fragments, has_bot=table)
    expected, data = read_cine(path).frames, path.read_bytes()
    items = [m.start() for m in re.finditer(rb"\xfe\xff\x00\xe0", data)][1:]
    assert len(items) == 5 * fragments
    cuts = {items[4 * fragments] + 3: 4, items[3 * fragments] + 50: 3, items[-1] - 1: 4 if fragments > 1 else 3}
    if syntax != "rle":
        cuts[items[-1]] = 4  # between two fragments
    for cut, whole in cuts.items():
        path.write_bytes(data[:cut])
        for frames in (None, [0, whole - 1]):
            with pytest.warns(UserWarning, match=f"damaged after {whole} frames .the file is cut.; those are used"):
                read = read_cine(path, frames)
            np.testing.assert_array_equal(read.frames, expected[:whole] if frames is None else expected[frames])
            assert read.meta["n_frames"] == whole
    path.write_bytes(data[: items[0] + 50])
    refused(path, "found no whole frame, the file is cut in the pixel data, expected .*; copy it again")
    path.write_bytes(data[: items[2 * fragments]] + bytes(len(data) - items[2 * fragments]))  # zeros from frame 2 on
    with pytest.warns(UserWarning, match="damaged after 2 frames"):
        np.testing.assert_array_equal(read_cine(path).frames, expected[:2])


@pytest.mark.parametrize("syntax", ENCODED)
def test_a_frame_that_cannot_be_decoded(
    write_dicom: Write, encode: Encode, sector_cine: np.ndarray, syntax: str
) -> None:
    coded = encode(sector_cine[..., :1], syntax)
    coded[0] = coded[0][:4] + b"\xa5" * 60 if syntax != "jpeg_ls" else coded[0][:-100]
    path = write_dicom(encapsulate(coded), "MONOCHROME2", syntax, **SIZE)
    refused(path, "frame 0 cannot be decoded as .*; copy it again")
    assert read_cine(path, [1, 4]).meta["n_frames"] == 5


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big", "deflated", "jpeg"])
def test_cut_in_the_header(write_dicom: Write, encode: Encode, sector_cine: np.ndarray, syntax: str) -> None:
    cine = np.ascontiguousarray(sector_cine[..., :1])
    pixels = encapsulate(encode(cine, syntax)) if syntax == "jpeg" else cine
    path = write_dicom(pixels, "MONOCHROME2", syntax, **(SIZE if syntax == "jpeg" else {}))
    data = path.read_bytes()
    end = data.index(b"\x7f\xe0\0\x10" if syntax == "big" else b"\xe0\x7f\x10\0") if syntax != "deflated" else 400
    for cut in [*range(0, end, 7), end]:
        path.write_bytes(data[:cut])
        refused(path, "copy it again|found no DICOM header|leave it out")


def test_deflated_and_cut(write_dicom: Write, sector_cine: np.ndarray) -> None:
    path = write_dicom(np.ascontiguousarray(sector_cine), "RGB", "deflated")
    path.write_bytes(path.read_bytes()[:-500])
    refused(path, "cannot be read as DICOM .*, expected a whole file; copy it again")


@pytest.mark.parametrize(
    ("syntax", "named"),
    [
        ("1.2.840.10008.1.2.4.94", "JPIP Referenced .1.2.840.10008.1.2.4.94."),
        ("1.2.840.10008.1.2.4.92", "JPEG 2000 Part 2 .* .1.2.840.10008.1.2.4.92."),
        ("1.3.46.670589.33.1.4.1", "syntax 1.3.46.670589.33.1.4.1,"),  # private
    ],
)
def test_a_transfer_syntax_that_nobody_decodes(write_dicom: Write, syntax: str, named: str) -> None:
    path = write_dicom(encapsulate([b"1234"]), "MONOCHROME2", "1.2.840.10008.1.2.4.92", **SIZE)
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.4.92", syntax.encode()))
    refused(path, f"found transfer {'syntax ' if 'syntax' not in named else ''}{named}.*gdcmconv")


def test_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.dcm"
    path.write_text("no picture\n" * 50)
    refused(path, "found no DICOM header, expected a DICOM file")
    path.write_text("x")
    refused(path, "found no DICOM header, expected a DICOM file")


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.touch()
    refused(path, "found an empty file .0 bytes., expected an ultrasound clip; copy it again")


def test_a_dicomdir(tmp_path: Path, write_dicom: Write, sector_cine: np.ndarray) -> None:
    from pydicom.fileset import FileSet

    clip = write_dicom(np.ascontiguousarray(sector_cine[:1]), "RGB", StudyInstanceUID="1.2", SeriesInstanceUID="1.3")
    files = FileSet()
    import pydicom

    dataset = pydicom.dcmread(clip)
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "20200101", "120000", "1", "1"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    files.add(dataset)
    files.write(tmp_path / "disc")
    path = tmp_path / "disc" / "DICOMDIR"
    refused(path, "found a DICOMDIR .an index of files., expected a clip; give its folder to make_datalist")


@pytest.mark.parametrize(
    ("pixels", "photometric", "syntax", "attributes", "message"),
    [
        (None, "RGB", "explicit", {}, "a DICOM file without pixels, expected an image or a cine; leave it out"),
        (b"", "RGB", "explicit", {}, "without pixels"),
        (b"1234", "HSV", "explicit", {"SamplesPerPixel": 3}, "3 samples a pixel as HSV"),
        (b"1234", "RGB", "explicit", {}, "1 samples a pixel as RGB"),
        (b"1234", "MONOCHROME2", "explicit", {"SamplesPerPixel": None}, "no SamplesPerPixel, expected a DICOM image"),
        (b"1234", "MONOCHROME2", "explicit", {"Rows": 0, "BitsAllocated": None}, "no Rows, BitsAllocated, expected"),
        (b"1234", "", "explicit", {}, "no PhotometricInterpretation"),
        (b"1234", "MONOCHROME2", "explicit", {"BitsAllocated": 32, "BitsStored": 32}, "32 bits stored in 32"),
        (b"1234", "MONOCHROME2", "explicit", {"BitsAllocated": 1, "BitsStored": 1}, "1 bits stored in 1"),
        (b"1234", "MONOCHROME2", "explicit", {"BitsStored": 12}, "12 bits stored in 8"),
        (encapsulate([b"1234"]), "MONOCHROME2", "jpeg", {}, "no start of a frame in the pixel data, expected JPEG"),
        (encapsulate([b"\xff\xd8\xff\xe0junk"]), "YBR_FULL", "jpeg", {"SamplesPerPixel": 3}, "frame 0 cannot"),
    ],
)
def test_headers_that_do_not_fit(
    write_dicom: Write, pixels: Any, photometric: str, syntax: str, attributes: dict[str, Any], message: str
) -> None:
    path = write_dicom(pixels, photometric, syntax, **{"Rows": 2, "Columns": 2, "SamplesPerPixel": 1, **attributes})
    refused(path, message)


def test_pixels_without_fragments_where_they_are_due(
    write_dicom: Write, encode: Encode, sector_cine: np.ndarray
) -> None:
    path = encoded_file(write_dicom, encode, sector_cine, "jpeg")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\xe0\x7f\x10\0OB\0\0") + 12] + b"\xff\xd8\xff\xe0" + bytes(996))
    refused(path, "found no .*frame.* in the pixel data, expected JPEG")


def test_a_frame_too_large_to_be_true(write_dicom: Write, encode: Encode, sector_cine: np.ndarray) -> None:
    for syntax in ENCODED:
        coded = encapsulate(encode(sector_cine[:1, ..., :1], syntax))
        path = write_dicom(coded, "MONOCHROME2", syntax, **{**SIZE, "Rows": 65535, "Columns": 65535})
        refused(path, "found frames of 65535 x 65535 pixels, expected 64 million pixels at most")
        path = write_dicom(coded, "MONOCHROME2", syntax, **{**SIZE, "Rows": 8192, "Columns": 8192})
        refused(path, "frame 0 cannot be decoded as .*(8192 x 8192|too short)")


@pytest.mark.parametrize("element", [b"\x08\0\x60\0CS", b"\x02\0\x10\0UI"])
@pytest.mark.parametrize("end", [b"\x10\0\x20\0LO", b"\x28\0\x02\0US"])
def test_a_damaged_length_tells_nothing_of_the_person(
    write_dicom: Write, sector_cine: np.ndarray, element: bytes, end: bytes
) -> None:
    """A modality or transfer syntax swallows the elements behind it, in which the name stands."""
    path = write_dicom(np.ascontiguousarray(sector_cine[..., :1]), "MONOCHROME2")
    data = bytearray(path.read_bytes())
    at = data.index(element) + 8
    data[at - 2 : at] = (data.index(end) - at).to_bytes(2, "little")
    path.write_bytes(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            said = str(read_cine(path).meta)
        except InputError as error:
            said = str(error)
    for words in (said, *(str(w.message) for w in caught)):
        assert "ecret" not in words.lower() and "hidden" not in words.lower() and "\n" not in words


def test_a_vr_that_does_not_exist(write_dicom: Write, sector_cine: np.ndarray) -> None:
    cine = np.ascontiguousarray(sector_cine[..., :1])
    path = write_dicom(cine, "MONOCHROME2", "deflated")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x02\0\x10\0UI", b"\x02\0\x10\0UY"))
    refused(path, "a transfer syntax that is no UID|cannot be read as DICOM")
    path.write_bytes(data.replace(b"\x02\0\x02\0UI", b"\x02\0\x02\0UY"))
    try:
        np.testing.assert_array_equal(read_cine(path).frames, cine)
    except InputError:  # pydicom 2.4 reads no further
        refused(path, "cannot be read as DICOM")
