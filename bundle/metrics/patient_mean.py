# SPDX-License-Identifier: Apache-2.0
"""A figure of frames as the mean over patients, with its interval."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from .aggregation import index_by_id
from .bootstrap import Interval, _draw_groups, _interval


def patient_mean(
    values: npt.ArrayLike, groups: Sequence[Hashable], resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> Interval | None:
    """The mean over patients of the mean of each patient's values, with its interval by a bootstrap over patients.

    Of the difference of two methods on the same frames this is their paired difference.

    Args:
        values: one a frame ``(N,)``; NaN ones are left out, and with them a patient who has no other.
        groups: the patient (or group) of each frame.
        resamples, level, seed: as in `bootstrap_interval`.

    Returns:
        None without any value.
    """
    given = np.asarray(values, dtype=float)
    known = ~np.isnan(given)
    if not known.any():
        return None
    names, index = index_by_id([group for group, there in zip(groups, known, strict=True) if there])
    means = np.bincount(index, given[known]) / np.bincount(index)
    # by name, so that the draw does not depend on the order of the frames
    means = means[sorted(range(len(names)), key=lambda place: str(names[place]))]
    drawn = _draw_groups(np.zeros(len(means), dtype=int), resamples, seed)
    return _interval(float(means.mean()), drawn @ means / len(means), level)
