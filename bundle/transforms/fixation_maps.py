# SPDX-License-Identifier: Apache-2.0
"""From a record with a `Gaze` to frames with their densities, and what a part's fixations have in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, Transform

from ..keys import Keys
from .gaze import Gaze


class _ChosenFrames:
    """The chosen frames of a cine ``(C, T, H, W)``, read only when they are asked for."""

    def __init__(self, cine: Any, frames: np.ndarray) -> None:
        self.cine = cine
        self.frames = frames
        self.shape = (cine.shape[0], len(frames), *cine.shape[2:])

    def __getitem__(self, key: tuple[slice, np.ndarray]) -> Any:
        channels, indices = key
        return self.cine[channels, self.frames[indices]]


class FixatedFramesd(MapTransform):
    """Leaves of the cine under ``keys`` the frames that have a fixation (`Gaze`), for a transform that then chooses."""

    def __init__(self, keys: str = Keys.IMAGE) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        sample[self.keys[0]] = _ChosenFrames(sample[self.keys[0]], sample[Keys.GAZE].fixated)
        return sample


class FixationMaps(Transform):
    """Adds the fixations of the chosen frames: ``saliency`` and ``fixations``, ``(T, 1, size, size)``.

    ``saliency`` is the density (`Gaze.density`), float32 that sums to 1 in each frame, ``fixations`` how many lie in
    each pixel, int32. ``frame_index``, which counts the fixated frames (`FixatedFramesd`), becomes that of the cine.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        gaze: Gaze = sample.pop(Keys.GAZE)
        frames = gaze.fixated[np.asarray(sample[Keys.FRAME_INDEX])]
        sample[Keys.FRAME_INDEX] = torch.as_tensor(frames)
        sample[Keys.SALIENCY] = torch.from_numpy(np.stack([gaze.density(frame) for frame in frames])[:, None])
        sample[Keys.FIXATIONS] = torch.from_numpy(np.stack([gaze.counts(frame) for frame in frames])[:, None])
        return sample


def mean_density(records: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The mean density of all fixated frames ``(size, size)``: the centre prior, the best guess without a look."""
    gazes = [record[Keys.GAZE] for record in records]
    total = sum(gaze.density(frame).astype(np.float64) for gaze in gazes for frame in gaze.fixated)
    return np.asarray(total / np.sum(total))


def fixation_counts(records: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """How often each pixel was fixated in all frames of each patient ``(size, size)``, by ``patient_id``."""
    counts: dict[str, Any] = defaultdict(int)
    for record in records:
        gaze: Gaze = record[Keys.GAZE]
        counts[record[Keys.PATIENT_ID]] += sum(gaze.counts(frame) for frame in gaze.fixated)
    return dict(counts)
