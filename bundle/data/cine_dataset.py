# SPDX-License-Identifier: Apache-2.0
"""A MONAI data set whose items come from the frame cache."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from monai.data import Dataset

from ..errors import InputError
from ..keys import Keys
from .frame_cache import FrameCache
from .records import Record

logger = logging.getLogger(__name__)


class CineDataset(Dataset):
    """Records with their frames.

    An item is a copy of its record with ``image`` replaced by the cached frames, uint8 (C, T, H, W), read-only and
    memory-mapped, with ``frame_times`` added, seconds (T,) float64 or None where the file says nothing of time, and
    with ``index``, its place in the data set. Then ``transform`` is called. An item that is not in the cache yet is
    decoded on access.

    Making the data set reads nothing; fill the cache before training (`keep_readable`). Worker processes are sent
    paths, not frames.

    Args:
        data: records with absolute paths, as in a `Datalist`.
        cache: where the frames are kept.
        transform: what is done to an item, as in `monai.data.Dataset`.
        partners: give each item, under ``partners``, the other videos of its patient: a list of functions without
            arguments, each of which gives another item as above. The transform draws among them, so that all that is
            random stays in the transform, and only what is drawn is read. The log says how many patients have one video
            only.

    Raises:
        InputError: partners of fewer than two patients, which leaves nothing to tell a pair from.
    """

    def __init__(
        self,
        data: Sequence[Record],
        cache: FrameCache,
        transform: Sequence[Callable] | Callable | None = None,
        partners: bool = False,
    ) -> None:
        super().__init__(list(data), transform)
        self.cache = cache
        self.partners = _other_videos(self.data) if partners else None

    def item(self, index: int) -> dict[str, Any]:
        """The record at ``index`` with its frames, before the transform and without partners."""
        record = self.data[index]
        times = self.cache.meta(record).get(Keys.FRAME_TIMES)
        return {
            **record,
            Keys.IMAGE: self.cache.frames(record),
            Keys.FRAME_TIMES: None if times is None else np.asarray(times, dtype=np.float64),
            Keys.INDEX: index,
        }

    def _transform(self, index: int) -> Any:
        item = self.item(index)
        if self.partners is not None:
            item[Keys.PARTNERS] = [partial(self.item, other) for other in self.partners[index]]
        return self.transform(item)


def _other_videos(records: Sequence[Record]) -> list[list[int]]:
    """For each record the indices of the same patient's records of other videos."""
    of_patient: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        of_patient[record[Keys.PATIENT_ID]].append(index)
    if len(of_patient) < 2:
        raise InputError(
            f"pairs of one patient's videos: found {len(of_patient)} patient, expected at least two; add patients, "
            "fill the column patient_id, or choose a pair preset that takes both views from one video"
        )
    videos = [record[Keys.VIDEO_ID] for record in records]
    others = [
        [other for other in of_patient[record[Keys.PATIENT_ID]] if videos[other] != videos[index]]
        for index, record in enumerate(records)
    ]
    alone = sum(not others[indices[0]] for indices in of_patient.values())
    if alone:
        logger.warning(
            "%d of %d training patients have one video only: both views of their pairs are of that video",
            alone,
            len(of_patient),
        )
    return others
