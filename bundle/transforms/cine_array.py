# SPDX-License-Identifier: Apache-2.0
"""A cine as an array and its meta, and back: the border of every deterministic transform."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from ..errors import InputError


def cine_array(cine: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """The frames ``(C, T, H, W)`` uint8 as an array (not copied) and a copy of the meta (empty without one).

    Args:
        cine: MetaTensor, tensor or array.

    Raises:
        InputError: not four axes, not 1 or 3 channels, no frame or no pixel, or not uint8.
    """
    meta = deepcopy(dict(cine.meta)) if isinstance(cine, MetaTensor) else {}
    plain = cine.as_tensor() if isinstance(cine, MetaTensor) else cine
    frames = plain.detach().cpu().numpy() if isinstance(plain, torch.Tensor) else np.asarray(plain)
    if frames.ndim != 4 or frames.shape[0] not in (1, 3) or frames.size == 0 or frames.dtype != np.uint8:
        name = meta.get("filename_or_obj", "a cine")
        raise InputError(
            f"{name}: found shape {tuple(frames.shape)} of {frames.dtype}; expected (C, T, H, W) uint8 with 1 or 3 "
            "channels and at least one frame; load it with LoadCined, or leave it out of the datalist"
        )
    return frames, meta


def cine_tensor(frames: np.ndarray, meta: dict[str, Any]) -> MetaTensor:
    """The way back: MetaTensor of ``frames`` with ``meta``."""
    if not frames.flags.writeable:
        frames = frames.copy()
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(frames)), meta=meta)
