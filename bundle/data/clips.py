# SPDX-License-Identifier: Apache-2.0
"""From a datalist to the clips an engine is fed: those that can be read, the sides of a probe, repeated draws."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from ..errors import InputError
from ..keys import GALLERY, QUERY, Keys
from .datalist import Datalist
from .frame_cache import FrameCache
from .frame_times import ASSUMED_FRAME_RATE, known_times
from .records import Record

logger = logging.getLogger(__name__)


def keep_readable(datalist: Datalist, cache: FrameCache) -> Datalist:
    """Fills the cache with every clip of the datalist and leaves out what cannot be read (the log names each).

    The log also says how many clips of the training part have one frame only, and of how many cines the frame times
    are not known.

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
    _log_times(training, cache)
    return replace(datalist, training=training, validation=validation, testing=testing)


def _log_times(records: Sequence[Record], cache: FrameCache) -> None:
    lengths = [cache.frames(record).shape[1] for record in records]
    if single := lengths.count(1):
        logger.info(
            "%d of %d training clips have one frame: where a pair takes two frames of a clip, both are that frame",
            *(single, len(records)),
        )
    unknown = sum(
        length > 1 and known_times(cache.meta(record).get(Keys.FRAME_TIMES), length) is None
        for record, length in zip(records, lengths, strict=True)
    )
    if unknown:
        logger.info(
            "%d of %d training clips do not say when their frames were taken: where a gap between frames is in "
            "seconds, they are taken as %g frames a second",
            *(unknown, len(records), ASSUMED_FRAME_RATE),
        )


def gallery_and_query(gallery: Sequence[Record], query: Sequence[Record]) -> list[Record]:
    """The records of a probe, each marked as reference (``part`` is ``GALLERY``) or as judged (``QUERY``)."""
    return [{**record, Keys.PART: GALLERY} for record in gallery] + [{**record, Keys.PART: QUERY} for record in query]


def fixed_draws(records: Sequence[Record], n_draws: int) -> list[Record]:
    """Each record ``n_draws`` times, marked with its ``draw``, so that evaluation makes the same samples every time."""
    return [{**record, Keys.DRAW: (draw, n_draws)} for record in records for draw in range(n_draws)]
