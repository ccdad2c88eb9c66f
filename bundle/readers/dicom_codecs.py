# SPDX-License-Identifier: Apache-2.0
"""Encapsulated DICOM pixel data: where each frame's bytes are, and the decoder of each transfer syntax."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset

Decoder = Callable[[bytes, "Dataset"], tuple[np.ndarray, bool]]
"""The bytes of one frame -> stored values ``(H, W)`` or ``(H, W, C)``, and whether they are RGB already."""

_RLE = "1.2.840.10008.1.2.5"
_ITEM = 0xE000FFFE
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")
"""First bytes of a JPEG or JPEG-LS image, a JPEG 2000 codestream, a JPEG 2000 file."""


def decoder_of(syntax: str) -> Decoder | None:
    """The decoder for an encapsulated transfer syntax, None when there is none."""
    prefix = "1.2.840.10008.1.2.4."
    table: dict[str, Decoder] = {
        _RLE: _rle,
        **dict.fromkeys((prefix + "50", prefix + "51"), _jpeg),
        **dict.fromkeys((prefix + "57", prefix + "70"), _jpeg_lossless),
        **dict.fromkeys((prefix + "80", prefix + "81"), _jpeg_ls),
        **dict.fromkeys((prefix + n for n in ("90", "91", "201", "202", "203")), _jpeg_2000),
    }
    return table.get(syntax)


def fragments_of(pixel_data: bytes) -> list[bytes]:
    """The items of encapsulated pixel data but the first, which is the offset table (PS3.5 A.4)."""
    items, position = [], 0
    while position + 8 <= len(pixel_data):
        tag, length = struct.unpack_from("<II", pixel_data, position)
        if tag != _ITEM:
            break
        items.append(pixel_data[position + 8 : position + 8 + length])
        position += 8 + length
    return items[1:]


def frames_of(pixel_data: bytes, syntax: str) -> list[bytes]:
    """The bytes of each frame.

    RLE has one fragment a frame; of the others a frame starts with each fragment that starts an image. So neither the
    offset table nor NumberOfFrames is needed, both of which are wrong at times.
    """
    frames: list[list[bytes]] = []
    for fragment in fragments_of(pixel_data):
        if syntax == _RLE or fragment.startswith(_STARTS):
            frames.append([fragment])
        elif frames:
            frames[-1].append(fragment)
    return [b"".join(frame) for frame in frames]


def _rle(data: bytes, dataset: Dataset) -> tuple[np.ndarray, bool]:
    """PS3.5 G: up to 15 segments, one for each byte of each sample, most significant first, each packed bits."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    samples, width = int(dataset.SamplesPerPixel), int(dataset.BitsAllocated) // 8
    count, *offsets = struct.unpack_from("<16I", data)
    if count != samples * width:
        raise ValueError(f"{count} RLE segments where {samples * width} are needed")
    ends = [*offsets[1:count], len(data)]
    planes = [_unpack(data[a:b], rows * columns) for a, b in zip(offsets[:count], ends, strict=True)]
    stacked = np.stack(planes).reshape(samples, width, rows, columns)
    values = np.zeros((samples, rows, columns), np.uint16 if width > 1 else np.uint8)
    for k in range(width):
        values |= stacked[:, k].astype(values.dtype) << (8 * (width - 1 - k))
    return values.transpose(1, 2, 0), False


def _unpack(packed: bytes, length: int) -> np.ndarray:
    out = bytearray()
    position, end = 0, len(packed)
    while position < end - 1 and len(out) < length:
        code = packed[position]
        if code < 128:
            out += packed[position + 1 : position + code + 2]
            position += code + 2
        elif code > 128:
            out += packed[position + 1 : position + 2] * (257 - code)
            position += 2
        else:
            position += 1
    if len(out) < length:
        raise ValueError(f"{len(out)} bytes in an RLE segment where {length} are needed")
    return np.frombuffer(out, np.uint8, length)


def _jpeg(data: bytes, dataset: Dataset) -> tuple[np.ndarray, bool]:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        # An Adobe or JFIF marker says how colour is stored, and the decoder heeds it. Without one it takes YCbCr for
        # granted, while DICOM allows RGB.
        marked = "adobe_transform" in image.info or "jfif" in image.info
        if image.mode == "RGB" and not marked and dataset.PhotometricInterpretation == "RGB":
            image.draft("YCbCr", image.size)  # no conversion
        return np.array(image), True


def _jpeg_2000(data: bytes, dataset: Dataset) -> tuple[np.ndarray, bool]:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=("JPEG2000",)) as image:
        values = np.array(image)
    bits = (data[data.find(b"\xff\x4f\xff\x51") + 42] & 0x7F) + 1  # Ssiz of the first component
    if values.ndim == 2 and bits != 8 * values.itemsize:
        values = values >> (8 * values.itemsize - bits)  # the decoder fills 8 or 16 bits
    return values, False


def _jpeg_ls(data: bytes, dataset: Dataset) -> tuple[np.ndarray, bool]:
    import jpeg_ls

    return jpeg_ls.decode(np.frombuffer(data, np.uint8)), False


def _jpeg_lossless(data: bytes, dataset: Dataset) -> tuple[np.ndarray, bool]:
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(data)
    sequence = gdcm.SequenceOfFragments.New()
    sequence.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(sequence.__ref__())

    rows, columns, samples = int(dataset.Rows), int(dataset.Columns), int(dataset.SamplesPerPixel)
    allocated, stored = int(dataset.BitsAllocated), int(dataset.get("BitsStored") or dataset.BitsAllocated)
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(str(dataset.PhotometricInterpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    if samples > 1:
        image.SetPlanarConfiguration(int(dataset.get("PlanarConfiguration") or 0))
    syntax = gdcm.TransferSyntax.GetTSType(str(dataset.file_meta.TransferSyntaxUID))
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    signed = int(dataset.get("PixelRepresentation") or 0)
    image.SetPixelFormat(gdcm.PixelFormat(samples, allocated, stored, stored - 1, signed))
    flat = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), f"<u{allocated // 8}")
    return flat.reshape(rows, columns, samples), False
