# SPDX-License-Identifier: Apache-2.0
"""Lossless JPEG of up to 16 bits a sample (ITU-T T.81 annex H), which is what Pillow leaves out above 8 bits.

Not by GDCM, which ends the whole process on damaged streams of this kind, nor by FFmpeg, which takes a difference of
32768 (a picture of 16 bits that starts with black) for a longer code.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence

import numpy as np

from .jpeg_header import LOSSLESS, SCAN, jpeg_frame, jpeg_segments

_HUFFMAN, _RESTART_INTERVAL = 0xC4, 0xDD
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]", re.DOTALL)
_END_OF_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)
_FULL = 16  # the category of the difference 32768, without further bits


def decode_lossless_jpeg(data: bytes) -> np.ndarray:
    """``(H, W, C)`` uint16, values as stored: no colour is converted.

    Raises:
        ValueError: when the stream is damaged, or of a kind that is not lossless JPEG with equal sampling.
    """
    frame = jpeg_frame(data)
    if frame.marker != LOSSLESS or not 2 <= frame.bits <= 16 or not frame.samples:
        raise ValueError(f"no lossless JPEG (marker FF{frame.marker:02X}, {frame.bits} bits)")
    picture = np.zeros((frame.rows, frame.columns, frame.samples), np.uint16)
    tables: dict[int, array] = {}
    components: list[int] = []
    missing = set(range(frame.samples))
    interval = 0
    for marker, start, end in jpeg_segments(data):
        segment = data[start:end]
        if marker == LOSSLESS:
            components = _components(segment)
        elif marker == _HUFFMAN:
            tables.update(_huffman_tables(segment))
        elif marker == _RESTART_INTERVAL:
            interval = int.from_bytes(segment, "big")
        elif marker == SCAN:
            places, used, predictor, shift = _scan(segment, components, tables)
            stop = _END_OF_SCAN.search(data, end)
            coded = _RESTART.split(data[end : stop.start() if stop else len(data)])
            rows_each, left = divmod(interval, frame.columns) if interval else (frame.rows, 0)
            if left or len(coded) != -(-frame.rows // rows_each):
                raise ValueError("restart intervals that do not fit")
            for k, part in enumerate(coded):
                rows = slice(k * rows_each, min((k + 1) * rows_each, frame.rows))
                shape = (rows.stop - rows.start, frame.columns, len(places))
                differences = np.array(_differences(part, used, shape[0] * shape[1]), np.int64).reshape(shape)
                for at, place in enumerate(places):
                    first = 1 << (frame.bits - shift - 1)
                    picture[rows, :, place] = _predicted(differences[..., at], predictor, first) << shift
            missing -= set(places)
    if missing:
        raise ValueError("a scan is missing")
    return picture


def _components(segment: bytes) -> list[int]:
    """Identifiers in the order of the frame header."""
    if len(segment) < 6 + 3 * segment[5] or any(segment[7 + 3 * k] != 0x11 for k in range(segment[5])):
        raise ValueError("lossless JPEG with samples left out")
    return [segment[6 + 3 * k] for k in range(segment[5])]


def _scan(
    segment: bytes, components: Sequence[int], tables: dict[int, array]
) -> tuple[list[int], list[array], int, int]:
    """Places of the components of a scan, the table of each, predictor and point transform."""
    count = segment[0] if segment else 0
    if not count or len(segment) < 4 + 2 * count:
        raise ValueError("a scan header that is cut")
    chosen = [(segment[1 + 2 * k], segment[2 + 2 * k] >> 4) for k in range(count)]
    predictor, shift = segment[1 + 2 * count], segment[3 + 2 * count] & 15
    if not 1 <= predictor <= 7 or any(name not in components or table not in tables for name, table in chosen):
        raise ValueError("a scan header without sense")
    return [components.index(name) for name, _ in chosen], [tables[table] for _, table in chosen], predictor, shift


def _huffman_tables(segment: bytes) -> dict[int, array]:
    """For each table, by the 16 bits that come: length of the code they begin with, times 32, plus its category."""
    tables, position = {}, 0
    while position + 17 <= len(segment):
        counts = segment[position + 1 : position + 17]
        values = segment[position + 17 : position + 17 + sum(counts)]
        entries: list[int] = []
        at = 0
        for length, count in enumerate(counts, start=1):
            for value in values[at : at + count]:
                entries += [length << 5 | value] * (1 << (16 - length))
            at += count
        if len(values) < sum(counts) or len(entries) > 1 << 16 or max(values, default=0) > _FULL:
            raise ValueError("a Huffman table without sense")
        tables[segment[position] & 15] = array("H", entries + [0] * ((1 << 16) - len(entries)))
        position += 17 + sum(counts)
    return tables


def _differences(coded: bytes, tables: Sequence[array], count: int) -> list[int]:
    """``count`` differences of each component, interleaved."""
    plain = coded.replace(b"\xff\x00", b"\xff")
    data = np.frombuffer(plain + b"\0" * 8, np.uint8).astype(np.uint32)
    words = array("I", (data[:-3] << 24 | data[1:-2] << 16 | data[2:-1] << 8 | data[3:]).tobytes())  # at each byte
    found: list[int] = []
    position, end = 0, 8 * len(plain)
    for table in list(tables) * count:
        if position > end:
            break
        entry = table[words[position >> 3] >> (16 - (position & 7)) & 0xFFFF]
        if not entry:
            raise ValueError("a code that is in no table")
        position += entry >> 5
        size = entry & 31
        if size == _FULL:
            found.append(1 << 15)
        elif size:
            bits = words[position >> 3] >> (32 - size - (position & 7)) & ((1 << size) - 1)
            position += size
            found.append(bits if bits >> (size - 1) else bits - (1 << size) + 1)
        else:
            found.append(0)
    if position > end:
        raise ValueError("the coded data end too early")
    return found


def _predicted(differences: np.ndarray, predictor: int, first: int) -> np.ndarray:
    """T.81 table H.1 undone row by row, modulo 65536; the first row from the left, first columns from above."""
    picture = np.empty(differences.shape, np.uint16)
    above = np.zeros(0, np.int64)
    for y, steps in enumerate(differences):
        row = np.empty(len(steps), np.int64)
        row[0] = steps[0] + (above[0] if y else first)
        rest, rise = steps[1:], np.diff(above)
        if y == 0 or predictor == 1:
            row[1:] = row[0] + np.cumsum(rest)
        elif predictor == 2:
            row[1:] = above[1:] + rest
        elif predictor == 3:
            row[1:] = above[:-1] + rest
        elif predictor in (4, 5):
            row[1:] = row[0] + np.cumsum((rise if predictor == 4 else rise >> 1) + rest)
        else:
            left = int(row[0]) & 0xFFFF
            for x, (step, up, corner) in enumerate(
                zip(rest.tolist(), above[1:].tolist(), above.tolist(), strict=False)
            ):
                guess = up + ((left - corner) >> 1) if predictor == 6 else (left + up) >> 1
                left = (guess + step) & 0xFFFF
                row[1 + x] = left
        above = row & 0xFFFF
        picture[y] = above
    return picture
