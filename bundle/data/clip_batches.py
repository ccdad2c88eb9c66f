# SPDX-License-Identifier: Apache-2.0
"""What a MONAI engine takes out of a batch of shuffled clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.engines import PrepareBatch

from ..keys import Keys


class PrepareClips(PrepareBatch):
    """Order and geometry batch -> clips ``(B, 2, n, C, H, W)`` and a dict of targets.

    Targets: ``order`` ``(B,)``, ``moving`` ``(B,)`` bool and ``geometry`` ``(B, P)``.
    """

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        clips = batchdata[Keys.CLIPS].to(device=device, non_blocking=non_blocking, **kwargs)
        targets = {name: batchdata[name] for name in (Keys.ORDER, Keys.MOVING, Keys.GEOMETRY)}
        return clips, {name: value.to(device=device, non_blocking=non_blocking) for name, value in targets.items()}
