# SPDX-License-Identifier: Apache-2.0
"""Clips with the masks that stand beside them: which fit, and a data set of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..keys import Keys
from .cine_dataset import CineDataset
from .clips import keep_readable
from .datalist import Datalist
from .frame_cache import FrameCache
from .records import Record, check_one_file_a_video
from .splits import few_patients

logger = logging.getLogger(__name__)


def keep_masked(
    datalist: Datalist,
    cache: FrameCache,
    masks: FrameCache,
    labelled_patients: float | None = None,
    seed: int = 0,
) -> Datalist:
    """The clips that have a mask, and both can be read and fit; of training those of `few_patients` where asked.

    Fills both caches. The log names each file that cannot be read and each mask of another size or number of frames
    than its image, counts the clips without a mask, and says in how many frames something is marked: an empty mask is a
    frame without a lesion.

    Args:
        datalist: with paths in ``mask``.
        cache: of the clips.
        masks: with `bundle.transforms.mask_preprocessing`.
        labelled_patients: patients a class (of the table's labels) whose training clips are used, see `few_patients`.
        seed: which patients these are.

    Raises:
        InputError: no training clip has a mask that fits, or a video has several files (`check_one_file_a_video`).
    """
    count = sum(map(len, datalist.parts.values()))
    parts = {part: [record for record in records if record.get(Keys.MASK)] for part, records in datalist.parts.items()}
    if not parts["training"]:
        raise InputError(
            f"{datalist.name}: none of {len(datalist.training)} training clips has a mask; expected a column 'mask' "
            "with paths relative to the data folder"
        )
    check_one_file_a_video(datalist.name, [record for part in parts.values() for record in part])
    if left_out := count - sum(map(len, parts.values())):
        logger.info("%d of %d clips have no mask and are left out", left_out, count)
    if labelled_patients is not None:
        parts["training"] = few_patients(parts["training"], labelled_patients, seed)
    readable = keep_readable(_with_parts(datalist, parts), cache)
    files = [{Keys.IMAGE: record[Keys.MASK]} for records in readable.parts.values() for record in records]
    bad = {path for path, _ in masks.fill(files).skipped}
    fitting = {
        part: [record for record in records if record[Keys.MASK] not in bad and _fits(record, cache, masks)]
        for part, records in readable.parts.items()
    }
    if not fitting["training"]:
        raise InputError(f"{datalist.name}: no training clip has a mask that can be read and fits; see above why")
    for part, records in fitting.items():
        marked = [read_mask(record, cache, masks).any(axis=(1, 2)) for record in records]
        if marked:
            frames = np.concatenate(marked)
            logger.info(
                "%s: %d clips, something is marked in %d of %d frames", part, len(marked), frames.sum(), len(frames)
            )
    return _with_parts(datalist, fitting)


def _with_parts(datalist: Datalist, parts: Mapping[str, list[Record]]) -> Datalist:
    return replace(datalist, training=parts["training"], validation=parts["validation"], testing=parts["testing"])


def _fits(record: Record, cache: FrameCache, masks: FrameCache) -> bool:
    try:
        read_mask(record, cache, masks)
    except InputError as error:
        logger.warning("left out: %s", error)
        return False
    return True


def read_mask(record: Mapping[str, Any], cache: FrameCache, masks: FrameCache) -> np.ndarray:
    """The mask of a clip's original frames ``(T, H, W)``, uint8, 0 and 1; memory-mapped.

    Of files whose axes our reader takes as columns, rows and time, also the order (time, row, column) counts, in which
    the phantom's masks are; where both fit, the first.

    Raises:
        InputError: another size or number of frames than the image.
    """
    n_frames = cache.frames(record).shape[1]
    height, width = (int(n) for n in cache.meta(record)["original_size"])
    mask = masks.frames({Keys.IMAGE: record[Keys.MASK]})[0]
    if mask.shape != (n_frames, height, width) and mask.shape[::-1] == (n_frames, height, width):
        mask = mask.transpose()
    if mask.shape != (n_frames, height, width):
        found, expected = (" x ".join(map(str, shape)) for shape in (mask.shape, (n_frames, height, width)))
        raise InputError(
            f"{record[Keys.MASK]}: found a mask of {found} (frames, rows, columns), expected {expected} as "
            f"{record[Keys.IMAGE]} has; draw it on the image as it is stored"
        )
    return mask


class MaskedDataset(CineDataset):
    """`CineDataset` of clips with masks.

    An item also has ``mask``, that of all its original frames (`read_mask`), and ``meta``, what the cache says of its
    frames, not to be changed: the transform brings both to what the network sees (`bundle.transforms.MaskAlongd`).

    Args:
        data, cache, transform: of `CineDataset`; all records have masks that fit (`keep_masked`).
        masks: the cache of the masks.
    """

    def __init__(
        self,
        data: Sequence[Record],
        cache: FrameCache,
        masks: FrameCache,
        transform: Sequence[Callable] | Callable | None = None,
    ) -> None:
        super().__init__(data, cache, transform)
        self.masks = masks

    def item(self, index: int) -> dict[str, Any]:
        record = self.data[index]
        mask = read_mask(record, self.cache, self.masks)
        return {**super().item(index), Keys.MASK: mask, Keys.META: self.cache.meta(record)}
