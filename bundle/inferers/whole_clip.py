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
from ..settings import given_option
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

    These three may be as a client gave them (`given_option`).
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
            "time_axis": time_axis,
        }
        self.options = {"frame_stride": frame_stride, "max_frames": max_frames, "any_modality": any_modality}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        with told_to_client():
            for key in self.key_iterator(sample):
                sample |= self._clip(sample[key], key)
        return sample

    def _clip(self, path: Any, key: Hashable) -> dict[Hashable, Any]:
        if not isinstance(path, str):
            raise InputError(f"{key}: found {type(path).__name__}, expected the path of a clip or still")
        stride, most, any_modality = (given_option(name, value) for name, value in self.options.items())
        reader = CineChunks([], **self.settings, stride=stride, frames_per_clip=most, any_modality=any_modality)
        frames, indices, meta = [], [], {}
        for chunk in reader.chunks({Keys.IMAGE: path}, 0):
            frames.append(chunk[Keys.FRAMES])
            indices.append(chunk[Keys.FRAME_INDEX])
            meta = chunk[Keys.META]
        return {key: torch.cat(frames), Keys.FRAME_INDEX: np.concatenate(indices), Keys.META: meta}
