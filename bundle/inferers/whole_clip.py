# SPDX-License-Identifier: Apache-2.0
"""A clip in one piece, for programs that hand a network one file at a time, as MONAI Label does."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from ..errors import InputError, told_to_client
from ..keys import Keys
from .cine_chunks import CineChunks


class WholeClipd(MapTransform):
    """A path -> the frames looked at of that clip ``(n, C, side, side)`` float, the network's input.

    `CineChunks` reads and prepares them; only what the network sees is kept of each chunk. Adds ``frame_index``
    ``(n,)``, which they are, and ``meta``, of geometry (`put_back`) and of the file, ``n_frames`` and
    ``filename_or_obj``. An error is told to the client (`told_to_client`).

    Args:
        keys: of the path.
        image_size, mean, std, channels, frames_at_once, time_axis: of `CineChunks`.
        frame_stride: every so many-th frame.
        max_frames: of these at most so many, evenly spaced: the bound of the memory.
        any_modality: take DICOM that is not ultrasound.
    """

    def __init__(
        self,
        keys: KeysCollection,
        image_size: int,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.25,
        channels: int = 1,
        frame_stride: int = 1,
        max_frames: int = 256,
        frames_at_once: int = 32,
        any_modality: bool = False,
        time_axis: int | None = None,
    ) -> None:
        super().__init__(keys)
        self.settings: dict[str, Any] = {
            "image_size": image_size,
            "mean": mean,
            "std": std,
            "channels": channels,
            "frames_at_once": frames_at_once,
            "any_modality": any_modality,
            "time_axis": time_axis,
        }
        self.frame_stride = frame_stride
        self.max_frames = max_frames

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        with told_to_client():
            for key in self.key_iterator(sample):
                sample |= self._clip(sample[key], key)
        return sample

    def _clip(self, path: Any, key: Hashable) -> dict[Hashable, Any]:
        if not isinstance(path, str):
            raise InputError(f"{key}: found {type(path).__name__}, expected the path of a clip or still")
        stride, most = (_count(getattr(self, name), name) for name in ("frame_stride", "max_frames"))
        reader = CineChunks([], **self.settings, stride=stride, frames_per_clip=most)
        frames, indices, meta = [], [], {}
        for chunk in reader.chunks({Keys.IMAGE: path}, 0):
            frames.append(chunk[Keys.FRAMES])
            indices.append(chunk[Keys.FRAME_INDEX])
            meta = chunk[Keys.META]
        return {key: torch.cat(frames), Keys.FRAME_INDEX: np.concatenate(indices), Keys.META: meta}


def _count(value: Any, name: str) -> int:
    """A number that a client may have sent as text."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise InputError(f"{name}: found {value!r}, expected a whole number, at least 1")
    return number
