# SPDX-License-Identifier: Apache-2.0
"""MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr) sequences, those of PLUS and 3D Slicer among them.

The two headers are plain text and the pixels raw or zlib-compressed, so they are read here directly. ITK refuses an
NRRD axis of kind "list", which is how PLUS and Slicer store time.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .base import Cine, chosen_frames, to_uint8

_META_TYPES = {
    "MET_UCHAR": "u1",
    "MET_CHAR": "i1",
    "MET_USHORT": "u2",
    "MET_SHORT": "i2",
    "MET_UINT": "u4",
    "MET_INT": "i4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_NRRD_TYPES = {
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **{"float": "f4", "double": "f8"},
}
_COLOUR_KINDS = ("vector", "rgb-color", "3-color", "rgba-color", "4-color", "scalar", "stub")
_TIME_KINDS = ("list", "time")
_MAX_HEADER = 16 * 2**20  # PLUS writes about 1 kB a frame


@dataclass
class _Header:
    """What both formats say. Axes are fastest first; ``roles`` has one letter each of x, y, t, c, and z of size 1."""

    sizes: list[int]
    roles: str
    dtype: np.dtype
    data: Path
    offset: int  # negative: the pixels are the last bytes of the file
    compressed: bool
    fields: dict[str, str]
    spacing: tuple[float, float] | None = None
    times: np.ndarray | None = field(default=None)


def read_sequence(path: Path, frames: Sequence[int] | None = None) -> Cine:
    """A MetaImage or NRRD file as a cine: x runs right, y down, the third axis (or the NRRD "list" axis) is time.

    Times are PLUS's ``Seq_FrameNNNN_Timestamp`` fields, or Slicer's index values when their unit is s or ms. A spacing
    of exactly 1 x 1 is what both programs write without calibration and counts as unknown. PLUS images whose
    ``UltrasoundImageOrientation`` starts with U (x runs to the unmarked side) or has N second (y runs to the probe) are
    flipped to MF. Uncompressed pixels are memory-mapped. Grey levels by `to_uint8`.

    Raises:
        InputError: when the header lacks a field, the pixels are too few or stored in an unsupported way, or the image
            is a volume over time.
    """
    with path.open("rb") as file:
        start = file.read(_MAX_HEADER)
    header = _nrrd_header(path, start) if start.startswith(b"NRRD") else _meta_header(path, start)
    values = _pixels(path, header).reshape(header.sizes[::-1])
    names = header.roles[::-1]  # numpy's axes are slowest first
    values = np.squeeze(values, axis=tuple(k for k, name in enumerate(names) if name == "z"))
    names = names.replace("z", "")
    for missing in (name for name in "tc" if name not in names):
        values, names = values[..., None], names + missing
    values = values.transpose([names.index(name) for name in "tyxc"])
    if values.shape[-1] == 4:
        values = values[..., :3]
    if values.shape[-1] not in (1, 3) or 0 in values.shape:
        raise InputError(f"{path}: found sizes {header.sizes}, expected grey or RGB frames; export it as such")

    wanted = chosen_frames(len(values), frames, path)
    picked = values[wanted] if values.dtype == np.uint8 else to_uint8(values, path)[wanted]
    orientation = header.fields.get("UltrasoundImageOrientation", "MF")
    rows, columns = -1 if orientation[1:2] == "N" else 1, -1 if orientation[:1] == "U" else 1
    meta: dict[str, Any] = {"filename_or_obj": str(path), "source_kind": "sequence", "n_frames": len(values)}
    times = _plus_times(header.fields, len(values)) if header.times is None else header.times
    if times is not None and len(times) == len(values):
        meta["frame_times"] = (times - times[0])[wanted]
    if header.spacing is not None and header.spacing != (1.0, 1.0) and min(header.spacing) > 0:
        meta["spacing"] = header.spacing
    return Cine(np.ascontiguousarray(picked[:, ::rows, ::columns]), meta)


def _meta_header(path: Path, start: bytes) -> _Header:
    fields: dict[str, str] = {}
    position = 0
    while "ElementDataFile" not in fields:
        end = start.find(b"\n", position)
        if end < 0:
            raise InputError(f"{path}: found no ElementDataFile line, expected a MetaImage header; copy it again")
        name, _, value = start[position:end].decode("utf-8", "replace").partition("=")
        fields[name.strip()] = value.strip()
        position = end + 1
    try:
        sizes = [int(n) for n in fields["DimSize"].split()]
        kind = _META_TYPES[fields["ElementType"].removesuffix("_ARRAY")]
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: unusable or missing header field ({error}), expected DimSize and ElementType; export it again"
        ) from error
    channels = int(fields.get("ElementNumberOfChannels", 1))
    big = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")).lower() == "true"
    spacing = [float(s) for s in fields.get("ElementSpacing", fields.get("ElementSize", "")).split()]
    local = fields["ElementDataFile"].upper() == "LOCAL"
    if fields["ElementDataFile"].split(" ")[0].upper() == "LIST" or fields.get("BinaryData", "True").lower() != "true":
        raise InputError(
            f"{path}: found pixels as text or in a list of files, expected one binary block; save it as .mha"
        )
    return _Header(
        sizes=[channels, *sizes],
        roles="c" + _space_and_time(path, sizes),
        dtype=np.dtype((">" if big else "<") + kind),
        data=path if local else path.parent / fields["ElementDataFile"],
        offset=position if local else int(fields.get("HeaderSize", 0)),
        compressed=fields.get("CompressedData", "False").lower() == "true",
        fields=fields,
        spacing=(spacing[1], spacing[0]) if len(spacing) > 1 else None,
    )


def _space_and_time(path: Path, sizes: Sequence[int]) -> str:
    """Roles of axes without names: x, y, then time, which may come before or after an axis of size 1."""
    rest = list(sizes[2:])
    if len(sizes) < 2 or sum(n > 1 for n in rest) > 1:
        raise InputError(
            f"{path}: found sizes {list(sizes)}, expected columns, rows and frames; split the volumes into slices"
        )
    time = next((k for k, n in enumerate(rest) if n > 1), 0)
    return "xy" + "".join("t" if k == time else "z" for k in range(len(rest)))


def _nrrd_header(path: Path, start: bytes) -> _Header:
    found = re.search(rb"\r?\n\r?\n", start)
    text = start[: found.start()] if found else start  # a detached header may end with the file
    fields: dict[str, str] = {}
    for line in text.decode("utf-8", "replace").splitlines()[1:]:
        key, mark, value = line.partition(":")
        if mark and not line.startswith("#"):
            fields[key.strip() if value.startswith("=") else key.strip().lower()] = value.removeprefix("=").strip()
    detached = fields.get("data file", fields.get("datafile"))
    try:
        sizes = [int(n) for n in fields["sizes"].split()]
        dtype = np.dtype((">" if fields.get("endian", "little") == "big" else "<") + _NRRD_TYPES[fields["type"]])
        compressed = {"raw": False, "gzip": True, "gz": True}[fields["encoding"]]
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: unusable or missing NRRD field ({error}), expected sizes, a number type, and encoding raw or "
            "gzip; export it again"
        ) from error
    if fields.get("line skip", "0") != "0" or (detached or "").split(" ")[0] == "LIST":
        raise InputError(
            f"{path}: found pixels after a line skip or in a list of files, expected one block; save it as .nrrd"
        )
    roles = _nrrd_roles(path, sizes, fields.get("kinds", "").lower().split())
    skip = int(fields.get("byte skip", 0))
    return _Header(
        sizes=sizes,
        roles=roles,
        dtype=dtype,
        data=path.parent / detached if detached else path,
        offset=skip if detached or skip < 0 else (found.end() if found else len(start)) + skip,
        compressed=compressed,
        fields=fields,
        spacing=_nrrd_spacing(fields, roles),
        times=_slicer_times(fields, roles),
    )


def _nrrd_roles(path: Path, sizes: Sequence[int], kinds: Sequence[str]) -> str:
    roles = ["c" if k in _COLOUR_KINDS else "t" if k in _TIME_KINDS else "?" for k in kinds or [""] * len(sizes)]
    space = [sizes[k] for k, role in enumerate(roles) if role == "?"]
    if len(roles) != len(sizes) or roles.count("t") > 1 or roles.count("c") > 1:
        raise InputError(
            f"{path}: found kinds {list(kinds)} for sizes {list(sizes)}, expected two axes of space and one of time"
        )
    named = iter(_space_and_time(path, space if "t" not in roles else space[:2]))
    filled = [role if role != "?" else next(named, "z") for role in roles]
    if any(role == "z" and sizes[k] != 1 for k, role in enumerate(filled)):
        raise InputError(
            f"{path}: found volumes over time (sizes {list(sizes)}), expected frames; split them into slices"
        )
    return "".join(filled)


def _nrrd_spacing(fields: dict[str, str], roles: str) -> tuple[float, float] | None:
    """``(row, col)`` from "spacings" or the lengths of "space directions"."""
    lengths: list[float]
    if "space directions" in fields:
        vectors = re.findall(r"none|\([^)]*\)", fields["space directions"])
        lengths = [
            0.0 if v == "none" else float(np.linalg.norm([float(n) for n in v[1:-1].split(",")])) for v in vectors
        ]
    else:
        lengths = [float(s) for s in fields.get("spacings", "").lower().split()]
    if (
        len(lengths) != len(roles)
        or not np.isfinite(found := (lengths[roles.index("y")], lengths[roles.index("x")])).all()
    ):
        return None
    return found


def _slicer_times(fields: dict[str, str], roles: str) -> np.ndarray | None:
    """Slicer's index values in seconds, if the unit of the sequence's axis is one of time."""
    axis = roles.find("t")
    units = re.findall(r'"([^"]*)"', fields.get("units", ""))
    scale = {"s": 1.0, "ms": 1e-3}.get(units[axis] if 0 <= axis < len(units) else "")
    try:
        return np.array([float(v) * scale for v in fields[f"axis {axis} index values"].split()]) if scale else None
    except (KeyError, ValueError):
        return None


def _plus_times(fields: dict[str, str], count: int) -> np.ndarray | None:
    try:
        return np.array([float(fields[f"Seq_Frame{k:04d}_Timestamp"]) for k in range(count)])
    except (KeyError, ValueError):
        return None


def _pixels(path: Path, header: _Header) -> np.ndarray:
    """The pixel values, flat; mapped from the file when they are not compressed."""
    count = prod(header.sizes)
    need = count * header.dtype.itemsize
    try:
        if header.compressed:
            with header.data.open("rb") as file:
                file.seek(max(header.offset, 0))
                packed = file.read()
            # MetaImage writes zlib, NRRD gzip; 32 + 15 takes either
            block = zlib.decompressobj(wbits=47).decompress(packed, need)
            size, offset = len(block), 0
        else:
            size, offset = header.data.stat().st_size, header.offset
    except (OSError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path}: its pixels cannot be read ({error}), expected {header.data.name} whole; copy it again"
        ) from error
    offset = size - need if offset < 0 else offset
    if offset < 0 or size - offset < need:
        raise InputError(f"{path}: found {size - max(offset, 0)} bytes of pixels, expected {need}; copy it again")
    if header.compressed:
        return np.frombuffer(block, header.dtype, count)
    return np.memmap(header.data, header.dtype, "r", offset, (count,))
