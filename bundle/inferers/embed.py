# SPDX-License-Identifier: Apache-2.0
"""Features of clips from a frozen encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.networks.utils import eval_mode
from torch.utils.data import DataLoader, Dataset

from ..errors import InputError
from ..keys import Keys
from ..networks import Encoder


def embed_clips(
    encoder: Encoder,
    clips: Dataset | Sequence[Mapping[str, Any]],
    normalisation: Mapping[str, float | Sequence[float]],
    device: str | torch.device = "cpu",
    clips_at_once: int = 16,
) -> list[torch.Tensor]:
    """The pooled feature of every frame of every clip, from an encoder in evaluation mode, without gradients.

    Args:
        encoder: ``(N, C, H, W)`` -> ``(N, D)``. It is moved to ``device`` and left there, its mode is as before.
        clips: items with ``frames`` ``(T, C, H, W)`` float, 0 to 1; T may differ between clips. Grey frames are
            repeated for an encoder with three channels.
        normalisation: ``{"mean": m, "std": s}``, numbers or one number a channel: the encoder sees ``(x - m) / s``.
        device: where the encoder runs.
        clips_at_once: bounds the memory.

    Returns:
        For each clip its features ``(T, D)``, float32 on the CPU, in the order of ``clips``.

    Raises:
        InputError: frames with another number of channels than the encoder takes.
    """
    mean, std = (
        torch.as_tensor(normalisation[key], dtype=torch.float32, device=device).reshape(-1, 1, 1)
        for key in ("mean", "std")
    )
    features: list[torch.Tensor] = []
    encoder.to(device)
    with torch.no_grad(), eval_mode(encoder):
        for batch in DataLoader(clips, batch_size=clips_at_once, collate_fn=list):  # type: ignore[arg-type]
            frames = torch.cat([torch.as_tensor(item[Keys.FRAMES]) for item in batch]).to(device)
            if frames.shape[1] == 1:
                frames = frames.expand(-1, encoder.in_channels, -1, -1)
            if frames.shape[1] != encoder.in_channels:
                raise InputError(
                    f"found frames of {frames.shape[1]} channels, expected {encoder.in_channels} for this "
                    f"{encoder.name}; make grey frames"
                )
            out = encoder((frames - mean) / std).float().cpu()
            features += out.split([len(item[Keys.FRAMES]) for item in batch])
    return features
