# SPDX-License-Identifier: Apache-2.0
"""MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr) sequences, those of PLUS and 3D Slicer among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .axes import as_frames
from .base import Cine, chosen_frames
from .grey_levels import to_uint8
from .metaimage import metaimage_header
from .nrrd import nrrd_header
from .sequence_pixels import sequence_pixels

_MAX_HEADER = 16 * 2**20  # PLUS writes about 1 kB a frame


def read_sequence(path: Path, frames: Sequence[int] | None = None, time_axis: int | None = None) -> Cine:
    """A MetaImage or NRRD file as a cine: of the two axes of space the first runs right, the second down.

    Which axis is time: see `axes`. Times are Slicer's index values when their unit is s or ms, or PLUS's
    ``Seq_FrameNNNN_Timestamp`` fields. A spacing of exactly 1 x 1 is what both programs write without calibration and
    counts as unknown. PLUS images whose ``UltrasoundImageOrientation`` starts with U (x runs to the unmarked side) or
    has N second (y runs to the probe) are flipped to MF.

    Uncompressed pixels are memory-mapped, so that chosen frames of uint8 are the only ones read; compressed ones are
    inflated whole. Grey levels by `to_uint8`, whose one look at other types goes over the whole file.

    Raises:
        InputError: when the header lacks a field, the pixels are too few or stored in an unsupported way, the image is
            a volume over time, or ``time_axis`` is no axis of it.
    """
    with path.open("rb") as file:
        start = file.read(_MAX_HEADER)
    header = (nrrd_header if start.startswith(b"NRRD") else metaimage_header)(path, start, time_axis)
    if header.channels not in (1, 3, 4):
        raise InputError(f"{path}: found {header.channels} channels, expected grey or RGB frames; export it as such")
    values = as_frames(sequence_pixels(path, header), header.roles[::-1])[..., :3]
    wanted = chosen_frames(len(values), frames, path)
    picked = to_uint8(values, path, wanted)
    orientation = header.fields.get("UltrasoundImageOrientation", "MF")
    rows, columns = -1 if orientation[1:2] == "N" else 1, -1 if orientation[:1] == "U" else 1
    meta: dict[str, Any] = {"filename_or_obj": str(path), "source_kind": "sequence", "n_frames": len(values)}
    if header.times is not None and len(header.times) == len(values):
        meta["frame_times"] = (header.times - header.times[0])[wanted]
    if header.spacing is not None and header.spacing != (1.0, 1.0) and min(header.spacing) > 0:
        meta["spacing"] = header.spacing
    return Cine(np.ascontiguousarray(picked[:, ::rows, ::columns]), meta)
