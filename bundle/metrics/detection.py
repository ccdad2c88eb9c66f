# SPDX-License-Identifier: Apache-2.0
"""Detected boxes, as a metric of an evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..data.masked_dataset import MaskedDataset
from ..keys import Keys
from ..transforms.boxes import boxes_of_mask, check_area
from ..transforms.put_back import put_points_back
from .box_figures import ap_interval, average_precision, best_box_iou, free_response, match_boxes
from .lesions import LesionMetric
from .patient_means import summarise_frames


class DetectionMetric(LesionMetric):
    """Figures of a detector's boxes (`BoxesInferer`), put back to the original pixels of their frame.

    The metric itself is the AP at an IoU of 0.5, of all frames together. True boxes are those of the pieces of the true
    mask. An item has ``boxes``, ``scores``, ``true_boxes`` (xyxy, x the column) and ``best_box_iou``.

    Args:
        dataset, prefix: of `LesionMetric`.
        fewest: pieces of the true mask with fewer pixels are dust and no lesion.
    """

    def __init__(self, dataset: MaskedDataset, prefix: str = "", fewest: int = 9) -> None:
        self.fewest = fewest
        super().__init__(dataset, prefix)

    def frame_item(
        self, predicted: torch.Tensor, true: np.ndarray, record: Mapping[str, Any], meta: Mapping[str, Any]
    ) -> dict[str, Any]:
        found = predicted[predicted[:, 4] > 0]  # what is filled up has a score of 0
        boxes = put_points_back(found[:, :4], meta).numpy()
        item: dict[str, Any] = {
            "boxes": check_area(boxes, f"{record[Keys.VIDEO_ID]}, detector").tolist(),
            "scores": found[:, 4].tolist(),
            "true_boxes": boxes_of_mask(true, self.fewest).tolist(),
        }
        return {**item, "best_box_iou": best_box_iou(item)}

    def compute(self) -> float | None:
        precision = average_precision(match_boxes(self.items))
        return precision["ap50"] if precision else None

    def figures(self) -> dict[str, float]:
        matched = match_boxes(self.items)
        precision, response = average_precision(matched), free_response(matched)
        best = summarise_frames(self.items, ["best_box_iou"])
        if precision is None or response is None:
            return {}
        return {
            "ap": precision["ap"],
            "froc": response["score"],
            "best_box_iou": best["best_box_iou"]["per_patient"]["value"],
        }

    def predictions(self) -> dict[str, Any]:
        matched = match_boxes(self.items)
        interval = ap_interval(self.items, [item[Keys.PATIENT_ID] for item in self.items])
        return {
            "items": self.items,
            "figures": {
                "frames": len(self.items),
                "lesions": sum(len(item["true_boxes"]) for item in self.items),
                "average_precision": average_precision(matched),
                "ap50": interval.to_dict() if interval else None,
                "froc": free_response(matched),
                **summarise_frames(self.items, ["best_box_iou"]),
            },
        }
