# SPDX-License-Identifier: Apache-2.0
"""DICOM files written here from one synthetic cine, and what is read back."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from bundle.errors import InputError
from bundle.readers import read_cine

Write = Callable[..., Path]


def to_ybr(rgb: np.ndarray) -> np.ndarray:
    """PS3.3 C.7.6.3.1.2, YBR_FULL."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    return (rgb @ matrix.T + [0, 128, 128]).round().clip(0, 255).astype(np.uint8)


def pil_frames(cine: np.ndarray, **options: Any) -> list[bytes]:
    from PIL import Image

    coded = []
    for picture in cine:
        buffer = io.BytesIO()
        Image.fromarray(picture.squeeze()).save(buffer, **options)
        coded.append(buffer.getvalue())
    return coded


def assert_reads(path: Path, expected: np.ndarray, error: float = 0) -> None:
    frames = read_cine(path).frames
    assert frames.dtype == np.uint8 and frames.shape == expected.shape
    assert np.abs(frames.astype(int) - expected).max() <= error


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "deflated", "big"])
@pytest.mark.parametrize("planar", [0, 1])
def test_uncompressed_rgb(write_dicom: Write, colour_cine: np.ndarray, syntax: str, planar: int) -> None:
    assert_reads(write_dicom(colour_cine, "RGB", syntax, PlanarConfiguration=planar), colour_cine)


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big"])
def test_grey(write_dicom: Write, grey_cine: np.ndarray, syntax: str) -> None:
    assert_reads(write_dicom(grey_cine, "MONOCHROME2", syntax), grey_cine)
    assert_reads(write_dicom(grey_cine, "MONOCHROME1", syntax), 255 - grey_cine)


def test_ybr_full(write_dicom: Write, colour_cine: np.ndarray) -> None:
    assert_reads(write_dicom(to_ybr(colour_cine), "YBR_FULL"), colour_cine, 2)
    assert_reads(write_dicom(to_ybr(colour_cine), "YBR_FULL", PlanarConfiguration=1), colour_cine, 2)


def test_ybr_full_422_uncompressed(write_dicom: Write, colour_cine: np.ndarray) -> None:
    rgb = np.repeat(colour_cine[:, :, ::2], 2, axis=2)  # pairs of equal pixels lose nothing
    ybr = to_ybr(rgb)
    quads = np.stack([ybr[:, :, ::2, 0], ybr[:, :, 1::2, 0], ybr[:, :, ::2, 1], ybr[:, :, ::2, 2]], axis=-1)
    count, rows, columns, _ = rgb.shape
    path = write_dicom(
        quads.tobytes(), "YBR_FULL_422", SamplesPerPixel=3, PlanarConfiguration=0, Rows=rows, Columns=columns
    )
    assert_reads(path, rgb, 2)
    assert read_cine(path).meta["n_frames"] == count


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("entry_bits", [8, 16])
def test_palette(write_dicom: Write, bits: int, entry_bits: int) -> None:
    entries, first = (200, 20) if bits == 8 else (1000, 300)
    rng = np.random.default_rng(0)
    table = rng.integers(0, 256, (entries, 3))
    indices = rng.integers(0, 256 if bits == 8 else 1500, (2, 16, 24, 1)).astype(f"u{bits // 8}")
    attributes: dict[str, Any] = {}
    for k, name in enumerate(("Red", "Green", "Blue")):
        attributes[f"{name}PaletteColorLookupTableDescriptor"] = [entries, first, entry_bits]
        stored = table[:, k].astype("u1") if entry_bits == 8 else (table[:, k] * 257).astype("<u2")
        attributes[f"{name}PaletteColorLookupTableData"] = stored.tobytes()
    expected = table[np.clip(indices[..., 0].astype(int) - first, 0, entries - 1)]  # past either end: its last entry
    assert_reads(write_dicom(indices, "PALETTE COLOR", **attributes), expected)


