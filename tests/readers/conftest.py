# SPDX-License-Identifier: Apache-2.0
"""One synthetic cine and the means to store it, shared by the reader tests."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SYNTAX = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": "1.2.840.10008.1.2.1",
    "deflated": "1.2.840.10008.1.2.1.99",
    "big": "1.2.840.10008.1.2.2",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg": "1.2.840.10008.1.2.4.50",
    "jpeg_extended": "1.2.840.10008.1.2.4.51",
    "jpeg_lossless_57": "1.2.840.10008.1.2.4.57",
    "jpeg_lossless": "1.2.840.10008.1.2.4.70",
    "jpeg_ls": "1.2.840.10008.1.2.4.80",
    "jpeg_ls_near": "1.2.840.10008.1.2.4.81",
    "j2k_lossless": "1.2.840.10008.1.2.4.90",
    "j2k": "1.2.840.10008.1.2.4.91",
    "h264": "1.2.840.10008.1.2.4.102",
}


@pytest.fixture(scope="session")
def colour_cine() -> np.ndarray:
    """``(T, H, W, 3)`` uint8 with T, H, W all different: smooth, no symmetry, each frame another."""
    t, y, x = np.meshgrid(np.arange(5), np.arange(48), np.arange(64), indexing="ij")
    red = 40 + 2 * x + 10 * t
    green = 200 - 3 * y + 5 * t
    blue = 60 + 2 * y + x - 8 * t
    return np.stack([red, green, blue], axis=-1).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def grey_cine(colour_cine: np.ndarray) -> np.ndarray:
    """``(T, H, W, 1)`` uint8."""
    return colour_cine[..., :1].copy()


@pytest.fixture(scope="session")
def sector_cine() -> np.ndarray:
    """``(T, H, W, 3)`` uint8: a grainy sector with a coloured patch; of whole numbers, so the same everywhere."""
    t, y, x = np.meshgrid(np.arange(5), np.arange(46), np.arange(62), indexing="ij")
    grain = (x * 7919 + y * 104729 + t * 1299709) ** 2 % 10007 % 64
    inside = np.abs(x - 31) * 3 < 2 * y + 30
    grey = (180 - 3 * y + 10 * t + grain) * inside
    flow = inside & ((x - 40) ** 2 + (y - 25) ** 2 < 60)
    colours = [grey + 60 * flow, grey - 40 * flow * (t + 1), grey + 4 * x * flow]
    return np.stack(colours, axis=-1).clip(0, 255).astype(np.uint8)


@pytest.fixture
def write_dicom(tmp_path: Path) -> Callable[..., Path]:
    """``write(frames or bytes, photometric, syntax name, **attributes)`` -> path of an ultrasound DICOM file."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, generate_uid

    def write(
        pixels: Any, photometric: str, syntax: str = "explicit", *, name: str = "a.dcm", **attributes: Any
    ) -> Path:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = UID(SYNTAX.get(syntax, syntax))
        meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.3.1")
        meta.MediaStorageSOPInstanceUID = generate_uid()
        path = tmp_path / name
        implicit, little = syntax == "implicit", syntax != "big"
        dataset = FileDataset(str(path), {}, b"\0" * 128, meta, is_implicit_VR=implicit, is_little_endian=little)
        dataset.SOPClassUID = meta.MediaStorageSOPClassUID
        dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        dataset.PatientName = "Secret^Name"
        dataset.PatientID = "hidden-7"
        dataset.Modality = "US"
        bits = 8
        if isinstance(pixels, np.ndarray):
            bits = 8 * pixels.itemsize
            dataset.NumberOfFrames, dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = pixels.shape
            stored = pixels.astype(pixels.dtype.newbyteorder(">")) if syntax == "big" else pixels
            if attributes.get("PlanarConfiguration") == 1:
                stored = stored.transpose(0, 3, 1, 2)
            pixels = stored.tobytes()
        dataset.PhotometricInterpretation = photometric
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (
            bits,
            bits,
            bits - 1,
            0,
        )
        if getattr(dataset, "SamplesPerPixel", 1) > 1:
            dataset.PlanarConfiguration = 0
        for key, value in attributes.items():
            setattr(dataset, key, value)
        if "HighBit" not in attributes:
            dataset.HighBit = dataset.BitsStored - 1
        if pixels is not None:
            dataset.PixelData = pixels + b"\0" * (len(pixels) % 2)
            dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
            dataset["PixelData"].is_undefined_length = syntax not in ("implicit", "explicit", "big", "deflated")
        dataset.save_as(str(path))
        return path

    return write


