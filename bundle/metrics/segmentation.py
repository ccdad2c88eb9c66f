# SPDX-License-Identifier: Apache-2.0
"""Segmented frames, as a metric of an evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..data.masked_dataset import MaskedDataset
from ..transforms.put_back import put_back
from .lesions import LesionMetric
from .mask_figures import (
    MASK_FIGURES,
    PIXEL_SIZE,
    ellipse_circumference,
    mask_figures,
    number_above_0,
    pixel_spacing,
)
from .patient_means import summarise_frames

CIRCUMFERENCE = "head_circumference_mm"
"""Column of the table with a measured circumference."""

FIGURES = (*MASK_FIGURES, "missed", "false_mark", "circumference_error_mm")
"""What a frame's item can have."""


class SegmentationMetric(LesionMetric):
    """Figures of a `SegmentationNet`'s masks, each frame put back to its original pixels.

    The metric itself is Dice, the mean over patients of their frames with a lesion. The probabilities are put back and
    then cut at 0.5. An item has the `mask_figures`; ``missed``, 1 where a frame with a lesion has nothing marked in it,
    else 0; ``false_mark``, 1 where a frame without a lesion has; and, where the table has the column
    ``head_circumference_mm`` and the pixel's size, ``circumference_mm`` of the predicted mask by
    `ellipse_circumference` (0 where nothing is marked) and the absolute ``circumference_error_mm``.

    Args:
        dataset, prefix: of `LesionMetric`.

    Attributes:
        maps: of each item the probabilities as the network gave them, uint8 ``(h, w)``, for pictures.

    Raises:
        InputError: a record's cell in one of these columns is no number above 0.
    """

    def __init__(self, dataset: MaskedDataset, prefix: str = "") -> None:
        self.maps: list[np.ndarray] = []
        for record in dataset.data:
            for column in (PIXEL_SIZE, CIRCUMFERENCE):
                number_above_0(record, column)  # told before training, not after it
        super().__init__(dataset, prefix)

    def reset(self) -> None:
        super().reset()
        self.maps = []

    def frame_item(
        self, predicted: torch.Tensor, true: np.ndarray, record: Mapping[str, Any], meta: Mapping[str, Any]
    ) -> dict[str, Any]:
        probability = predicted.sigmoid()
        self.maps.append((255 * probability[0]).round().byte().numpy())
        marked = put_back(probability, meta)[0].numpy() > 0.5
        spacing = pixel_spacing(record, meta)
        item: dict[str, Any] = {
            **mask_figures(marked, true, spacing),
            "missed": float(not marked.any()) if true.any() else None,
            "false_mark": None if true.any() else float(marked.any()),
        }
        true_mm = number_above_0(record, CIRCUMFERENCE)
        if true_mm and spacing:
            item["circumference_mm"] = ellipse_circumference(marked, spacing) or 0.0
            item["circumference_error_mm"] = abs(item["circumference_mm"] - true_mm)
        return item

    def compute(self) -> float | None:
        dice = summarise_frames(self.items, ["dice"]).get("dice")
        return dice["per_patient"]["value"] if dice else None

    def figures(self) -> dict[str, float]:
        summary = summarise_frames(self.items, FIGURES)
        return {name: one["per_patient"]["value"] for name, one in summary.items() if name != "dice"}

    def predictions(self) -> dict[str, Any]:
        return {"items": self.items, "figures": summarise_frames(self.items, FIGURES)}
