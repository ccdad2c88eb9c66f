# SPDX-License-Identifier: Apache-2.0
"""What was segmented and detected in the tested frames: a line with its interval, and pictures of frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..data.masked_dataset import MaskedDataset, read_mask
from ..keys import Keys
from ..metrics.lesions import LesionMetric
from ..metrics.segmentation import SegmentationMetric
from ..transforms.put_back import put_back
from .overlays import Overlay, best_median_worst, draw_overlays, original_frame
from .predictions import Predictions, of_what

_NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95_mm": "HD95 in mm",
    "hd95_px": "HD95 in pixels",
    "sensitivity": "sensitivity",
    "ppv": "PPV",
    "missed": "frames missed",
    "false_mark": "frames falsely marked",
    "circumference_error_mm": "circumference off by mm",
}


class _LesionPredictions(Predictions):
    """`Predictions` of a `LesionMetric`, with ``overlays.png``: the best, the middle and the worst frames."""

    picture_name = "overlays.png"
    metric: LesionMetric
    ranked_by: str
    ranked_name: str

    def tell(self, content: dict[str, Any]) -> Sequence[str]:
        items = content["items"]
        chosen = best_median_worst(items, self.ranked_by)
        if chosen:
            groups = {group: [self._overlay(items[k], k) for k in ranked] for group, ranked in chosen.items()}
            draw_overlays(
                self.folder / self.picture_name,
                groups,
                f"{of_what(content)}, {content['part']} part: frames by {self.ranked_name}",
            )
        patients = len({item[Keys.PATIENT_ID] for item in items})
        on = f"on {len(items)} frames of {patients} {content['part']} patients"
        chose = ", which also chose the epoch" if content["part"] == "validation" else ""
        return [f"{of_what(content)}: {self.figures_text(content['figures'])}; {on}{chose}"]

    def figures_text(self, figures: Mapping[str, Any]) -> str:
        """The figures in words."""
        raise NotImplementedError

    def _overlay(self, item: Mapping[str, Any], index: int) -> Overlay:
        dataset: MaskedDataset = self.metric.dataset
        record = next(one for one in dataset.data if one[Keys.VIDEO_ID] == item[Keys.VIDEO_ID])
        picture = original_frame(record[Keys.IMAGE], item["frame"])
        title = f"{item[Keys.VIDEO_ID].rpartition('/')[2][-32:]}, frame {item['frame']}"
        title += f"\n{self.ranked_name} {item[self.ranked_by]:.2f}"
        return Overlay(picture, title, *self.drawn(item, index, record))

    def drawn(self, item: Mapping[str, Any], index: int, record: Mapping[str, Any]) -> tuple[Any, ...]:
        """What is true and what was found, as `Overlay` takes them."""
        raise NotImplementedError


class SegmentationPredictions(_LesionPredictions):
    """`Predictions` of a `SegmentationMetric`, with ``overlays.png``: outlines, by Dice."""

    metric: SegmentationMetric
    ranked_by, ranked_name = "dice", "Dice"

    def figures_text(self, figures: Mapping[str, Any]) -> str:
        told = []
        for name, words in _NAMES.items():
            if name in figures:
                one = figures[name]["per_patient"]
                told.append(f"{words} {one['value']:.3f}")
                if name == "dice":
                    told[-1] += f" per patient, 95 % interval {one['low']:.3f} to {one['high']:.3f}"
        return ", ".join(told) or "no frame can be judged"

    def drawn(self, item: Mapping[str, Any], index: int, record: Mapping[str, Any]) -> tuple[Any, ...]:
        cache, masks = self.metric.dataset.cache, self.metric.dataset.masks
        probability = torch.from_numpy(self.metric.maps[index]).float()[None] / 255
        return read_mask(record, cache, masks)[item["frame"]], put_back(probability, cache.meta(record))[
            0
        ].numpy() > 0.5


class DetectionPredictions(_LesionPredictions):
    """`Predictions` of a `DetectionMetric`, with ``overlays.png``: boxes, by the IoU of the best."""

    ranked_by, ranked_name = "best_box_iou", "IoU of the best box"
    shown = 3  # boxes of a frame, those with the best scores

    def figures_text(self, figures: Mapping[str, Any]) -> str:
        if figures["ap50"] is None:
            return "no frame has a lesion"
        ap, froc = figures["ap50"], figures["froc"]
        best = figures["best_box_iou"]["per_patient"]
        return (
            f"AP at IoU 0.5 {ap['value']:.3f}, 95 % interval {ap['low']:.3f} to {ap['high']:.3f}, AP 0.5:0.95 "
            f"{figures['average_precision']['ap']:.3f}, sensitivity {froc['at']['0.5']:.3f} at 0.5 and "
            f"{froc['at']['1.0']:.3f} at 1 false box a frame, FROC {froc['score']:.3f}; IoU of the best box "
            f"{best['value']:.3f} per patient; {figures['lesions']} lesions"
        )

    def drawn(self, item: Mapping[str, Any], index: int, record: Mapping[str, Any]) -> tuple[Any, ...]:
        boxes = np.asarray(item["boxes"], dtype=float).reshape(-1, 4)[: self.shown]
        return np.asarray(item["true_boxes"], dtype=float).reshape(-1, 4), boxes, item["scores"][: self.shown]
