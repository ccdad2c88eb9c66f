# SPDX-License-Identifier: Apache-2.0
"""What is known of the original frame (masks, maps, points, boxes), brought along to the network's square input.

The same crop, padding and resampling as the picture had, from the meta that `CropToSector` and `ResizeFrames` leave;
`put_back` is the way back. Coordinates run from edge to edge: a pixel's centre lies at half a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from .sector_outline import fill_outline
from .square import known, move_points, resample_square


def bring_along(
    target: torch.Tensor | np.ndarray, meta: Mapping[str, Any], size: int | None = None, nearest: bool = False
) -> torch.Tensor:
    """A mask, map or frames ``(C, H, W)`` or ``(C, T, H, W)`` -> ``(C, size, size)`` or ``(C, T, size, size)``.

    Outside the sector the result is 0, as the picture is. What shrinks is averaged, as in `ResizeFrames`, in float32
    or float64; uint8 is rounded, and a bool mask is True where at least half of the new pixel is. T is never resampled.

    Args:
        target: of the size of the original frame; float, uint8 or bool.
        meta: of the cine as the network sees it.
        size: side of the result, by default the network's. A smaller one covers the same square.
        nearest: take the nearest pixel, for masks of several labels (any dtype).

    Raises:
        InputError: meta lacks an entry, the target has not the size of the original frame, or has labels and is not
            asked for as nearest.
    """
    values = torch.as_tensor(target).detach().cpu()
    height, width = (int(n) for n in known(meta, "original_size"))
    if values.ndim not in (3, 4) or values.shape[-2:] != (height, width) or values.numel() == 0:
        raise InputError(
            f"mask or map: found shape {tuple(values.shape)}; expected (C, {height}, {width}) or (C, T, {height}, "
            f"{width}), {height} rows of {width} pixels as its image has; draw it on the image as it is stored"
        )
    if not (nearest or values.is_floating_point() or values.dtype in (torch.uint8, torch.bool)):
        raise InputError(f"mask or map: found {values.dtype}; expected float, uint8 or bool; take labels as nearest")
    x0, y0, x1, y1 = (int(n) for n in known(meta, "sector_box"))
    left, top, right, _ = (int(n) for n in known(meta, "resize_padding"))
    side = x1 - x0 + left + right
    size = round(side * known(meta, "resize_scale")) if size is None else size
    sector = torch.from_numpy(fill_outline(known(meta, "sector_outline"), height, width)[y0:y1, x0:x1])
    inside = slice(top, top + y1 - y0), slice(left, left + x1 - x0)
    result = values.new_zeros(*values.shape[:-2], size, size)
    # frame by frame, so that a long cine needs no more than itself
    for frame, small in zip(values.flatten(0, -3), result.flatten(0, -3), strict=True):
        square = frame.new_zeros(side, side)
        square[inside][sector] = frame[y0:y1, x0:x1][sector]
        if values.dtype == torch.bool and not nearest:
            small.copy_(resample_square(square.float(), size, False) >= 0.5)
        else:
            small.copy_(resample_square(square, size, nearest))
    return result


def bring_points_along(points: torch.Tensor | np.ndarray, meta: Mapping[str, Any]) -> torch.Tensor:
    """Points ``(..., 2)`` xy in pixels of the original frame -> pixels of the network's square input, float.

    Boxes ``(..., 4)`` xyxy are pairs of points and come along as such. Nothing is clipped: what lies beside the sector
    may lie beside the square. A pixel (row, column) is the point ``(column + 0.5, row + 0.5)``.

    Raises:
        InputError: meta lacks an entry, or neither points nor boxes.
    """
    x0, y0 = known(meta, "sector_box")[:2]
    left, top = known(meta, "resize_padding")[:2]
    shift = torch.tensor([left - x0, top - y0], dtype=torch.float64)
    return move_points(points, lambda pairs: (pairs + shift) * float(known(meta, "resize_scale")))
