# SPDX-License-Identifier: Apache-2.0
"""Collecting the features of clips while an evaluator runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine
from ignite.metrics import Metric
from monai.utils import CommonKeys

from ..keys import UNLABELLED, Keys


def predicted_features(output: Any) -> Any:
    """The features in a MONAI engine's output: its ``pred``, or that's ``representation`` if it is a dict."""
    values = _column(output, CommonKeys.PRED)
    first = values[0] if isinstance(values, list) else values
    return _column(values, Keys.REPRESENTATION) if isinstance(first, Mapping) else values


class ClipFeatures(Metric):
    """Ignite metric that keeps the features of all clips of an epoch, and what the batch says of each clip.

    Features come from ``engine.state.output``, the fields ``label``, ``part``, ``video_id``, ``patient_id`` and
    ``frame_index`` from ``engine.state.batch`` (they are no network output, so `PrepareBatch` need not carry them).
    Batches may be collated or decollated. Every process keeps the clips it has seen; nothing is gathered, so evaluate
    on one process, or on each process all clips.

    Args:
        output_transform: ``engine.state.output`` -> clip features ``(B, T, D)``, or a list of B features ``(T, D)``.
    """

    def __init__(self, output_transform: Callable[[Any], Any] = predicted_features) -> None:
        super().__init__(output_transform)

    def reset(self) -> None:
        self._features: list[torch.Tensor] = []
        self._records: list[dict[str, Any]] = []

    @torch.no_grad()
    def iteration_completed(self, engine: Engine) -> None:
        self.update((self._output_transform(engine.state.output), engine.state.batch))

    def update(self, output: tuple[Any, Any]) -> None:
        """Adds a batch: ``(features, batch)``, as the class describes them."""
        features, batch = output
        clips = [torch.as_tensor(clip).detach().cpu().float() for clip in features]
        labels = _field(batch, Keys.LABEL, [UNLABELLED] * len(clips))
        parts = _field(batch, Keys.PART, [""] * len(clips))
        videos = _field(batch, Keys.VIDEO_ID, [""] * len(clips))
        patients = _field(batch, Keys.PATIENT_ID, [""] * len(clips))
        frames = _field(batch, Keys.FRAME_INDEX, [range(len(clip)) for clip in clips])
        for clip, label, part, video, patient, places in zip(
            clips, labels, parts, videos, patients, frames, strict=True
        ):
            if clip.ndim != 2:
                raise ValueError(f"a clip's features must be (T, D), got {tuple(clip.shape)}")
            self._features.append(clip)
            self._records.append(
                {
                    Keys.LABEL: int(label),
                    Keys.PART: part,
                    Keys.VIDEO_ID: str(video) or f"clip {len(self._records)}",
                    Keys.PATIENT_ID: str(patient),
                    Keys.FRAME_INDEX: [int(place) for place in places],
                }
            )

    @abstractmethod
    def compute(self) -> float | None:
        """The figure over all clips kept."""


def _column(data: Any, key: str) -> Any:
    """A field of a collated batch, or the list of it over the items of a decollated one."""
    return data[key] if isinstance(data, Mapping) else [item[key] for item in data]


def _field(batch: Any, key: str, default: Sequence[Any]) -> Sequence[Any]:
    present = key in batch if isinstance(batch, Mapping) else all(key in item for item in batch)
    return _column(batch, key) if present else default
