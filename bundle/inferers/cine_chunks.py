# SPDX-License-Identifier: Apache-2.0
"""Long cines a few frames at a time, as training would have shown them whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.engines import PrepareBatch
from torch.utils.data import IterableDataset

from ..data.cache_fill import WarningsByFile
from ..data.records import Record
from ..errors import InputError
from ..keys import Keys
from ..readers.cine import read_cine
from ..transforms.cine_array import cine_tensor
from ..transforms.frames import chosen_frames, even_indices, network_input
from ..transforms.grey import ToGrey
from ..transforms.resize import ResizeFrames
from ..transforms.sector import CropToSector
from ..transforms.sector_fit import SectorFit, looked_at

logger = logging.getLogger(__name__)


class CineChunks(IterableDataset):
    """Clip after clip in chunks of frames, preprocessed as `bundle.transforms.preprocessing` does with the whole.

    A chunk is its clip's record with

    - ``frames`` ``(n, C, side, side)`` float, the network's input, and ``original`` ``(n, H, W)`` uint8, the same in
      grey before the crop,
    - ``frame_index`` ``(n,)``, which they are, and ``frame_times`` ``(n,)`` seconds or None,
    - ``index``, the record's place in ``data``; ``position`` of the first among the ``count`` chosen of the clip,
    - ``meta``: of geometry (`put_back`), and of the original frames ``n_frames`` and ``spacing``.

    So no more than two chunks are held at a time, this and the next (and at first the frames by which the sector is
    found, at most `MAX_FRAMES`), however long the clip; formats that are inflated whole (compressed MetaImage, NRRD,
    NIfTI) are.

    A clip that cannot be read is told in the log, kept in ``failed`` with the reason, and the next follows; chunks of
    it that came before the damage have then been handed out, and the last has not. What the reader warns of is told in
    the log too, once a clip and not with each chunk.

    Args:
        data: records with ``image``.
        image_size: side of the network's input.
        mean, std, channels: of `network_input`.
        frames_per_clip: so many evenly spaced frames, once each; None for all.
        stride: only every so many-th frame counts.
        frames_at_once: of a chunk.
        any_modality, time_axis: of `read_cine`.

    Raises:
        InputError: a number that is not whole, or below 1.
    """

    def __init__(
        self,
        data: Sequence[Record],
        image_size: int,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.25,
        channels: int = 1,
        frames_per_clip: int | None = None,
        stride: int = 1,
        frames_at_once: int = 32,
        any_modality: bool = False,
        time_axis: int | None = None,
    ) -> None:
        numbers = {"frames_per_clip": frames_per_clip, "stride": stride, "frames_at_once": frames_at_once}
        for name, number in numbers.items():
            if number is not None and not (isinstance(number, Integral) and number >= 1):
                raise InputError(f"{name}: found {number!r}, expected a whole number, 1 or more")
        self.data = list(data)
        self.normalisation: dict[str, Any] = {"mean": mean, "std": std, "channels": channels}
        self.frames_per_clip = frames_per_clip
        self.stride = stride
        self.frames_at_once = frames_at_once
        self.how = {"any_modality": any_modality, "time_axis": time_axis}
        self.grey, self.crop, self.resize = ToGrey(), CropToSector(), ResizeFrames(image_size)
        self.failed: list[tuple[Record, str]] = []
        self.warnings = WarningsByFile()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.failed, self.warnings = [], WarningsByFile()
        for index, record in enumerate(self.data):
            try:
                yield from self.chunks(record, index)
            except InputError as error:
                logger.warning("left out: %s", error)
                self.failed.append((record, str(error)))

    def chunks(self, record: Record, index: int) -> Iterator[dict[str, Any]]:
        """Those of one clip.

        Raises:
            InputError: it cannot be read.
        """
        path = record[Keys.IMAGE]
        first = self._read(path, [0])
        size, n_frames = first.shape[2:], int(first.meta["n_frames"])
        fit = self.crop.find(first if n_frames == 1 else self._read(path, looked_at(n_frames)))
        indices = self._chosen(n_frames)
        for position in range(0, len(indices), self.frames_at_once):
            wanted = indices[position : position + self.frames_at_once]
            cine = first if n_frames == 1 else self._read(path, wanted)
            if cine.shape[2:] != size:
                raise InputError(
                    f"{path}: found frames of {cine.shape[3]} x {cine.shape[2]} pixels, expected {size[1]} x {size[0]} "
                    "as the first; cut the clip into parts"
                )
            place = {Keys.INDEX: index, Keys.POSITION: position, Keys.COUNT: len(indices), Keys.FRAME_INDEX: wanted}
            yield {**record, **self._prepared(cine, fit), **place}

    def _read(self, path: str, frames: Sequence[int] | np.ndarray) -> MetaTensor:
        told = len(self.warnings.said.get(path, []))
        with self.warnings.collected(), self.warnings.of(path):
            cine = read_cine(path, [int(k) for k in frames], **self.how)  # type: ignore[arg-type]
        for warning in self.warnings.said.get(path, [])[told:]:
            logger.warning("%s", warning)
        return self.grey(cine_tensor(cine.frames.transpose(3, 0, 1, 2), cine.meta))

    def _chosen(self, n_frames: int) -> np.ndarray:
        indices = np.arange(0, n_frames, self.stride)
        if self.frames_per_clip is None:
            return indices
        return indices[np.unique(even_indices(len(indices), self.frames_per_clip))]

    def _prepared(self, cine: MetaTensor, fit: SectorFit) -> dict[str, Any]:
        small = self.resize(self.crop(cine, fit))
        images = chosen_frames(small.numpy(), np.arange(small.shape[1]))
        return {
            Keys.FRAMES: network_input(images, **self.normalisation),
            Keys.ORIGINAL: cine.numpy()[0],
            Keys.FRAME_TIMES: cine.meta.get("frame_times"),
            Keys.META: {**small.meta, "spacing": cine.meta.get("spacing")},
        }


class PrepareChunk(PrepareBatch):
    """Chunk -> frames ``(1, n, C, side, side)`` on the device; there is no target."""

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        return batchdata[Keys.FRAMES][None].to(device=device, non_blocking=non_blocking, **kwargs), None
