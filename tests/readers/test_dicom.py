# SPDX-License-Identifier: Apache-2.0
"""DICOM files as cines: how many frames, video inside, what is refused, nothing of the person."""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate

from bundle.errors import InputError
from bundle.readers import read_cine
from bundle.readers.dicom import read_dicom
from bundle.readers.video import decode_stream

Write = Callable[..., Path]
Encode = Callable[..., list[bytes]]


@pytest.mark.parametrize("declared", ["", "missing", 1, 3, 5, 9, "many"])
@pytest.mark.parametrize("syntax", ["explicit", "rle", "j2k_lossless"])
def test_number_of_frames_is_judged_by_the_pixels(
    write_dicom: Write, encode: Encode, sector_cine: np.ndarray, syntax: str, declared: int | str
) -> None:
    size = {"Rows": 46, "Columns": 62, "SamplesPerPixel": 3}
    pixels = sector_cine.tobytes() if syntax == "explicit" else encapsulate(encode(sector_cine, syntax))
    if declared not in ("missing", "many"):
        size["NumberOfFrames"] = declared
    elif declared == "many":
        size["NumberOfFrames"] = 99
    path = write_dicom(pixels, "RGB", syntax, **size)
    if declared == "many":  # no number at all
        path.write_bytes(path.read_bytes().replace(b"(\0\x08\0IS\x02\x0099", b"(\0\x08\0IS\x02\0?!"))
    for frames in (None, [4, 2]):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cine = read_cine(path, frames)
        told = f"NumberOfFrames says {declared}, the pixel data hold 5"
        assert [str(w.message) for w in caught] == ([f"{path}: {told}"] if declared in (1, 3, 9) else [])
        assert cine.meta["n_frames"] == 5
        np.testing.assert_array_equal(cine.frames, sector_cine[frames or slice(None)])


@pytest.mark.parametrize(
    ("codec", "container", "syntax"),
    [("libx264", "mp4", "102"), ("libx264", "mp4", "102.1"), ("libx264", "h264", "103"), ("mpeg2video", "mpg", "100")],
)
def test_video_inside(
    write_dicom: Write, write_video: Write, colour_cine: np.ndarray, codec: str, container: str, syntax: str
) -> None:
    clip = write_video(colour_cine, f"a.{container}", codec, "yuv420p", {"g": "3"}, rate=25)
    stream = clip.read_bytes()
    size = {"Rows": 48, "Columns": 64, "SamplesPerPixel": 3, "NumberOfFrames": 5}
    expected = decode_stream(clip, clip, None).stack(range(5), clip)
    for parts in ([stream], [stream[:1000], stream[1000:]]):
        uid = f"1.2.840.10008.1.2.4.{syntax}"
        # pydicom knows no fragmentable one and would not write it
        path = write_dicom(encapsulate(parts, has_bot=False), "YBR_PARTIAL_420", uid.removesuffix(".1"), **size)
        path.write_bytes(path.read_bytes().replace(*lengthened(uid.removesuffix(".1"), uid)))
        whole = read_cine(path)
        assert whole.meta["transfer_syntax"] == uid
        np.testing.assert_array_equal(whole.frames, expected)
        np.testing.assert_array_equal(read_cine(path, [4, 1]).frames, whole.frames[[4, 1]])
        np.testing.assert_allclose(whole.meta["frame_times"], np.arange(5) / 25)


def lengthened(uid: str, longer: str) -> tuple[bytes, bytes]:
    """The element of a transfer syntax, and that of another (the files written here have no group length)."""
    elements = []
    for name in (uid, longer):
        value = name.encode() + b"\0" * (len(name) % 2)
        elements.append(b"\x02\0\x10\0UI" + struct.pack("<H", len(value)) + value)
    return elements[0], elements[1]


@pytest.mark.parametrize("modality", ["CT", "SR", "ECG"])
@pytest.mark.parametrize("with_pixels", [True, False])
def test_another_modality_is_refused(
    write_dicom: Write, sector_cine: np.ndarray, modality: str, with_pixels: bool
) -> None:
    pixels = np.ascontiguousarray(sector_cine[..., :1]) if with_pixels else None
    path = write_dicom(pixels, "MONOCHROME2", Modality=modality, SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    with pytest.raises(InputError, match=f"found modality {modality}, expected ultrasound; leave it out"):
        read_cine(path)


def test_a_secondary_capture_is_read(write_dicom: Write, sector_cine: np.ndarray) -> None:
    path = write_dicom(sector_cine, "RGB", Modality="OT", SOPClassUID="1.2.840.10008.5.1.4.1.1.7.4")
    np.testing.assert_array_equal(read_cine(path).frames, sector_cine)


def test_without_preamble(write_dicom: Write, grey_cine: np.ndarray) -> None:
    for syntax, first in (("implicit", b"\x08\0\x16\0"), ("explicit", b"\x02\0\x02\0UI")):
        path = write_dicom(grey_cine, "MONOCHROME2", syntax)
        data = path.read_bytes()
        bare = path.with_name("bare")
        bare.write_bytes(data[data.index(first) :])
        np.testing.assert_array_equal(read_cine(bare).frames, grey_cine)


def test_explicit_elements_under_the_name_of_implicit_ones(write_dicom: Write, grey_cine: np.ndarray) -> None:
    path = write_dicom(grey_cine, "MONOCHROME2")
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0"))
    np.testing.assert_array_equal(read_cine(path, [3]).frames, grey_cine[[3]])


def test_nothing_of_the_person_is_kept_or_told(
    write_dicom: Write,
    grey_cine: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    import pydicom

    kept: list[Any] = []

    def reading(*args: Any, **options: Any) -> Any:
        kept.append(pydicom_reads(*args, **options))
        return kept[-1]

    pydicom_reads = pydicom.dcmread
    monkeypatch.setattr(pydicom, "dcmread", reading)
    caplog.set_level(logging.DEBUG)
    for syntax in ("explicit", "deflated", "implicit"):
        path = write_dicom(grey_cine, "MONOCHROME2", syntax, FrameTime=40, PatientBirthDate="19501231")
        meta = read_dicom(path).meta
        assert set(meta) == {
            *("filename_or_obj", "source_kind", "n_frames", "photometric_interpretation", "transfer_syntax"),
            "frame_times",
        }
    assert len(kept) == 4
    for dataset in kept:
        assert not {"PatientName", "PatientID", "PatientBirthDate", "SOPInstanceUID"} & set(dataset.dir())
        assert "ecret" not in str(dataset) and "hidden" not in str(dataset)
    assert "ecret" not in caplog.text and "hidden" not in caplog.text and not recwarn.list
