# SPDX-License-Identifier: Apache-2.0
"""Results in the network's square input, put back to the place and size of the original frame.

The inverse of `CropToSector` and `ResizeFrames`, from the meta they leave: ``original_size``, ``sector_box``,
``sector_outline``, ``resize_padding`` and ``resize_scale``. The meta may come from the cine or, as JSON, from the frame
cache. Coordinates run from edge to edge: a pixel's centre lies at half a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from .sector_outline import fill_outline
from .square import known, move_points, resample_square


def put_back(
    result: torch.Tensor | np.ndarray,
    meta: Mapping[str, Any],
    nearest: bool = False,
    original: torch.Tensor | np.ndarray | None = None,
) -> torch.Tensor:
    """A map, mask or frames ``(C, h, w)`` or ``(C, T, h, w)`` -> ``(C, H, W)`` or ``(C, T, H, W)`` of the original.

    Outside the sector the result is 0, or ``original`` where it is given. T is never resampled.

    Args:
        result: square, of any side (a network with a stride gives a smaller one); float or uint8.
        meta: of the cine that went into the network.
        nearest: take the nearest pixel, for masks of labels (any dtype); otherwise bilinear, and what has to shrink is
            averaged as in `ResizeFrames`. uint8 is rounded.
        original: the original frames, with the type of ``result``; 1 channel of either goes with more of the other.

    Raises:
        InputError: meta lacks an entry, the result is not square, or bilinear is asked for labels; or ``original`` does
            not fit.
    """
    values = torch.as_tensor(result).detach().cpu()
    if values.ndim not in (3, 4) or values.shape[-1] != values.shape[-2] or values.numel() == 0:
        raise InputError(
            f"result: found shape {tuple(values.shape)}; expected (C, side, side) or (C, T, side, side), as the "
            "network gives it for the square frames of the preprocessing"
        )
    if not (nearest or values.is_floating_point() or values.dtype == torch.uint8):
        raise InputError(f"result: found {values.dtype}; expected float or uint8; put masks of labels back as nearest")
    height, width = (int(n) for n in known(meta, "original_size"))
    x0, y0, x1, y1 = (int(n) for n in known(meta, "sector_box"))
    left, top, right, _ = (int(n) for n in known(meta, "resize_padding"))
    sector = torch.from_numpy(fill_outline(known(meta, "sector_outline"), height, width)[y0:y1, x0:x1])
    canvas = _canvas(values, height, width, original)
    values = values.expand(len(canvas), *values.shape[1:])
    rows, columns = slice(top, top + y1 - y0), slice(left, left + x1 - x0)
    # frame by frame, so that a long cine needs no more than itself
    for small, frame in zip(values.flatten(0, -3), canvas.flatten(0, -3), strict=True):
        large = resample_square(small, x1 - x0 + left + right, nearest)[rows, columns]
        frame[y0:y1, x0:x1][sector] = large[sector]
    return canvas


def put_points_back(points: torch.Tensor | np.ndarray, meta: Mapping[str, Any]) -> torch.Tensor:
    """Points ``(..., 2)`` xy in pixels of the network's square input -> pixels of the original frame, float.

    Boxes ``(..., 4)`` xyxy are pairs of points and go back as such. Nothing is clipped.

    Raises:
        InputError: meta lacks an entry, or neither points nor boxes.
    """
    x0, y0 = known(meta, "sector_box")[:2]
    left, top = known(meta, "resize_padding")[:2]
    shift = torch.tensor([x0 - left, y0 - top], dtype=torch.float64)
    return move_points(points, lambda pairs: pairs / float(known(meta, "resize_scale")) + shift)


def _canvas(values: torch.Tensor, height: int, width: int, original: torch.Tensor | np.ndarray | None) -> torch.Tensor:
    shape = (*values.shape[:-2], height, width)
    if original is None:
        return values.new_zeros(shape)
    frames = torch.as_tensor(original).detach().cpu()
    channels = {len(values), len(frames)} if frames.ndim else set()
    if frames.dtype != values.dtype or frames.shape[1:] != shape[1:] or len(channels - {1}) > 1:
        raise InputError(
            f"original: found {tuple(frames.shape)} of {frames.dtype}; expected {shape} of {values.dtype}; give the "
            "frames as they were before the crop, in the type of the result"
        )
    return frames.expand(max(channels), *shape[1:]).clone(memory_format=torch.contiguous_format)
