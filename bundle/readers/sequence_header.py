# SPDX-License-Identifier: Apache-2.0
"""What the headers of MetaImage and NRRD say, in common terms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

TIME_KINDS = ("list", "time")
"""Kinds of an axis that is time; Slicer and PLUS write the first."""


@dataclass
class SequenceHeader:
    """A header. Axes are fastest first.

    Attributes:
        sizes: entries of each axis.
        roles: one letter for each axis, see `axis_roles`.
        dtype: of the stored numbers, with their byte order.
        data: the file that holds the pixels.
        start: byte of that file at which the block of pixels starts.
        skip: bytes of the block (once inflated) before the first number; negative: the numbers are the last bytes.
        block: how the pixels are stored: ``"raw"``, ``"zlib"`` (zlib or gzip), or ``"itk"`` for all that is left to ITK
            (text, lists of files, skipped lines).
        fields: all fields by name.
        spacing: ``(row, col)`` of the pixels.
        times: in seconds, of each frame.
    """

    sizes: list[int]
    roles: str
    dtype: np.dtype
    data: Path
    start: int
    skip: int
    block: Literal["raw", "zlib", "itk"]
    fields: dict[str, str]
    spacing: tuple[float, float] | None = None
    times: np.ndarray | None = None

    @property
    def channels(self) -> int:
        return self.sizes[self.roles.index("c")] if "c" in self.roles else 1

    @property
    def frame_count(self) -> int:
        return self.sizes[self.roles.index("t")] if "t" in self.roles else 1


def plus_times(fields: dict[str, str], count: int) -> np.ndarray | None:
    """The time stamps that PLUS writes for each frame, in seconds of its own clock."""
    try:
        return np.array([float(fields[f"Seq_Frame{k:04d}_Timestamp"]) for k in range(count)])
    except (KeyError, ValueError):
        return None
