# SPDX-License-Identifier: Apache-2.0
"""Cross-validation: the parts of one fold."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..errors import InputError
from ..keys import Keys
from .records import Record
from .splits import by_fold, split_folds, split_parts

logger = logging.getLogger(__name__)

VALIDATION_SHARE = 0.2
"""Of the items that are not in the tested fold."""


def fold_parts(records: Sequence[Record], fold: int | str, seed: int = 0, n_folds: int = 5) -> dict[str, list[Record]]:
    """The parts when ``fold`` is tested: a fifth of the other folds selects, the rest trains, disjoint by patient.

    Records without a fold are left out, and the log says how many. Where none has one, folds are made (`split_folds`).

    Args:
        records: what to divide.
        fold: which is tested.
        seed: of the validation part, and of the folds where they are made.
        n_folds: how many are made.

    Raises:
        InputError: there is no such fold, or there are too few patients to divide.
    """
    chosen = [record for record in records if Keys.FOLD in record]
    if not chosen:
        chosen = split_folds(records, n_folds, seed)
        logger.info("no item has a fold: %d folds are made, disjoint by patient (split_seed %d)", n_folds, seed)
    elif len(chosen) < len(records):
        logger.info("%d of %d items have no fold and are left out", len(records) - len(chosen), len(records))
    folds = by_fold(chosen)
    if f"fold {fold}" not in folds:
        known = ", ".join(name.removeprefix("fold ") for name in folds)
        raise InputError(f"fold {fold}: there is none, found {known}: choose one of these")
    if len(folds) < 2:
        raise InputError(f"fold {fold}: all items are in it, expected others to train with: make more folds")
    others = [record for name, records in folds.items() if name != f"fold {fold}" for record in records]
    parts = split_parts(others, {"training": 1 - VALIDATION_SHARE, "validation": VALIDATION_SHARE}, seed)
    return {**parts, "testing": folds[f"fold {fold}"]}
