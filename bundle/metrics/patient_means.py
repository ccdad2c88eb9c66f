# SPDX-License-Identifier: Apache-2.0
"""From frames to patients: a figure's mean over frames, and over patients with its interval."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from .aggregation import mean_by_id
from .bootstrap import Interval

RESAMPLES = 2000


def patient_mean(values: Sequence[float], patients: Sequence[Hashable], seed: int = 0) -> Interval:
    """Mean over patients of the means of their frames, with the 95 % interval by bootstrap over patients.

    Args:
        values: of each frame, at least one.
        patients: of each frame.
        seed: of the bootstrap.
    """
    means = mean_by_id(np.asarray(values, dtype=float)[:, None], patients)[1][:, 0]
    drawn = np.random.default_rng(seed).integers(len(means), size=(RESAMPLES, len(means)))
    low, high = np.quantile(means[drawn].mean(axis=1), [0.025, 0.975])
    return Interval(float(means.mean()), float(low), float(high))


def summarise_frames(items: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Of each figure that any frame has: ``frames`` and ``patients`` that have it, ``per_frame`` and ``per_patient``.

    Args:
        items: of each frame its figures by name, None where it has none, and ``patient_id``.
        names: of the figures.
    """
    summary = {}
    for name in names:
        having = [item for item in items if item.get(name) is not None]
        if having:
            values, patients = [item[name] for item in having], [item["patient_id"] for item in having]
            summary[name] = {
                "frames": len(having),
                "patients": len(set(patients)),
                "per_frame": float(np.mean(values)),
                "per_patient": patient_mean(values, patients).to_dict(),
            }
    return summary
