# SPDX-License-Identifier: Apache-2.0
"""How well a mask agrees with the true one; pure functions on masks ``(H, W)``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance

from ..data.records import cell_number
from ..errors import InputError

MASK_FIGURES = ("dice", "iou", "sensitivity", "ppv", "hd95_mm", "hd95_px")
"""What `mask_figures` gives."""

PIXEL_SIZE = "pixel_size_mm"
"""The column of a table."""


def mask_figures(
    predicted: np.ndarray, true: np.ndarray, spacing: Sequence[float] | None = None
) -> dict[str, float | None]:
    """Dice, IoU, sensitivity, positive predictive value, and the 95th percentile of the distance of the outlines.

    Where a figure has no value it is None, and counts in no mean: without a lesion there is no Dice, IoU, sensitivity
    and distance; where nothing is marked no PPV and no distance. A lesion that is missed has a Dice, IoU and
    sensitivity of 0; something marked where no lesion is has a PPV of 0.

    Args:
        predicted, true: bool ``(H, W)``, in the pixels of the original frame.
        spacing: mm of a pixel, down and across; with it the distance is ``hd95_mm``, without ``hd95_px``.
    """
    both, marked, lesion = (int(np.count_nonzero(mask)) for mask in (predicted & true, predicted, true))
    distance = None
    if marked and lesion:
        distance = hausdorff_95(predicted, true, spacing or (1.0, 1.0))
    return {
        "dice": 2 * both / (marked + lesion) if lesion else None,
        "iou": both / (marked + lesion - both) if lesion else None,
        "sensitivity": both / lesion if lesion else None,
        "ppv": both / marked if marked else None,
        "hd95_mm": distance if spacing else None,
        "hd95_px": None if spacing else distance,
    }


def hausdorff_95(predicted: np.ndarray, true: np.ndarray, spacing: Sequence[float]) -> float:
    """The larger of the two 95th percentiles of the distances from one outline's pixels to the other outline.

    MONAI's `compute_hausdorff_distance`. Neither mask is empty.
    """
    first, second = (torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (predicted, true))
    return float(compute_hausdorff_distance(first, second, True, percentile=95, spacing=list(spacing)))


def ellipse_circumference(mask: np.ndarray, spacing: Sequence[float] = (1.0, 1.0)) -> float | None:
    """Circumference of the ellipse that has the moments of the mask's largest piece; None of an empty mask.

    The ellipse with the same area moments up to the second: of a filled ellipse it is that ellipse. Its circumference
    is Ramanujan's second approximation. The head circumference of HC18 is measured so (van den Heuvel et al., PLoS ONE
    2018, fit an ellipse to the outline instead).

    Args:
        mask: bool ``(H, W)``.
        spacing: mm of a pixel, down and across.
    """
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if not count:
        return None
    rows, columns = np.nonzero(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))
    points = np.stack([rows * spacing[0], columns * spacing[1]])
    # a pixel is no point: its own second moment is side^2 / 12
    moments = np.cov(points, bias=True) + np.diag(np.square(spacing)) / 12
    b, a = 2 * np.sqrt(np.linalg.eigvalsh(moments))
    h = ((a - b) / (a + b)) ** 2
    return float(math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h))))


def number_above_0(record: Mapping[str, Any], column: str) -> float | None:
    """The number in a cell of a record; None where it is blank or the column is not there.

    Raises:
        InputError: it is no number above 0.
    """
    cell = str(record.get(column) or "")
    value = cell_number(cell)
    if value is not None and not value > 0:
        raise InputError(f"{record.get('video_id')}: {column} is {cell!r}; expected a number of mm, above 0")
    return value


def pixel_spacing(record: Mapping[str, Any], meta: Mapping[str, Any]) -> tuple[float, float] | None:
    """mm of a pixel of the original frame, down and across: from the column ``pixel_size_mm``, else from the file.

    Args:
        record: of the clip.
        meta: what the cache says of its frames.

    Raises:
        InputError: the column's cell is no number above 0.
    """
    if size := number_above_0(record, PIXEL_SIZE):
        return size, size
    if not meta.get("spacing"):
        return None
    down, across = (float(mm) * float(meta["resize_scale"]) for mm in meta["spacing"])
    return down, across