@pytest.fixture
def encode(write_dicom: Callable[..., Path]) -> Callable[..., list[bytes]]:
    """``encode(frames (T, H, W, C), syntax name, stored bits, JPEG subsampling)`` -> the bytes of each frame.

    JPEG by Pillow (RGB becomes YCbCr, or stays as it is with subsampling None), lossless JPEG by GDCM, JPEG-LS and JPEG
    2000 by the encoders of the libraries that decode them, RLE by hand.
    """

    def encoded(frames: np.ndarray, syntax: str, stored: int = 8, subsampling: int | None = 0) -> list[bytes]:
        if syntax in ("jpeg_lossless", "jpeg_lossless_57"):
            return _by_gdcm(write_dicom, frames, syntax, stored)
        return [_encoded(np.ascontiguousarray(frame), syntax, stored, subsampling) for frame in frames]

    return encoded


def _encoded(picture: np.ndarray, syntax: str, stored: int, subsampling: int | None) -> bytes:
    flat = picture[..., 0] if picture.shape[2] == 1 else picture
    if syntax == "rle":
        return _rle(picture)
    if syntax in ("jpeg", "jpeg_extended"):
        from PIL import Image

        buffer, kept = io.BytesIO(), {"keep_rgb": True} if subsampling is None else {"subsampling": subsampling}
        Image.fromarray(flat).save(buffer, format="JPEG", quality=98, **(kept if flat.ndim == 3 else {}))
        coded = buffer.getvalue()  # extended with 8 bits differs from baseline by its name alone
        return coded.replace(b"\xff\xc0", b"\xff\xc1") if syntax == "jpeg_extended" else coded
    if syntax in ("jpeg_ls", "jpeg_ls_near"):
        import jpeg_ls

        pattern = flat.view(f"u{flat.itemsize}") & (1 << stored) - 1
        return bytes(jpeg_ls.encode_array(pattern, lossy_error=2 if syntax == "jpeg_ls_near" else 0))
    from openjpeg.utils import encode_array

    colour = 1 if flat.ndim == 3 else 2
    lossy = {"signal_noise_ratios": [45]} if syntax == "j2k" else {}
    return encode_array(flat, bits_stored=stored, photometric_interpretation=colour, **lossy)


def _rle(picture: np.ndarray) -> bytes:
    """PS3.5 G: a segment for each byte of each sample, most significant first; runs of at least 3 are packed."""
    planes = picture.view(np.uint8).reshape(*picture.shape, -1)[..., ::-1]
    segments = []
    for plane in planes.transpose(2, 3, 0, 1).reshape(-1, picture.shape[0] * picture.shape[1]):
        packed, literal = bytearray(), b""
        equal = np.split(plane, np.flatnonzero(np.diff(plane)) + 1)
        for run in (part for pixels in equal for part in np.split(pixels, range(128, len(pixels), 128))):
            literal += b"" if len(run) > 2 else run.tobytes()
            while len(literal) > 128 or (literal and len(run) > 2):
                packed += bytes([len(literal[:128]) - 1]) + literal[:128]
                literal = literal[128:]
            if len(run) > 2:
                packed += bytes([257 - len(run), run[0]])
        packed += bytes([len(literal) - 1]) + literal if literal else b""
        segments.append(bytes(packed) + b"\0" * (len(packed) % 2))
    starts = np.cumsum([64, *map(len, segments)])[:-1]
    header = np.zeros(16, "<u4")
    header[: len(segments) + 1] = [len(segments), *starts]
    return header.tobytes() + b"".join(segments)


def _by_gdcm(write_dicom: Callable[..., Path], frames: np.ndarray, syntax: str, stored: int) -> list[bytes]:
    """Lossless JPEG: a file converted by GDCM, its frames taken out again."""
    import gdcm
    import pydicom

    signed = int(frames.dtype.kind == "i")
    photometric = "RGB" if frames.shape[3] == 3 else "MONOCHROME2"
    path = write_dicom(frames, photometric, name="gdcm.dcm", BitsStored=stored, PixelRepresentation=signed)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(SYNTAX[syntax])))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write()
    data, fragments, position = pydicom.dcmread(path).PixelData, [], 0
    while position + 8 <= len(data) and data[position : position + 4] == b"\xfe\xff\x00\xe0":
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        fragments.append(data[position + 8 : position + 8 + length])
        position += 8 + length
    assert len(fragments) == 1 + len(frames)
    return fragments[1:]


@pytest.fixture
def write_video(tmp_path: Path) -> Callable[..., Path]:
    """``write(frames (T, H, W, 3), name, codec, pix_fmt, options, rate)`` -> path of a video written by PyAV.

    ``stamps``: milliseconds at which the frames are shown; ``muxer``: options of the container.
    """
    import av

    def write(
        frames: np.ndarray,
        name: str,
        codec: str,
        pix_fmt: str,
        options: dict[str, str] | None = None,
        rate: int = 20,
        source: str = "rgb24",
        stamps: Sequence[int] | None = None,
        muxer: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=muxer or {}) as container:
            stream = container.add_stream(codec, rate, options=options or {})
            stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pix_fmt
            if stamps is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            for k, picture in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=source)
                if stamps is not None:
                    frame.pts, frame.time_base = stamps[k], Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write
