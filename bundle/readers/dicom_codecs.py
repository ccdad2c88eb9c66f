# SPDX-License-Identifier: Apache-2.0
"""The decoder of each DICOM transfer syntax."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np

from .dicom_fragments import RLE
from .dicom_layout import Layout
from .dicom_native import NATIVE, native_values
from .jpeg_header import LOSSLESS, jpeg_frame, marked_rgb
from .jpeg_lossless import decode_lossless_jpeg

Decoder = Callable[[bytes, Layout], tuple[np.ndarray, bool]]
"""The bytes of one frame -> stored values ``(H, W)`` or ``(H, W, C)``, and whether they are RGB already."""


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

    Not by pydicom: its frame decoder is private, another one in each version, and far slower than Pillow's unpacking.
    """
    count, *starts = struct.unpack_from("<16I", data)
    width, pixels = layout.allocated // 8, layout.rows * layout.columns
    if count != layout.samples * width:
        raise ValueError(f"{count} segments where {layout.samples * width} are needed")
    planes = np.empty((layout.samples, width, pixels), np.uint8)
    for k, (start, end) in enumerate(zip(starts, [*starts[1:count], len(data)], strict=False)):
        planes[k // width, width - 1 - k % width] = _unpacked(data[start:end], pixels)
    values = np.ascontiguousarray(planes.transpose(2, 0, 1)).view(f"<u{width}")
    return values.reshape(layout.rows, layout.columns, layout.samples), False


def _unpacked(segment: bytes, size: int) -> np.ndarray:
    from PIL import Image

    if len(segment) * 64 < size:  # two bytes stand for 128 at most: nothing is allocated for less
        raise ValueError("a segment that is too short")
    return np.asarray(Image.frombytes("L", (size, 1), segment, "packbits", "L"))[0]


def _jpeg(data: bytes, layout: Layout) -> tuple[np.ndarray, bool]:
    """By what the stream is, since writers mix up the names: Pillow decodes 8 bits, lossless or not."""
    frame = jpeg_frame(data)
    layout.check_size(frame.columns, frame.rows)
    lossless = frame.marker == LOSSLESS
    if frame.bits != 8:
        decode = decode_lossless_jpeg if lossless else _jpeg_of_12_bits
        return decode(data), False
    from PIL import Image, JpegImagePlugin

    with Image.open(io.BytesIO(marked_rgb(data) if lossless else data), formats=("JPEG",)) as image:
        # An Adobe or JFIF marker says how colour is stored, and the decoder heeds it. Without one it takes YCbCr for
        # granted, while DICOM allows RGB. But some writers say RGB of YCbCr: RGB has no coarser samples.
        marked = "adobe_transform" in image.info or "jfif" in image.info
        if image.mode == "RGB" and layout.photometric == "RGB" and not marked:
            if JpegImagePlugin.get_sampling(image) in (-1, 0):
                image.draft("YCbCr", image.size)  # no conversion
        return np.asarray(image), not lossless


def _jpeg_of_12_bits(data: bytes) -> np.ndarray:
    """Extended JPEG (process 4) by FFmpeg, which hands out the values in the upper bits of 16."""
    import av

    _check_end(data)  # the decoder makes up what is missing
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    pictures = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    if len(pictures) != 1 or pictures[0].format.name != "gray16le" or pictures[0].is_corrupt:
        raise ValueError("no whole grey picture of 12 bits in it")
    (plane,) = pictures[0].planes
    return np.frombuffer(bytes(plane), "<u2").reshape(plane.height, -1)[:, : plane.width] >> 4


def _jpeg_2000(data: bytes, layout: Layout) -> tuple[np.ndarray, bool]:
    import openjpeg

    said = openjpeg.get_parameters(data)
    layout.check_size(int(said["columns"]), int(said["rows"]))
    return openjpeg.decode(data), False


def _jpeg_ls(data: bytes, layout: Layout) -> tuple[np.ndarray, bool]:
    import jpeg_ls

    frame = jpeg_frame(data)
    layout.check_size(frame.columns, frame.rows)
    _check_end(data)  # the decoder does not tell
    return jpeg_ls.decode(np.frombuffer(data, np.uint8)), False


def _check_end(data: bytes) -> None:
    if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ValueError("its end is missing")
