# SPDX-License-Identifier: Apache-2.0
"""A MONAI data set whose items come from the frame cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from monai.data import Dataset

from ..keys import Keys
from .frame_cache import CacheReport, FrameCache
from .records import Record

FRAME_TIMES = "frame_times"


class CineDataset(Dataset):
    """Records with their frames.

    An item is a copy of its record with ``image`` replaced by the cached frames, uint8 (C, T, H, W), read-only and
    memory-mapped, and ``frame_times`` added: seconds (T,) float64, or None where the file says nothing of time. Then
    ``transform`` is called. An item that is not in the cache yet is decoded on access.

    Making the data set reads nothing; call `fill` before training. Worker processes are sent paths, not frames.

    Args:
        data: records with absolute paths, as in a `Datalist`.
        cache: where the frames are kept.
        transform: what is done to an item, as in `monai.data.Dataset`.
    """

    def __init__(
        self, data: Sequence[Record], cache: FrameCache, transform: Sequence[Callable] | Callable | None = None
    ) -> None:
        super().__init__(list(data), transform)
        self.cache = cache

    def fill(self, progress: bool = True) -> CacheReport:
        """Decode what the cache lacks (see `FrameCache.fill`) and drop the records whose files cannot be read.

        Call it before the data set's length is used, that is before a sampler is made.

        Raises:
            InputError: none of the files can be read, or the cache cannot be written.
        """
        report = self.cache.fill(self.data, progress)
        unreadable = {path for path, _ in report.skipped}
        self.data = [record for record in self.data if str(record[Keys.IMAGE]) not in unreadable]
        return report

    def _transform(self, index: int) -> Any:
        record = self.data[index]
        times = self.cache.meta(record).get(FRAME_TIMES)
        item = {
            **record,
            Keys.IMAGE: self.cache.frames(record),
            FRAME_TIMES: None if times is None else np.asarray(times, dtype=np.float64),
        }
        return self.transform(item)
