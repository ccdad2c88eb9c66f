# SPDX-License-Identifier: Apache-2.0
"""A MONAI data set whose items come from the frame cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from monai.data import Dataset

from ..keys import Keys
from .frame_cache import FrameCache
from .records import Record


class CineDataset(Dataset):
    """Records with their frames.

    An item is a copy of its record with ``image`` replaced by the cached frames, uint8 (C, T, H, W), read-only and
    memory-mapped, and ``frame_times`` added: seconds (T,) float64, or None where the file says nothing of time. Then
    ``transform`` is called. An item that is not in the cache yet is decoded on access.

    Making the data set reads nothing; fill the cache before training (`keep_readable`). Worker processes are sent
    paths, not frames.

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

    def _transform(self, index: int) -> Any:
        record = self.data[index]
        times = self.cache.meta(record).get(Keys.FRAME_TIMES)
        item = {
            **record,
            Keys.IMAGE: self.cache.frames(record),
            Keys.FRAME_TIMES: None if times is None else np.asarray(times, dtype=np.float64),
        }
        return self.transform(item)
