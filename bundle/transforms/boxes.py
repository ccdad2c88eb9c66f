# SPDX-License-Identifier: Apache-2.0
"""Boxes around the lesions of a mask."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform

from ..errors import InputError
from ..keys import Keys


def boxes_of_mask(mask: np.ndarray, fewest: int = 1) -> np.ndarray:
    """A box for each connected piece (also over corners) of a mask ``(H, W)``: ``(K, 4)`` float xyxy, x the column.

    Edges are those of the pixels: a piece of one pixel at row 2, column 5 has the box (5, 2, 6, 3).

    Args:
        mask: bool, or 0 and 1.
        fewest: pieces of fewer pixels are left out.
    """
    from scipy import ndimage

    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    boxes = [
        (columns.start, rows.start, columns.stop, rows.stop)
        for k, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1)
        if sizes[k] >= fewest
    ]
    return np.array(boxes, dtype=float).reshape(-1, 4)


def check_area(boxes: np.ndarray, where: str) -> np.ndarray:
    """Boxes ``(K, 4)`` xyxy, as they are.

    Raises:
        InputError: one of them has no area.
    """
    for box in np.asarray(boxes, dtype=float).reshape(-1, 4):
        if not (np.isfinite(box).all() and box[2] > box[0] and box[3] > box[1]):
            raise InputError(
                f"{where}: found the box {box.tolist()}, which has no area; expected x0 < x1 and y0 < y1 (x the column)"
            )
    return boxes


class MaskToBoxesd(MapTransform):
    """Masks ``(T, 1, h, w)`` of a sample -> ``boxes`` ``(T, max_boxes, 4)`` xyxy; the mask goes.

    Zeros where a frame has fewer; of more the largest stay.

    Args:
        keys: of the mask; above 0.5 counts.
        max_boxes: the same for all frames, so that they make a batch.
        fewest: of `boxes_of_mask`: what is smaller the network cannot see.
    """

    def __init__(self, keys: str = Keys.MASK, max_boxes: int = 20, fewest: int = 4) -> None:
        super().__init__(keys)
        self.max_boxes = max_boxes
        self.fewest = fewest

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        masks = np.asarray(sample.pop(self.keys[0]))[:, 0] > 0.5
        boxes = np.zeros((len(masks), self.max_boxes, 4), np.float32)
        for filled, mask in zip(boxes, masks, strict=True):
            found = boxes_of_mask(mask, self.fewest)
            area = (found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1])
            found = found[np.argsort(-area, kind="stable")[: self.max_boxes]]
            filled[: len(found)] = found
        sample[Keys.BOXES] = torch.from_numpy(boxes)
        return sample
