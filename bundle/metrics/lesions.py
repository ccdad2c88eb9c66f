# SPDX-License-Identifier: Apache-2.0
"""Metrics of an evaluator that look at each tested frame in the pixels of the original."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from ignite.metrics import Metric
from monai.utils import CommonKeys

from ..data.masked_dataset import MaskedDataset, read_mask
from ..keys import Keys


class LesionMetric(Metric):
    """Ignite metric that makes an item of each frame of an epoch.

    What the network says comes from ``engine.state.output`` (collated), which frames of which clips they are from
    ``engine.state.batch`` (``index``, ``frame_index``), the true mask and the way back to the original from the data
    set. A frame that an item shows twice (a short cine) counts once. Nothing is gathered over processes.

    Args:
        dataset: whose clips are judged.
        prefix: before the names of the figures beside the metric itself.

    Attributes:
        items: of each frame ``video_id``, ``patient_id``, ``frame`` and what `frame_item` gives.
    """

    def __init__(self, dataset: MaskedDataset, prefix: str = "") -> None:
        self.dataset = dataset
        self.prefix = prefix
        self.items: list[dict[str, Any]] = []
        super().__init__(lambda output: output[CommonKeys.PRED])

    def reset(self) -> None:
        self.items = []

    @torch.no_grad()
    def iteration_completed(self, engine: Engine) -> None:
        self.update((self._output_transform(engine.state.output), engine.state.batch))  # type: ignore[arg-type]

    def update(self, output: tuple[torch.Tensor, Mapping[str, Any]]) -> None:
        """Adds a batch: what the network says ``(B, T, ...)``, and the batch."""
        predicted, batch = output
        indices, places = (np.asarray(batch[key]) for key in (Keys.INDEX, Keys.FRAME_INDEX))
        for clip, index, of_clip in zip(predicted.detach().cpu().float(), indices.tolist(), places, strict=True):
            record = self.dataset.data[index]
            meta, masks = self.dataset.cache.meta(record), read_mask(record, self.dataset.cache, self.dataset.masks)
            for place, shown in zip(*np.unique(of_clip, return_index=True), strict=True):
                self.items.append(
                    {
                        Keys.VIDEO_ID: record[Keys.VIDEO_ID],
                        Keys.PATIENT_ID: record[Keys.PATIENT_ID],
                        "frame": int(place),
                        **self.frame_item(clip[shown], np.asarray(masks[place]) > 0, record, meta),
                    }
                )

    def completed(self, engine: Engine, name: str) -> None:
        engine.state.metrics[name] = self.compute()
        engine.state.metrics.update({self.prefix + figure: value for figure, value in self.figures().items()})

    @abstractmethod
    def frame_item(
        self, predicted: torch.Tensor, true: np.ndarray, record: Mapping[str, Any], meta: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What is kept of a frame: plain values, in the pixels of the original.

        Args:
            predicted: of the network, for this frame.
            true: mask, bool ``(H, W)``.
            record: of the clip.
            meta: what the cache says of its frames.
        """

    @abstractmethod
    def compute(self) -> float | None:
        """The figure that chooses an epoch."""

    @abstractmethod
    def figures(self) -> dict[str, float]:
        """Other figures, for the log."""

    @abstractmethod
    def predictions(self) -> dict[str, Any]:
        """Ready for JSON: ``items`` (frames) and ``figures``."""
