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
from .datalist import Datalist
from .frame_cache import FrameCache
from .records import Record

logger = logging.getLogger(__name__)


def keep_masked(datalist: Datalist, cache: FrameCache, masks: FrameCache) -> Datalist:
    """Fills the cache of masks and leaves out clips whose mask is not there, cannot be read or does not fit.

    The log names each mask that cannot be read or has another size or number of frames than its image, counts the clips
    without one, and says how many frames have a lesion: an empty mask is a frame without one.

    Args:
        datalist: clips that are in ``cache`` (`keep_readable`).
        cache: of the clips.
        masks: with `bundle.transforms.mask_preprocessing`.

    Raises:
        InputError: no training clip has a mask that fits.
    """
    everything = [record for records in datalist.parts.values() for record in records]
    files = [{Keys.IMAGE: record[Keys.MASK]} for record in everything if record.get(Keys.MASK)]
    bad = dict(masks.fill(files).skipped) if files else {}
    without = sum(not record.get(Keys.MASK) for record in everything)
    if without:
        logger.info("%d of %d clips have no mask and are left out", without, len(everything))
    parts: dict[str, list[Record]] = {}
    for part, records in datalist.parts.items():
        parts[part] = []
        lesions, frames = 0, 0
        for record in records:
            if not record.get(Keys.MASK) or record[Keys.MASK] in bad:
                continue
            try:
                mask = read_mask(record, cache, masks)
            except InputError as error:
                logger.warning("left out: %s", error)
                continue
            parts[part].append(record)
            lesions, frames = lesions + int(mask.any(axis=(1, 2)).sum()), frames + len(mask)
        if records:
            logger.info(
                "%s: %d clips with a mask, a lesion in %d of %d frames", part, len(parts[part]), lesions, frames
            )
    if not parts["training"]:
        raise InputError(
            f"{datalist.name}: none of {len(datalist.training)} training clips has a mask that fits; expected a column "
            "'mask' with paths relative to the data folder, and masks of the size of their images"
        )
    return replace(datalist, training=parts["training"], validation=parts["validation"], testing=parts["testing"])


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
        count, rows, columns = mask.shape
        raise InputError(
            f"{record[Keys.MASK]}: found a mask of {columns} x {rows} pixels and {count} frames, expected {width} x "
            f"{height} and {n_frames} as {record[Keys.IMAGE]} has; draw it on the image as it is stored"
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
