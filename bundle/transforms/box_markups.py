# SPDX-License-Identifier: Apache-2.0
"""Boxes by centre and size, as MONAI Label and 3D Slicer take them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from ..keys import Keys
from ..readers.voxel_grid import voxel_grid
from .results_back import BoxesBackd
from .square import known


class BoxMarkupsd(MapTransform):
    """Boxes ``(n, K, 5)`` (xyxy, score) of the frames looked at -> ``box``, ``label`` and ``result`` of the sample.

    ``box`` ``(N, 6)`` has the centre and the size of each box whose score is above 0, frame after frame, best first: mm
    of `voxel_grid`, so pixels where the file has no place in space; a box is one frame deep. ``label`` ``(N,)`` is 0,
    the one class. ``result`` tells the same in pixels of the original frame: ``boxes``, a list of ``frame``, ``box``
    (x0, y0, x1, y1) and ``score``.

    Args:
        keys: of the boxes; the sample's ``meta`` and ``frame_index`` are those of `WholeClipd`.
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys)
        self.back = BoxesBackd(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = self.back(data)
        meta, looked_at = sample[Keys.META], sample[Keys.FRAME_INDEX]
        height, width = (int(n) for n in known(meta, "original_size"))
        grid = voxel_grid(known(meta, "filename_or_obj"), width, height, int(known(meta, "n_frames")))
        for key in self.key_iterator(sample):
            found = [
                (int(frame), *(float(value) for value in one))
                for frame, boxes in zip(looked_at, sample[key], strict=True)
                for one in boxes
                if one[4] > 0
            ]
            sample["box"] = torch.tensor([_centred(one[:5], grid) for one in found], dtype=torch.float64).reshape(-1, 6)
            sample["label"] = torch.zeros(len(found), dtype=torch.int64)
            told = [
                {"frame": one[0], "box": [round(v, 3) for v in one[1:5]], "score": round(one[5], 6)} for one in found
            ]
            sample["result"] = {"boxes": told}
        return sample


def _centred(box: tuple[float, ...], grid: np.ndarray) -> list[float]:
    """Centre and size in mm of (frame, x0, y0, x1, y1): the edges of pixels, where the grid has their centres."""
    frame, x0, y0, x1, y1 = box
    centre = grid @ [(x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2, frame, 1]
    size = np.linalg.norm(grid[:3, :3], axis=0) * [x1 - x0, y1 - y0, 1]
    return [*centre[:3].tolist(), *size.tolist()]
