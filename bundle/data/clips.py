# SPDX-License-Identifier: Apache-2.0
"""From a datalist to the clips an engine is fed: those that can be read, and the two sides of a probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import InputError
from ..keys import Keys
from .datalist import Datalist
from .frame_cache import FrameCache
from .records import Record


def keep_readable(datalist: Datalist, cache: FrameCache) -> Datalist:
    """Fills the cache with every clip of the datalist and leaves out what cannot be read (the log names each).

    Raises:
        InputError: nothing can be read, or nothing of the training part.
    """
    everything = [record for records in datalist.parts.values() for record in records]
    skipped = {path for path, _ in cache.fill(everything).skipped}
    training, validation, testing = (
        [record for record in records if str(record[Keys.IMAGE]) not in skipped] for records in datalist.parts.values()
    )
    if not training:
        raise InputError(f"{datalist.name}: none of {len(datalist.training)} training clips can be read; see above why")
    return replace(datalist, training=training, validation=validation, testing=testing)


def gallery_and_query(gallery: Sequence[Record], query: Sequence[Record]) -> list[Record]:
    """The records of a probe, each marked as reference (``part`` is "gallery") or as judged ("query")."""
    return [{**record, Keys.PART: "gallery"} for record in gallery] + [
        {**record, Keys.PART: "query"} for record in query
    ]
