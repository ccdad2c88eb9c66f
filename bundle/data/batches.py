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


class PrepareViews(PrepareBatch):
    """Contrastive batch -> views ``(B, V, C, H, W)`` and a dict of targets.

    Targets: class indices ``label`` ``(B,)`` or ``(B, 2)``, ``video_id`` and ``patient_id`` as integer codes ``(B,)``,
    and, when the batch has them, ``pair_weight`` ``(B,)`` and ``negative_mask`` ``(B, V - 2)``.

    Raises:
        InputError: a batch of one clip, which has no negatives.
    """

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        if len(batchdata[Keys.LABEL]) < 2:
            raise InputError(
                "a batch of one clip has nothing to be told from: contrast needs at least two readable training clips "
                "and a batch_size of 2 or more"
            )
        targets = {
            Keys.LABEL: batchdata[Keys.LABEL],
            Keys.VIDEO_ID: id_codes(batchdata[Keys.VIDEO_ID]),
            Keys.PATIENT_ID: id_codes(batchdata[Keys.PATIENT_ID]),
        }
        targets |= {name: batchdata[name] for name in (Keys.PAIR_WEIGHT, Keys.NEGATIVE_MASK) if name in batchdata}
        views = batchdata[Keys.VIEWS].to(device=device, non_blocking=non_blocking, **kwargs)
        return views, {name: value.to(device=device, non_blocking=non_blocking) for name, value in targets.items()}


class PrepareFrames(PrepareBatch):
    """Evaluation batch -> frames ``(B, T, C, H, W)`` and class indices ``(B,)``."""

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        frames = batchdata[Keys.FRAMES].to(device=device, non_blocking=non_blocking, **kwargs)
        return frames, batchdata[Keys.LABEL].to(device=device, non_blocking=non_blocking)
