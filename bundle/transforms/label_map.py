# SPDX-License-Identifier: Apache-2.0
"""Maps of the frames looked at as one label map of the file, for viewers and MONAI Label."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import CommonKeys

from ..errors import told_to_client
from ..keys import Keys
from ..readers.voxel_grid import voxel_grid
from ..settings import given_option
from .results_back import MapsBackd
from .square import known

EXTENSION = ".nrrd"
"""Of the file that MONAI Label sends, where the request names none: what it takes from the input (``.dcm``, ``.mp4``)
cannot be written."""

_AT_ONCE = 32
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class LabelMapd(MapTransform):
    """Maps ``(n, 1, h, w)`` of the frames looked at -> a label map of the file, uint8 ``(W, H)`` or ``(W, H, T)``.

    Axes are (column, row, frame) as in the file, so a volume is what a viewer lays over the file (`voxel_grid` is the
    ``affine``, in MONAI's directions); a still that has no place in space is a picture. A frame that was not looked at
    has the map of the nearest one that was.

    Args:
        keys: of the maps; the sample's ``meta`` and ``frame_index`` are those of `WholeClipd`.
        threshold: the maps are logits, and pixels of a probability above this are 1, others 0. It may be as a client
            gave it (`given_option`); what cannot be used is told to the client.
        density: the maps are densities instead, told from 0 to 255, the highest value of each frame.
    """

    def __init__(self, keys: KeysCollection, threshold: float = 0.5, density: bool = False) -> None:
        super().__init__(keys)
        self.threshold = threshold
        self.density = density
        self.back = MapsBackd(CommonKeys.PRED)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        with told_to_client():
            for key in self.key_iterator(sample):
                sample[key] = self._label_map(sample[key], sample[Keys.META], sample[Keys.FRAME_INDEX])
        if not sample.get("result_extension"):
            sample["result_extension"] = EXTENSION
        return sample

    def _label_map(self, maps: Any, meta: Mapping[str, Any], looked_at: np.ndarray) -> MetaTensor:
        found = np.concatenate([self._levels(part, meta) for part in torch.as_tensor(maps).split(_AT_ONCE)])
        count = int(known(meta, "n_frames"))
        if len(found) < count:
            found = found[np.abs(np.arange(count)[:, None] - np.asarray(looked_at)).argmin(axis=1)]
        height, width = found.shape[1:]
        grid = voxel_grid(known(meta, "filename_or_obj"), width, height, count)
        labels = torch.from_numpy(found).permute(2, 1, 0)
        if count == 1 and np.array_equal(grid, np.eye(4)):
            labels = labels[..., 0]
        return MetaTensor(labels, affine=torch.from_numpy(_TO_RAS @ grid))

    def _levels(self, maps: torch.Tensor, meta: Mapping[str, Any]) -> np.ndarray:
        """``(n, 1, h, w)`` -> ``(n, H, W)`` uint8 on the original frames; few frames at a time, for these are large."""
        maps = maps.float().cpu()
        if not self.density:
            threshold = given_option("threshold", self.threshold)
            return (self._original(maps.sigmoid(), meta) > threshold).numpy().astype(np.uint8)
        density = self._original(maps, meta)
        highest = density.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(density.dtype).tiny)
        return (density / highest * 255).round().to(torch.uint8).numpy()

    def _original(self, maps: torch.Tensor, meta: Mapping[str, Any]) -> torch.Tensor:
        return self.back({CommonKeys.PRED: maps, Keys.META: meta})[CommonKeys.PRED]
