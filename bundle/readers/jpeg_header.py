# SPDX-License-Identifier: Apache-2.0
"""What a JPEG or JPEG-LS stream says of its picture, before any decoder sees it (ITU-T T.81 annex B, T.87 annex C)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LOSSLESS = 0xC3
"""Frame marker SOF3."""
_NOT_FRAMES = (0xC4, 0xC8, 0xCC)  # DHT, JPG, DAC
_LS_FRAME = 0xF7  # SOF55
_ALONE = (0x01, *range(0xD0, 0xD9))  # TEM, RST0 to RST7, SOI: no length follows
_APPLICATION = range(0xE0, 0xF0)
END, SCAN = 0xD9, 0xDA
_RGB_MARK = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"  # APP14, no colour transform


@dataclass(frozen=True)
class JpegFrame:
    """A frame header: its marker, and the size of the picture."""

    marker: int
    bits: int
    rows: int
    columns: int
    samples: int


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, and where the parameters behind its length start and end, up to the end of the image or of the data.

    Of a scan the coded data come after its parameters; they are passed over.
    """
    position = 0
    while (position := data.find(b"\xff", position)) >= 0 and position + 1 < len(data):
        marker = data[position + 1]
        position += 1 if marker == 0xFF else 2
        if marker == END:
            return
        if marker in _ALONE or marker in (0x00, 0xFF):
            continue
        end = position + int.from_bytes(data[position : position + 2], "big")
        if end < position + 2 or end > len(data):
            raise ValueError("a JPEG segment that is cut")
        yield marker, position + 2, end
        position = end


def jpeg_frame(data: bytes) -> JpegFrame:
    """The first frame header.

    Raises:
        ValueError: when there is none.
    """
    for marker, start, end in jpeg_segments(data):
        if marker == SCAN:
            break
        if (0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES) or marker == _LS_FRAME:
            if end - start < 6:
                break
            rows, columns = (int.from_bytes(data[at : at + 2], "big") for at in (start + 1, start + 3))
            return JpegFrame(marker, data[start], rows, columns, data[start + 5])
    raise ValueError("no JPEG frame header")


def marked_rgb(data: bytes) -> bytes:
    """The stream with its application data replaced by the mark that says that nothing is to be converted."""
    parts, position = [data[:2], _RGB_MARK], 2
    for marker, start, end in jpeg_segments(data):
        if marker == SCAN:
            break
        if marker in _APPLICATION:
            parts.append(data[position : start - 4])
            position = end
    return b"".join([*parts, data[position:]])
