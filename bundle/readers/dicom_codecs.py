# SPDX-License-Identifier: Apache-2.0
"""The decoder of each DICOM transfer syntax."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .dicom_fragments import RLE
from .dicom_layout import Layout
from .dicom_native import NATIVE, native_values

Decoder = Callable[[bytes, Layout], tuple[np.ndarray, bool]]
"""The bytes of one frame -> stored values ``(H, W)`` or ``(H, W, C)``, and whether they are RGB already."""

_JPEG_EXTENDED, _JPEG_LOSSLESS = "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57"
_LOSSLESS_FRAME = 0xC3  # SOF3


def decoder_of(syntax: str) -> Decoder | None:
    """The decoder for a transfer syntax, None when there is none."""
    prefix = "1.2.840.10008.1.2.4."
    table: dict[str, Decoder] = {
        **dict.fromkeys(NATIVE, native_values),
        RLE: _rle,
        **dict.fromkeys((prefix + n for n in ("50", "51", "57", "70")), _jpeg),
        **dict.fromkeys((prefix + n for n in ("80", "81")), _jpeg_ls),
        **dict.fromkeys((prefix + n for n in ("90", "91", "201", "202", "203")), _jpeg_2000),
    }
    return table.get(syntax)


def _rle(data: bytes, layout: Layout) -> tuple[np.ndarray, bool]:
    """PS3.5 G: segments of packed bits, one for each byte of each sample, most significant first.

    Not by pydicom: its frame decoder is private, another one in each version, and takes twice as long. GDCM mixes up
    the bytes of 16-bit colour, so that each sample is handed to it as a grey picture of its own.
    """
    count, *starts = struct.unpack_from("<16I", data)
    width = layout.allocated // 8
    if count != layout.samples * width:
        raise ValueError(f"{count} segments where {layout.samples * width} are needed")
    ends = [*starts[1:count], len(data)]
    planes = []
    for first in range(0, count, width):
        segments = [data[starts[k] : ends[k]] for k in range(first, first + width)]
        header = struct.pack("<16I", width, 64, 64 + len(segments[0]), *[0] * 13)
        planes.append(_by_gdcm(b"".join([header, *segments]), replace(layout, samples=1), RLE, layout.allocated))
    return np.concatenate(planes, axis=-1), False


def _jpeg(data: bytes, layout: Layout) -> tuple[np.ndarray, bool]:
    """By what the stream is: Pillow decodes neither lossless JPEG nor more than 8 bits."""
    kind, bits = _jpeg_kind(data)
    if kind == _LOSSLESS_FRAME or bits > 8:
        syntax = _JPEG_LOSSLESS if kind == _LOSSLESS_FRAME else _JPEG_EXTENDED
        return _by_gdcm(data, layout, syntax, bits), False
    from PIL import Image, JpegImagePlugin

    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        # An Adobe or JFIF marker says how colour is stored, and the decoder heeds it. Without one it takes YCbCr for
        # granted, while DICOM allows RGB. But some writers say RGB of YCbCr: RGB has no coarser samples.
        marked = "adobe_transform" in image.info or "jfif" in image.info
        if image.mode == "RGB" and layout.photometric == "RGB" and not marked:
            if JpegImagePlugin.get_sampling(image) in (-1, 0):
                image.draft("YCbCr", image.size)  # no conversion
        return np.asarray(image), True


def _jpeg_kind(data: bytes) -> tuple[int, int]:
    """The frame marker (ITU-T T.81 table B.1) and the bits a sample of a JPEG."""
    position = 2
    while position + 5 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker, data[position + 4]
        position += 1 if marker == 0xFF else 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise ValueError("no JPEG frame header")


def _jpeg_2000(data: bytes, layout: Layout) -> tuple[np.ndarray, bool]:
    import openjpeg

    return openjpeg.decode(data), False


def _jpeg_ls(data: bytes, layout: Layout) -> tuple[np.ndarray, bool]:
    import jpeg_ls

    if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ValueError("its end is missing")  # the decoder does not tell
    return jpeg_ls.decode(np.frombuffer(data, np.uint8)), False


def _by_gdcm(data: bytes, layout: Layout, syntax: str, bits: int) -> np.ndarray:
    """``bits``: of a sample in the stream."""
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(data)
    sequence = gdcm.SequenceOfFragments.New()
    sequence.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(sequence.__ref__())

    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((layout.columns, layout.rows, 1))
    image.SetDataElement(element)
    # grey or RGB whatever the file says, so that nothing is converted
    kind = gdcm.PhotometricInterpretation.RGB if layout.samples == 3 else gdcm.PhotometricInterpretation.MONOCHROME2
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    image.SetPixelFormat(gdcm.PixelFormat(layout.samples, layout.allocated, bits, bits - 1, 0))
    buffer = image.GetBuffer()
    if buffer is None:
        raise ValueError(f"no picture of {layout.columns} x {layout.rows} pixels in it")
    flat = np.frombuffer(buffer.encode("utf-8", "surrogateescape"), f"<u{layout.allocated // 8}")
    return flat.reshape(layout.rows, layout.columns, layout.samples)
