# SPDX-License-Identifier: Apache-2.0
"""One synthetic cine and the means to store it, shared by the reader tests."""

from __future__ import annotations

from collections.abc import Callable
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
    "jpeg_lossless": "1.2.840.10008.1.2.4.70",
    "jpeg_ls": "1.2.840.10008.1.2.4.80",
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
        if pixels is not None:
            dataset.PixelData = pixels + b"\0" * (len(pixels) % 2)
            dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
            dataset["PixelData"].is_undefined_length = meta.TransferSyntaxUID.is_compressed and syntax != "deflated"
        dataset.save_as(str(path))
        return path

    return write


@pytest.fixture
def write_video(tmp_path: Path) -> Callable[..., Path]:
    """``write(frames (T, H, W, 3), name, codec, pix_fmt, options, rate)`` -> path of a video written by PyAV."""
    import av

    def write(
        frames: np.ndarray,
        name: str,
        codec: str,
        pix_fmt: str,
        options: dict[str, str] | None = None,
        rate: int = 20,
        source: str = "rgb24",
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate, options=options or {})
            stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pix_fmt
            for picture in frames:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=source)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write
