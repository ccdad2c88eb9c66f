# SPDX-License-Identifier: Apache-2.0
"""What a MONAI engine takes out of a batch: the network's input and the loss's or metric's targets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from monai.engines import PrepareBatch

from ..errors import InputError
from ..keys import Keys


def id_codes(ids: Iterable[str]) -> torch.Tensor:
    """Names as integers ``(B,)``, the same on every rank and in every run, so that tensors can compare them.

    They are not negative: below 0 the losses take an id as unknown.
    """
    codes = [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1 for name in ids]
    return torch.tensor(codes, dtype=torch.int64)


_IMAGES = (Keys.VIEWS, Keys.CLIPS)
_TARGETS = (Keys.LABEL, Keys.PAIR_WEIGHT, Keys.NEGATIVE_MASK, Keys.ORDER, Keys.MOVING, Keys.GEOMETRY)


class PreparePretext(PrepareBatch):
    """Pretraining batch -> the images of its pretext tasks and a dict of targets.

    Images, as far as the batch has them: ``views`` ``(B, V, C, H, W)`` and ``clips`` ``(B, 2, n, C, H, W)``.

    Targets: ``video_id`` and ``patient_id`` as integer codes ``(B,)``; with views class indices ``label`` ``(B,)`` or
    ``(B, 2)`` and, when the batch has them, ``pair_weight`` ``(B,)`` and ``negative_mask`` ``(B, V - 2)``; with clips
    ``order`` ``(B,)``, ``moving`` ``(B,)`` bool, ``geometry`` ``(B, P)``.

    Raises:
        InputError: views of one clip, which has no negatives.
    """

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        images = {name: batchdata[name] for name in _IMAGES if name in batchdata}
        targets = {name: batchdata[name] for name in _TARGETS if name in batchdata}
        targets |= {name: id_codes(batchdata[name]) for name in (Keys.VIDEO_ID, Keys.PATIENT_ID)}
        if Keys.VIEWS in images and len(images[Keys.VIEWS]) < 2:
            raise InputError(
                "a batch of one clip has nothing to be told from: contrast needs at least two readable training clips "
                "and a batch_size of 2 or more"
            )
        to = {"device": device, "non_blocking": non_blocking}
        return (
            {name: image.to(**to, **kwargs) for name, image in images.items()},
            {name: target.to(**to) for name, target in targets.items()},
        )


class PrepareFrames(PrepareBatch):
    """Batch -> frames ``(B, T, C, H, W)`` and their target: class indices ``(B,)``, or another tensor of the batch.

    Args:
        target: its key.
    """

    def __init__(self, target: str = Keys.LABEL) -> None:
        self.target = target

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        frames = batchdata[Keys.FRAMES].to(device=device, non_blocking=non_blocking, **kwargs)
        return frames, batchdata[self.target].to(device=device, non_blocking=non_blocking)
