# SPDX-License-Identifier: Apache-2.0
"""The header of an NRRD file (.nrrd, .nhdr), that of 3D Slicer's sequences (.seq.nrrd) among them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import InputError
from .axes import axis_roles
from .sequence_header import TIME_KINDS, SequenceHeader, plus_times

_TYPES = {
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), "i8"),
    **{"float": "f4", "double": "f8"},
}
_BLOCKS: dict[str, Literal["raw", "zlib"]] = {"raw": "raw", "gzip": "zlib", "gz": "zlib"}
_BY_ITK = ("ascii", "text", "txt", "hex", "bzip2", "bz2")
"""Encodings that are left to ITK, which ends the process when it meets one that it does not know."""
_SKIPS = ("byte skip", "line skip")
_CHANNEL_KINDS = ("vector", "rgb-color", "3-color", "rgba-color", "4-color", "scalar", "stub")


def nrrd_header(path: Path, start: bytes, time_axis: int | None) -> SequenceHeader:
    """Parse the header that ``start`` begins with.

    Raises:
        InputError: when a field lacks or cannot be used, or there is no plane of frames (`axis_roles`).
    """
    found = re.search(rb"\r?\n\r?\n", start)
    text = start[: found.start()] if found else start  # a detached header may end with the file
    fields: dict[str, str] = {}
    for line in text.decode("utf-8", "replace").splitlines()[1:]:
        key, mark, value = line.partition(":")
        if mark and not line.startswith("#"):
            fields[key.strip() if value.startswith("=") else key.strip().lower()] = value.removeprefix("=").strip()
    detached = fields.get("data file", fields.get("datafile", ""))
    try:
        sizes = [int(n) for n in fields["sizes"].split()]
        dtype = np.dtype((">" if fields.get("endian", "little").lower() == "big" else "<") + _TYPES[fields["type"]])
        encoding = fields["encoding"].lower()
        if encoding not in (*_BLOCKS, *_BY_ITK):
            raise ValueError(f"an encoding that is none of {', '.join((*_BLOCKS, *_BY_ITK))}")
        skip, line_skip = (int(fields.get(name, fields.get(name.replace(" ", ""), 0))) for name in _SKIPS)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: unusable or missing NRRD field ({error}), expected sizes, a number type and an encoding; "
            "export it again"
        ) from error
    roles = _roles(path, sizes, fields.get("kinds", "").lower().split(), time_axis)
    several = detached.split(" ")[0] == "LIST" or "%" in detached
    header = SequenceHeader(
        sizes=sizes,
        roles=roles,
        dtype=dtype,
        data=path.parent / detached if detached else path,
        start=0 if detached else found.end() if found else len(start),
        skip=skip,
        block="itk" if several or line_skip else _BLOCKS.get(encoding, "itk"),
        fields=fields,
        spacing=_spacing(fields, roles),
    )
    header.times = _slicer_times(fields, roles)
    if header.times is None:
        header.times = plus_times(fields, header.frame_count)
    return header


def _roles(path: Path, sizes: Sequence[int], kinds: Sequence[str], time_axis: int | None) -> str:
    if kinds and len(kinds) != len(sizes):
        raise InputError(
            f"{path}: found kinds {list(kinds)} for sizes {list(sizes)}, expected one each; export it again"
        )
    said = "".join("c" if kind in _CHANNEL_KINDS else "t" if kind in TIME_KINDS else "?" for kind in kinds)
    return axis_roles(sizes, path, time_axis, said)


def _spacing(fields: dict[str, str], roles: str) -> tuple[float, float] | None:
    """``(row, col)`` from "spacings" or the lengths of "space directions"."""
    try:
        if "space directions" in fields:
            vectors = re.findall(r"none|\([^)]*\)", fields["space directions"])
            lengths = [
                0.0 if v == "none" else float(np.linalg.norm([float(n) for n in v[1:-1].split(",")])) for v in vectors
            ]
        else:
            lengths = [float(s) for s in fields.get("spacings", "").lower().split()]
    except ValueError:
        return None
    if len(lengths) != len(roles):
        return None
    found = lengths[roles.index("y")], lengths[roles.index("x")]
    return found if np.isfinite(found).all() else None


def _slicer_times(fields: dict[str, str], roles: str) -> np.ndarray | None:
    """Slicer's index values in seconds, if the unit of the sequence's axis is one of time."""
    axis = roles.find("t")
    units = re.findall(r'"([^"]*)"', fields.get("units", ""))
    scale = {"s": 1.0, "ms": 1e-3}.get(units[axis] if 0 <= axis < len(units) else "")
    try:
        return np.array([float(v) * scale for v in fields[f"axis {axis} index values"].split()]) if scale else None
    except (KeyError, ValueError):
        return None
