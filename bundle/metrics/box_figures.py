# SPDX-License-Identifier: Apache-2.0
"""How well boxes agree with the true ones; pure functions on the boxes of frames.

A frame is ``{"boxes": (D, 4), "scores": (D,), "true_boxes": (G, 4)}``, xyxy. Boxes and true boxes are matched by
MONAI's `matching_batch`, as COCO does: the best score first, each true box once, a second hit of a true box is wrong.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.apps.detection.metrics.coco import COCOMetric
from monai.apps.detection.metrics.matching import matching_batch
from monai.data.box_utils import box_iou
from monai.metrics import compute_froc_curve_data, compute_froc_score

from .bootstrap import Interval
from .patient_means import RESAMPLES

MAX_BOXES = 100
"""Boxes of a frame that count, as in COCO."""

FALSE_BOXES = (0.125, 0.25, 0.5, 1.0, 2.0)
"""False boxes a frame at which the sensitivity is read."""

Frame = Mapping[str, Any]
Matched = list[dict[int, dict[str, np.ndarray]]]

_COCO = COCOMetric(["lesion"], [0.5], (0.5, 0.95, 0.05), [MAX_BOXES], per_class=False, verbose=False)
_KEYS = {"ap50": f"AP_IoU_0.50_MaxDet_{MAX_BOXES}", "ap": f"mAP_IoU_0.50_0.95_0.05_MaxDet_{MAX_BOXES}"}


def _iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(box_iou(first, second))


def match_boxes(frames: Sequence[Frame]) -> Matched:
    """The matching of each frame at every IoU threshold."""
    boxes, scores, true = (
        [np.asarray(frame[key], dtype=float).reshape(shape) for frame in frames]
        for key, shape in (("boxes", (-1, 4)), ("scores", -1), ("true_boxes", (-1, 4)))
    )
    classes = [[np.zeros(len(one), dtype=int) for one in many] for many in (boxes, true)]
    return matching_batch(
        _iou, _COCO.iou_thresholds.tolist(), boxes, classes[0], scores, true, classes[1], max_detections=MAX_BOXES
    )


def average_precision(matched: Matched) -> dict[str, float] | None:
    """``ap50`` at an IoU of 0.5, ``ap`` the mean over 0.5, 0.55 ... 0.95, by MONAI's `COCOMetric`; None without truth.

    Precision at 101 recalls, each the best that is reached at this recall or a higher one.
    """
    if not any(of_class["gtMatches"].size for frame in matched for of_class in frame.values()):
        return None
    values = _COCO(matched)[0]
    return {name: values[key] for name, key in _KEYS.items()}


def free_response(matched: Matched) -> dict[str, Any] | None:
    """Sensitivity against false boxes a frame (FROC) at an IoU of 0.5, by MONAI's functions; None without truth.

    Returns:
        ``false_boxes`` and ``sensitivity``, the points of the curve; ``at``, the sensitivity at each of `FALSE_BOXES`,
        straight between the points; ``score``, their mean.
    """
    kept = [of_class for frame in matched for of_class in frame.values()]
    lesions = sum(one["gtMatches"].shape[1] for one in kept)
    if not lesions:
        return None
    at_half = int(np.flatnonzero(np.isclose(_COCO.iou_thresholds, 0.5))[0])
    scores = np.concatenate([one["dtScores"] for one in kept])
    hits = np.concatenate([one["dtMatches"][at_half] for one in kept]) > 0
    # MONAI leaves the lowest score out of the curve: give it one that counts as nothing
    fps, sensitivity = compute_froc_curve_data(np.append(scores[~hits], -np.inf), scores[hits], lesions, len(matched))
    at = {rate: float(compute_froc_score(fps, sensitivity, (rate,))) for rate in FALSE_BOXES}
    return {
        "false_boxes": fps.tolist(),
        "sensitivity": sensitivity.tolist(),
        "at": {str(rate): value for rate, value in at.items()},
        "score": float(np.mean(list(at.values()))),
    }


def best_box_iou(frame: Frame) -> float | None:
    """IoU of the box with the best score and the true box that it overlaps most.

    0 where there is no box, None where there is no true one.
    """
    true = np.asarray(frame["true_boxes"], dtype=float).reshape(-1, 4)
    if not len(true):
        return None
    if not len(frame["boxes"]):
        return 0.0
    best = np.asarray(frame["boxes"], dtype=float)[[int(np.argmax(frame["scores"]))]]
    return float(_iou(best, true).max())


def ap_interval(frames: Sequence[Frame], patients: Sequence[Hashable], seed: int = 0) -> Interval | None:
    """``ap50`` with its 95 % interval by bootstrap over patients; None without truth.

    A resample without a single lesion has no AP and is not counted.
    """
    matched = match_boxes(frames)
    whole = average_precision(matched)
    if whole is None:
        return None
    of_patient: dict[Hashable, Matched] = {}
    for patient, one in zip(patients, matched, strict=True):
        of_patient.setdefault(patient, []).append(one)
    groups = list(of_patient.values())
    random = np.random.default_rng(seed)
    values = []
    for _ in range(RESAMPLES // 4):
        drawn = average_precision([one for k in random.integers(len(groups), size=len(groups)) for one in groups[k]])
        values += [drawn["ap50"]] if drawn else []
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(whole["ap50"], float(low), float(high))
