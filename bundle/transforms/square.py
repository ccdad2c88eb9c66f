# SPDX-License-Identifier: Apache-2.0
"""What the ways between the original frame and the network's square share, there and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from ..errors import InputError


def known(meta: Mapping[str, Any], key: str) -> Any:
    """The entry of a cine's meta.

    Raises:
        InputError: it is not there.
    """
    if meta.get(key) is None:
        raise InputError(
            f"meta of {meta.get('filename_or_obj', 'a cine')}: found no {key}; expected the meta that CropToSector and "
            "ResizeFrames leave; preprocess the clip again"
        )
    return meta[key]


def move_points(points: torch.Tensor | np.ndarray, move: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Points ``(..., 2)`` xy, or boxes ``(..., 4)`` as pairs of points, moved; float, on the CPU.

    Args:
        points: as above.
        move: from pairs ``(..., N, 2)``, float64, to such.

    Raises:
        InputError: neither points nor boxes.
    """
    values = torch.as_tensor(points).detach().cpu()
    if values.ndim == 0 or values.shape[-1] not in (2, 4):
        raise InputError(f"points: found shape {tuple(values.shape)}; expected (..., 2) xy or (..., 4) xyxy")
    moved = move(values.double().unflatten(-1, (-1, 2)))
    return moved.flatten(-2).to(values.dtype if values.is_floating_point() else torch.float32)


def resample_square(frame: torch.Tensor, side: int, nearest: bool) -> torch.Tensor:
    """``(s, s)`` -> ``(side, side)`` of the same type: the nearest pixel, or bilinear, what shrinks being averaged."""
    if nearest:
        taken = ((torch.arange(side, dtype=torch.float64) + 0.5) * (len(frame) / side)).long().clamp(max=len(frame) - 1)
        return frame[taken][:, taken]
    exact = frame.dtype if frame.dtype in (torch.float32, torch.float64) else torch.float32
    large = interpolate(frame.to(exact)[None, None], (side, side), mode="bilinear", antialias=True)[0, 0]
    return large.round().clamp(0, 255).to(frame.dtype) if frame.dtype == torch.uint8 else large.to(frame.dtype)
