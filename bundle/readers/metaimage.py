# SPDX-License-Identifier: Apache-2.0
"""The header of a MetaImage file (.mha, .mhd), that of PLUS sequences (.igs.mha) among them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..errors import InputError
from .axes import axis_roles
from .sequence_header import TIME_KINDS, SequenceHeader, plus_times

_TYPES = {
    "MET_UCHAR": "u1",
    "MET_CHAR": "i1",
    "MET_USHORT": "u2",
    "MET_SHORT": "i2",
    **dict.fromkeys(("MET_UINT", "MET_ULONG"), "u4"),
    **dict.fromkeys(("MET_INT", "MET_LONG"), "i4"),
    "MET_ULONG_LONG": "u8",
    "MET_LONG_LONG": "i8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}


def metaimage_header(path: Path, start: bytes, time_axis: int | None) -> SequenceHeader:
    """Parse the header that ``start`` begins with.

    Raises:
        InputError: when a field lacks or cannot be used, or there is no plane of frames (`axis_roles`).
    """
    fields, end = _fields(path, start)
    try:
        sizes = [int(n) for n in fields["DimSize"].split()]
        kind = _TYPES[fields["ElementType"].removesuffix("_ARRAY")]
        channels = int(fields.get("ElementNumberOfChannels", 1))
        spacing = [float(s) for s in fields.get("ElementSpacing", fields.get("ElementSize", "")).split()]
        skip = int(fields.get("HeaderSize", 0))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: unusable or missing header field ({error}), expected DimSize and ElementType; export it again"
        ) from error
    kinds = fields.get("Kinds", "").lower().split()
    said = "".join("t" if kind in TIME_KINDS else "?" for kind in kinds) if len(kinds) == len(sizes) else ""
    roles = axis_roles(sizes, path, time_axis, said)
    data = fields["ElementDataFile"]
    local = data.upper() == "LOCAL"
    binary = _is_true(fields.get("BinaryData", "True"))
    several = data.split()[0].upper() == "LIST" or "%" in data
    big = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False"))
    header = SequenceHeader(
        sizes=[channels, *sizes],
        roles="c" + roles,
        dtype=np.dtype((">" if _is_true(big) else "<") + kind),
        data=path if local else path.parent / data,
        start=end if local else 0,
        skip=0 if local else skip,
        block="itk" if several or not binary else "zlib" if _is_true(fields.get("CompressedData", "")) else "raw",
        fields=fields,
        spacing=(spacing[roles.index("y")], spacing[roles.index("x")]) if len(spacing) == len(sizes) else None,
    )
    header.times = plus_times(fields, header.frame_count)
    return header


def _fields(path: Path, start: bytes) -> tuple[dict[str, str], int]:
    """The fields up to ElementDataFile, which is the last, and where the line ends."""
    fields: dict[str, str] = {}
    position = 0
    while not fields.get("ElementDataFile"):
        end = start.find(b"\n", position)
        if end < 0:
            raise InputError(f"{path}: found no ElementDataFile line, expected a MetaImage header; copy it again")
        name, *value = re.split(r"\s*[=:]\s*", start[position:end].decode("utf-8", "replace").strip(), maxsplit=1)
        fields[name] = "".join(value)
        position = end + 1
    return fields, position


def _is_true(value: str) -> bool:
    return value[:1] in ("t", "T", "1")
