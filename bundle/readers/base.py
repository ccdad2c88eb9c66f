# SPDX-License-Identifier: Apache-2.0
"""What every reader hands out, and the few rules all of them share.

Meta of a cine (a key is there only when the file says so; ``n_frames``, ``source_kind`` and ``filename_or_obj`` always
are):

``filename_or_obj``
    str, the path as given.
``source_kind``
    ``"dicom"``, ``"video"``, ``"sequence"`` (MetaImage, NRRD), ``"nifti"``, ``"image"`` (one still), ``"frames"`` (a
    folder of stills) or ``"array"`` (``.npy``).
``n_frames``
    int, frames in the file, however many of them were asked for.
``frame_times``
    float64 array, one entry for each frame handed out: seconds since the first frame of the file (DICOM: see
    `dicom_times`).
``spacing``
    ``(row, col)``: mm from one pixel to the next down and to the right (DICOM: see `dicom_space`).
``regions``
    DICOM only. A list of dicts, one for each ultrasound region with an area in the frame: ``box`` ``[x0, y0, x1, y1]``
    in whole pixels, x1 and y1 just past the last column and row, clipped to the frame; ``kind``, which RegionDataType
    (0018,6014) and RegionSpatialFormat (0018,6012) together say: ``"2d"`` (tissue or flow), ``"m-mode"``,
    ``"spectral"`` (Doppler), ``"waveform"`` (ECG, pulse and other traces), ``"graphics"`` (text, grey and colour bars)
    or ``"unknown"``; ``spatial_format`` int, the second of the two as it stands in the file; ``spacing`` ``(row, col)``
    mm of a 2-D region, or None.
``photometric_interpretation``, ``transfer_syntax``
    DICOM only. Of the file as stored; the frames handed out are grey (C = 1) or RGB (C = 3) in any case.

Nothing else of a DICOM file is read into memory, so no name, date or number of a person can travel on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError


@dataclass
class Cine:
    """Frames and what the file says about them.

    Attributes:
        frames: ``(T, H, W, C)`` uint8, C = 1 (grey) or 3 (RGB); row 0 is the top, column 0 the left of the picture.
        meta: see the module's docstring.
    """

    frames: np.ndarray
    meta: dict[str, Any]


def chosen_frames(count: int, frames: Sequence[int] | None, path: Path) -> list[int]:
    """The indices to hand out, in the order asked for: all ``count`` when ``frames`` is None.

    Raises:
        InputError: when an index is not in the file.
    """
    if frames is None:
        return list(range(count))
    wanted = [int(k) for k in frames]
    outside = [k for k in wanted if not 0 <= k < count]
    if outside or not wanted:
        asked = f"frame {outside[0]} was asked for" if outside else "no frame was asked for"
        raise InputError(f"{path}: {asked}, expected indices from 0 to {count - 1}; ask for frames the file has")
    return wanted
