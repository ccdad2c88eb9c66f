# SPDX-License-Identifier: Apache-2.0
"""The pixels of a MetaImage or NRRD file.

Raw blocks are memory-mapped, zlib and gzip blocks inflated here; everything else (numbers as text, lists of files,
skipped lines) is left to ITK. So the usual files need no ITK, and the axes of kind "list", which ITK refuses, are read.
"""

from __future__ import annotations

import zlib
from math import prod
from pathlib import Path

import numpy as np

from ..errors import InputError
from .sequence_header import SequenceHeader


def sequence_pixels(path: Path, header: SequenceHeader) -> np.ndarray:
    """The numbers as stored, in numpy's axis order (the header's axes reversed).

    Raises:
        InputError: when the pixels are not there, too few, or stored in a way that ITK cannot read either.
    """
    if header.block == "itk":
        return _by_itk(path, header)
    count = prod(header.sizes)
    need = count * header.dtype.itemsize
    skip = header.skip
    try:
        if header.block == "zlib":
            with header.data.open("rb") as file:
                file.seek(header.start)
                # 32 + 15 takes the frame of zlib, which MetaImage writes, and that of gzip, which NRRD writes
                block = zlib.decompressobj(wbits=47).decompress(file.read(), max(skip, 0) + need)
            size = len(block)
        else:
            size = header.data.stat().st_size - header.start
    except (OSError, ValueError, OverflowError, zlib.error) as error:  # a damaged header may name any file and size
        raise InputError(
            f"{path}: its pixels cannot be read ({error}), expected {header.data.name} whole; copy it again"
        ) from error
    skip = size - need if skip < 0 else skip
    if skip < 0 or size - skip < need:
        raise InputError(f"{path}: found {max(size - max(skip, 0), 0)} bytes of pixels, expected {need}; copy it again")
    if header.block == "zlib":
        values = np.frombuffer(block, header.dtype, count, skip)
    else:
        values = np.memmap(header.data, header.dtype, "r", header.start + skip, (count,))
    return values.reshape(header.sizes[::-1])


def _by_itk(path: Path, header: SequenceHeader) -> np.ndarray:
    import itk

    try:
        # float32 holds every level of 8 and 16 bits; other vectors are hardly wrapped
        pixel = itk.Vector[itk.F, header.channels] if header.channels > 1 else None
        values = itk.array_from_image(itk.imread(str(path), pixel))
        if pixel is not None:  # ITK puts the channels last, wherever the file has them
            values = np.moveaxis(values, -1, header.roles[::-1].index("c"))
        return values.reshape(header.sizes[::-1]).astype(header.dtype, copy=False)
    except Exception as error:  # what ITK and its wrapping raise has no common base
        reason = str(error).strip().splitlines()[-1][:160] if isinstance(error, RuntimeError) else "an unknown layout"
        raise InputError(
            f"{path}: found pixels as text, in a list of files or in another encoding, which ITK cannot read "
            f"({reason}), expected one binary block; save it as .mha"
        ) from error
