# SPDX-License-Identifier: Apache-2.0
"""Where the frames of encapsulated DICOM pixel data lie: offset tables and fragments (PS3.5 A.4).

Only the headers of the fragments are read to find out, and of the fragments only those of the frames asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import IO

import numpy as np

from .dicom_header import PixelElement

RLE = "1.2.840.10008.1.2.5"
_ITEM, _DELIMITER = 0xE000FFFE, 0xE0DDFFFE
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")
"""First bytes of a JPEG or JPEG-LS image, a JPEG 2000 codestream, a JPEG 2000 file."""
_END = b"\xff\xd9"  # of any of these

Span = tuple[int, int]
"""Where the fragments of one frame start and end in the file, with their headers."""


class EncodedFrames:
    """Frame k is the bytes of one encoded picture.

    A frame starts with each fragment that starts a picture (of RLE with each fragment); the fragments after it are its
    rest. So neither NumberOfFrames nor an offset table is needed, both of which are wrong at times. A table, basic
    (the first item) or extended (7FE0,0001), saves walking through all fragments: it is used when it has the declared
    number of frames and a walk through the ``asked`` frames and the last one finds each where it says.

    Attributes:
        count: frames that are whole.
        damage: what is wrong with the end of the data, "" when nothing is.
    """

    def __init__(
        self,
        element: PixelElement,
        syntax: str,
        declared: int | None,
        extended: bytes | None,
        asked: Sequence[int] | None,
    ) -> None:
        self._file = element.file
        self._one_fragment = syntax == RLE
        self._defined_end = None if element.length is None else element.start + element.length
        self._file_end = element.file_end
        first, offsets = _offset_table(element)
        offsets = offsets or np.frombuffer((extended or b"")[: len(extended or b"") // 8 * 8], "<u8").tolist()
        found = self._by_table([first + offset for offset in offsets], first, declared, asked)
        if found is None:
            found, self.damage = self._walk(first, self._defined_end)
        else:
            self.damage = ""
        self._spans = found
        self.count = len(found)

    def __getitem__(self, k: int) -> bytes:
        begin, end = self._spans[k]
        self._file.seek(begin)
        return _joined(self._file.read(end - begin))

    def _by_table(
        self, starts: list[int], first: int, declared: int | None, asked: Sequence[int] | None
    ) -> list[Span] | None:
        """The spans as a table has them, None when it is not to be trusted."""
        in_order = starts[:1] == [first] and all(a < b for a, b in pairwise(starts))
        if not in_order or len(starts) != declared:
            return None
        last, damage = self._walk(starts[-1], self._defined_end)
        if damage or len(last) != 1:
            return None
        spans = [*pairwise(starts), last[0]]
        for k in range(declared) if asked is None else asked:
            if 0 <= k < declared and self._walk(*spans[k]) != ([spans[k]], ""):
                return None
        return spans

    def _walk(self, position: int, end: int | None) -> tuple[list[Span], str]:
        """The frames between two places (end None: up to the delimiter), and the damage that ended the walk."""
        spans: list[Span] = []
        while position != end:
            self._file.seek(position)
            head = self._file.read(8 + max(map(len, _STARTS)))
            tag, length = struct.unpack_from("<II", head) if len(head) >= 8 else (0, 0)
            if tag == _DELIMITER:
                break
            after = position + 8 + length
            if tag != _ITEM or after > self._file_end:
                whole = spans if not spans or self._is_whole(spans[-1]) else spans[:-1]
                return whole, "the file is cut" if after > self._file_end or not tag else "no fragment follows"
            if self._one_fragment or head[8:].startswith(_STARTS):
                spans.append((position, after))
            elif spans:
                spans[-1] = (spans[-1][0], after)
            position = after
        return spans, ""

    def _is_whole(self, span: Span) -> bool:
        self._file.seek(max(span[1] - 4, span[0]))
        return self._one_fragment or self._file.read(4).rstrip(b"\0").endswith(_END)


def stream_of(element: PixelElement) -> bytes:
    """All fragments joined, as a video has them; of a cut file what is there."""
    first, _ = _offset_table(element)
    element.file.seek(first)
    return _joined(element.file.read(-1 if element.length is None else element.start + element.length - first))


def _offset_table(element: PixelElement) -> tuple[int, list[int]]:
    """Where the first fragment is, and the offsets of the basic table from there."""
    file: IO[bytes] = element.file
    file.seek(element.start)
    head = file.read(8 + max(map(len, _STARTS)))
    tag, length = struct.unpack_from("<II", head) if len(head) >= 8 else (0, 0)
    after = element.start + 8 + length
    if tag != _ITEM or after > element.file_end or head[8:].startswith(_STARTS):
        return element.start, []  # left out by some writers
    file.seek(element.start + 8)
    return after, np.frombuffer(file.read(length // 4 * 4), "<u4").tolist()


def _joined(items: bytes) -> bytes:
    """The values of items that follow each other."""
    values, position = [], 0
    while position + 8 <= len(items):
        tag, length = struct.unpack_from("<II", items, position)
        if tag != _ITEM:
            break
        values.append(items[position + 8 : position + 8 + length])
        position += 8 + length
    return b"".join(values)
