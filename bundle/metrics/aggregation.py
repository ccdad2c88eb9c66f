# SPDX-License-Identifier: Apache-2.0
"""From frames to clips to patients: means and labels by id, in order of first appearance."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt


def index_by_id(ids: Sequence[Hashable]) -> tuple[list[Hashable], np.ndarray]:
    """The distinct ids in order of first appearance, and for each item the position of its id ``(N,)``."""
    position: dict[Hashable, int] = {}
    index = np.array([position.setdefault(name, len(position)) for name in ids], dtype=int)
    return list(position), index


def mean_by_id(values: npt.ArrayLike, ids: Sequence[Hashable]) -> tuple[list[Hashable], np.ndarray]:
    """Mean of the rows of ``values`` ``(N, K)`` that share an id.

    Frames to clips with clip ids, clips to patients with patient ids. Each row of one id weighs the same, so a clip's
    score does not depend on how many frames other clips have.

    Returns:
        The distinct ids (G) in order of first appearance and their means ``(G, K)``.
    """
    rows = np.asarray(values, dtype=float)
    names, index = index_by_id(ids)
    if len(index) != len(rows):
        raise ValueError(f"{len(rows)} rows but {len(index)} ids")
    sums = np.zeros((len(names), *rows.shape[1:]))
    np.add.at(sums, index, rows)
    counts = np.bincount(index, minlength=len(names)).reshape(-1, *[1] * (rows.ndim - 1))
    return names, sums / np.maximum(counts, 1)


def majority_by_id(labels: npt.ArrayLike, ids: Sequence[Hashable]) -> tuple[list[Hashable], np.ndarray]:
    """The most frequent class index of each id ``(G,)``; of equally frequent ones the lowest.

    Returns:
        The distinct ids (G) in order of first appearance and their class.
    """
    values = np.asarray(labels, dtype=int)
    names, index = index_by_id(ids)
    if len(index) != len(values):
        raise ValueError(f"{len(values)} labels but {len(index)} ids")
    votes = np.zeros((len(names), values.max(initial=-1) + 1), dtype=int)
    np.add.at(votes, (index, values), 1)
    return names, votes.argmax(axis=1) if len(names) else np.zeros(0, dtype=int)