def test_palette_of_small_values_in_16_bit_entries(write_dicom: Write) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    attributes: dict[str, Any] = {}
    for name in ("Red", "Green", "Blue"):
        attributes[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        attributes[f"{name}PaletteColorLookupTableData"] = np.arange(256).astype("<u2").tobytes()
    assert_reads(write_dicom(ramp, "PALETTE COLOR", **attributes), ramp.repeat(3, -1))


@pytest.mark.parametrize("stored", [10, 12, 16])
@pytest.mark.parametrize("syntax", ["explicit", "big", "rle"])
def test_more_bits_without_window_use_the_full_stored_range(write_dicom: Write, stored: int, syntax: str) -> None:
    top = (1 << stored) - 1
    values = np.linspace(0, top // 2, 5 * 16 * 24).round().astype(np.uint16).reshape(5, 16, 24, 1)
    path = write_dicom(values, "MONOCHROME2", "explicit" if syntax == "rle" else syntax, BitsStored=stored)
    if syntax == "rle":
        path = compress_rle(path)
    assert_reads(path, np.rint(values * (255.0 / top)))  # the upper half is unused and stays dark


def test_signed_values(write_dicom: Write) -> None:
    values = np.arange(-2048, 2048, dtype=np.int16).reshape(1, 64, 64, 1)
    path = write_dicom(values, "MONOCHROME2", BitsStored=12, PixelRepresentation=1)
    assert_reads(path, np.rint((values.astype(float) + 2048) * (255 / 4095)))


def slow_window(value: float, centre: float, width: float, function: str) -> float:
    """PS3.3 C.11.2.1.2 and .3 for one value, output 0 to 255."""
    if function == "SIGMOID":
        return 255 / (1 + np.exp(-4 * (value - centre) / width))
    if function == "LINEAR_EXACT":
        if value <= centre - width / 2:
            return 0
        return 255 if value > centre + width / 2 else ((value - centre) / width + 0.5) * 255
    if value <= centre - 0.5 - (width - 1) / 2:
        return 0
    if value > centre - 0.5 + (width - 1) / 2:
        return 255
    return ((value - (centre - 0.5)) / (width - 1) + 0.5) * 255


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_window_and_rescale(write_dicom: Write, function: str, photometric: str) -> None:
    values = np.arange(4096, dtype=np.uint16).reshape(1, 64, 64, 1)
    path = write_dicom(
        values,
        photometric,
        BitsStored=12,
        RescaleSlope=2,
        RescaleIntercept=-100,
        WindowCenter=[3000, 5],
        WindowWidth=[2000, 6],
        VOILUTFunction=function,
    )
    expected = np.array([slow_window(2 * v - 100, 3000, 2000, function) for v in range(4096)]).reshape(values.shape)
    expected = np.rint(expected)
    assert_reads(path, 255 - expected if photometric == "MONOCHROME1" else expected)


def test_voi_lut(write_dicom: Write) -> None:
    item = Dataset()
    item.LUTDescriptor = [256, 0, 12]
    item.LUTData = [int(v) for v in (np.arange(256) ** 2 * 4095 // 255**2)]
    item["LUTData"].VR = "US"
    item["LUTDescriptor"].VR = "US"
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    expected = np.rint((np.arange(256) ** 2 * 4095 // 255**2) * (255 / 4095)).reshape(ramp.shape)
    assert_reads(write_dicom(ramp, "MONOCHROME2", VOILUTSequence=Sequence([item])), expected)


def compress_rle(path: Path) -> Path:
    import pydicom
    from pydicom.uid import RLELossless

    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    return path


def test_rle(write_dicom: Write, colour_cine: np.ndarray, grey_cine: np.ndarray) -> None:
    assert_reads(compress_rle(write_dicom(colour_cine, "RGB")), colour_cine)
    assert_reads(compress_rle(write_dicom(grey_cine, "MONOCHROME2")), grey_cine)


@pytest.mark.parametrize("interleave", [0, 1, 2])
def test_jpeg_ls(write_dicom: Write, colour_cine: np.ndarray, grey_cine: np.ndarray, interleave: int) -> None:
    import jpeg_ls

    size = {"Rows": 48, "Columns": 64}
    coded = []
    for picture in colour_cine:
        shaped = np.ascontiguousarray(picture.transpose(2, 0, 1) if interleave == 0 else picture)
        coded.append(bytes(jpeg_ls.encode_array(shaped, interleave_mode=interleave)))
    assert_reads(write_dicom(encapsulate(coded), "RGB", "jpeg_ls", SamplesPerPixel=3, **size), colour_cine)
    coded = [bytes(jpeg_ls.encode_array(picture[..., 0])) for picture in grey_cine]
    assert_reads(write_dicom(encapsulate(coded), "MONOCHROME2", "jpeg_ls", SamplesPerPixel=1, **size), grey_cine)


@pytest.mark.parametrize("kind", ["RGB", "MONOCHROME2", "MONOCHROME2 16"])
def test_jpeg_lossless(write_dicom: Write, colour_cine: np.ndarray, kind: str) -> None:
    import gdcm

    cine = colour_cine if kind == "RGB" else colour_cine[..., :1]
    wide = kind.endswith("16")
    path = write_dicom(cine.astype(np.uint16) * 257 if wide else cine, kind.split()[0])
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write()
    assert read_cine(path).meta["transfer_syntax"] == "1.2.840.10008.1.2.4.70"
    assert_reads(path, cine)


@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_ycbcr(write_dicom: Write, colour_cine: np.ndarray, subsampling: int) -> None:
    coded = pil_frames(colour_cine, format="JPEG", quality=98, subsampling=subsampling)
    size = {"Rows": 48, "Columns": 64, "SamplesPerPixel": 3}
    photometric = "YBR_FULL_422" if subsampling else "YBR_FULL"
    assert_reads(write_dicom(encapsulate(coded), photometric, "jpeg", **size), colour_cine, 8)
    # many writers say RGB of such a file; its JFIF marker knows better
    assert_reads(write_dicom(encapsulate(coded), "RGB", "jpeg", **size), colour_cine, 8)


def test_jpeg_rgb_without_markers(write_dicom: Write, colour_cine: np.ndarray) -> None:
    coded = []
    for frame in pil_frames(colour_cine, format="JPEG", quality=98, keep_rgb=True):
        assert b"Adobe" in frame
        coded.append(frame)
    size = {"Rows": 48, "Columns": 64, "SamplesPerPixel": 3}
    assert_reads(write_dicom(encapsulate(coded), "RGB", "jpeg", **size), colour_cine, 8)
    # no marker, components named 1, 2, 3: only the photometric interpretation says that it is RGB
    bare = []
    for frame in coded:
        frame = re.sub(rb"\xff\xee\x00\x0eAdobe.{7}", b"", frame, flags=re.DOTALL)
        start, scan = frame.index(b"\xff\xc0") + 10, frame.index(b"\xff\xda") + 5
        edited = bytearray(frame)
        for k in range(3):
            edited[start + 3 * k] = edited[scan + 2 * k] = k + 1
        bare.append(bytes(edited))
    assert_reads(write_dicom(encapsulate(bare), "RGB", "jpeg", **size), colour_cine, 8)
    assert (
        np.abs(read_cine(write_dicom(encapsulate(bare), "YBR_FULL", "jpeg", **size)).frames - 0.0 - colour_cine).max()
        > 30
    )


def test_jpeg_2000(write_dicom: Write, colour_cine: np.ndarray, grey_cine: np.ndarray) -> None:
    size = {"Rows": 48, "Columns": 64}
    exact = pil_frames(colour_cine, format="JPEG2000", no_jp2=True, irreversible=False, mct=1)
    assert_reads(write_dicom(encapsulate(exact), "YBR_RCT", "j2k_lossless", SamplesPerPixel=3, **size), colour_cine)
    close = pil_frames(colour_cine, format="JPEG2000", no_jp2=True, irreversible=True, mct=1)
    assert_reads(write_dicom(encapsulate(close), "YBR_ICT", "j2k", SamplesPerPixel=3, **size), colour_cine, 3)
    plain = pil_frames(colour_cine, format="JPEG2000", no_jp2=True, irreversible=False, mct=0)
    assert_reads(write_dicom(encapsulate(plain), "RGB", "j2k_lossless", SamplesPerPixel=3, **size), colour_cine)
    grey = pil_frames(grey_cine, format="JPEG2000", no_jp2=True, irreversible=False)
    assert_reads(write_dicom(encapsulate(grey), "MONOCHROME2", "j2k_lossless", SamplesPerPixel=1, **size), grey_cine)
    wide = pil_frames(grey_cine.astype(np.uint16) * 257, format="JPEG2000", no_jp2=True, irreversible=False)
    path = write_dicom(
        encapsulate(wide), "MONOCHROME2", "j2k_lossless", SamplesPerPixel=1, BitsAllocated=16, BitsStored=16, **size
    )
    assert_reads(path, grey_cine)


def test_video_in_dicom(write_dicom: Write, write_video: Write, colour_cine: np.ndarray) -> None:
    clip = write_video(colour_cine, "a.mp4", "libx264", "yuv420p", {"crf": "5"}, rate=20)
    stream = clip.read_bytes()
    fragments = encapsulate([stream[:1000], stream[1000:]], has_bot=False)
    path = write_dicom(fragments, "YBR_PARTIAL_420", "h264", SamplesPerPixel=3, Rows=48, Columns=64)
    np.testing.assert_array_equal(read_cine(path).frames, read_cine(clip).frames)
    np.testing.assert_allclose(read_cine(path).meta["frame_times"], np.arange(5) / 20)


@pytest.mark.parametrize("declared", ["", 1, 3, 9])
def test_number_of_frames_is_judged_by_the_pixels(
    write_dicom: Write, colour_cine: np.ndarray, declared: int | str
) -> None:
    coded = encapsulate(pil_frames(colour_cine, format="JPEG2000", no_jp2=True, irreversible=False))
    size = {"Rows": 48, "Columns": 64, "SamplesPerPixel": 3, "NumberOfFrames": declared}
    for path in (
        write_dicom(colour_cine, "RGB", NumberOfFrames=declared),
        write_dicom(coded, "YBR_RCT", "j2k_lossless", name="b.dcm", **size),
    ):
        if declared:
            with pytest.warns(UserWarning, match=f"NumberOfFrames says {declared}, the pixel data hold 5"):
                cine = read_cine(path)
        else:
            cine = read_cine(path)
        np.testing.assert_array_equal(cine.frames, colour_cine)
        assert cine.meta["n_frames"] == 5


def test_cut_pixel_data_give_the_frames_that_are_whole(write_dicom: Write, grey_cine: np.ndarray) -> None:
    size = {"Rows": 48, "Columns": 64, "SamplesPerPixel": 1, "NumberOfFrames": 5}
    path = write_dicom(grey_cine.tobytes()[:-100], "MONOCHROME2", **size)
    with pytest.warns(UserWarning, match="NumberOfFrames says 5, the pixel data hold 4"):
        assert_reads(path, grey_cine[:4])


def test_frames_in_several_fragments(write_dicom: Write, colour_cine: np.ndarray) -> None:
    coded = pil_frames(colour_cine, format="JPEG2000", no_jp2=True, irreversible=False)
    size = {"Rows": 48, "Columns": 64, "SamplesPerPixel": 3}
    for has_bot in (True, False):
        pixels = encapsulate(coded, fragments_per_frame=3, has_bot=has_bot)
        assert_reads(write_dicom(pixels, "YBR_RCT", "j2k_lossless", **size), colour_cine)


def test_no_identity_in_meta(write_dicom: Write, grey_cine: np.ndarray) -> None:
    meta = read_cine(write_dicom(grey_cine, "MONOCHROME2", FrameTime=40)).meta
    assert set(meta) == {
        *("filename_or_obj", "source_kind", "n_frames", "photometric_interpretation", "transfer_syntax", "frame_times")
    }
    assert "ecret" not in repr(meta) and "hidden" not in repr(meta)


def test_without_preamble(write_dicom: Write, grey_cine: np.ndarray) -> None:
    path = write_dicom(grey_cine, "MONOCHROME2", "implicit")
    data = path.read_bytes()
    bare = path.with_name("bare")
    bare.write_bytes(data[data.index(b"\x08\x00\x16\x00") :])  # from SOPClassUID on
    assert_reads(bare, grey_cine)


@pytest.mark.parametrize(
    ("pixels", "photometric", "syntax", "attributes", "message"),
    [
        (None, "RGB", "explicit", {"Rows": 4, "Columns": 4, "SamplesPerPixel": 3}, "without pixels"),
        (
            encapsulate([b"1234"]),
            "MONOCHROME2",
            "1.2.840.10008.1.2.4.92",
            {"Rows": 2, "Columns": 2, "SamplesPerPixel": 1},
            "1.2.4.92",
        ),
        (b"1234", "MONOCHROME2", "explicit", {"Rows": 9, "Columns": 9, "SamplesPerPixel": 1}, "4 bytes .* expected 81"),
        (b"1234", "HSV", "explicit", {"Rows": 1, "Columns": 1, "SamplesPerPixel": 3}, "as HSV"),
        (b"1234", "MONOCHROME2", "explicit", {"Rows": 2, "Columns": 2}, "no SamplesPerPixel"),
        (
            encapsulate([b"\xff\xd8\xff\xe0junk"]),
            "YBR_FULL",
            "jpeg",
            {"Rows": 2, "Columns": 2, "SamplesPerPixel": 3},
            "frame 0",
        ),
        (
            encapsulate(pil_frames(np.zeros((1, 8, 8, 1), np.uint8), format="JPEG")),
            "YBR_FULL",
            "jpeg",
            {"Rows": 8, "Columns": 8, "SamplesPerPixel": 3},
            "three samples",
        ),
    ],
)
def test_errors(
    write_dicom: Write, pixels: Any, photometric: str, syntax: str, attributes: dict[str, Any], message: str
) -> None:
    path = write_dicom(pixels, photometric, syntax, **attributes)
    with pytest.raises(InputError, match=message) as caught:
        read_cine(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
