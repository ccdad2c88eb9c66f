# SPDX-License-Identifier: Apache-2.0
"""Predictions made by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bundle.reports import Predictions

NAMES = ["covid", "pneumonia", "regular"]


def made_predictions(
    seed: int = 0, right: float = 0.7, fold: str = "", patients: range = range(12), **changes: object
) -> Predictions:
    """Clips of ``patients`` (class: number modulo 3; two clips each, of three frames), told rightly that often."""
    random = np.random.default_rng(seed)
    items, clips = [], []
    for patient in patients:
        for clip in range(2):
            ids = {"video_id": f"lung/{patient}_{clip}", "patient_id": f"lung/{patient}", "label": patient % 3}
            frames = []
            for frame in range(3):
                told = ids["label"] if random.random() < right else int(random.integers(3))
                scores = random.dirichlet([1.0, 1.0, 1.0])
                scores[told] += 1
                frames.append(scores / 2)
                items.append({**ids, "frame": frame, "probabilities": frames[-1].tolist()})
            clips.append({**ids, "probabilities": np.mean(frames, axis=0).tolist()})
    fields = {"task": "classification", "protocol": "patient", "data": "lung", "class_names": NAMES, **changes}
    folds = {item["video_id"]: fold for item in items}
    return Predictions(items=items, clips=clips, folds=folds, **fields)


def made_measures(seed: int = 0, level: float = 0.8, fold: str = "", patients: range = range(8)) -> Predictions:
    """Stills with a Dice and a distance; of every third the distance is not known."""
    random = np.random.default_rng(seed)
    items = [
        {
            "video_id": f"breast/{patient}_{still}",
            "patient_id": f"breast/{patient}",
            "frame": 0,
            "dice": float(np.clip(level + 0.1 * random.standard_normal(), 0, 1)),
            "hd95_mm": None if still == 2 else float(random.uniform(1, 5)),
        }
        for patient in patients
        for still in range(1 + patient % 3)
    ]
    folds = {item["video_id"]: fold for item in items}
    return Predictions("segmentation", "patient", "breast", [], items, [], folds)


@pytest.fixture
def made() -> Callable[..., Predictions]:
    return made_predictions


@pytest.fixture
def measures() -> Callable[..., Predictions]:
    return made_measures
