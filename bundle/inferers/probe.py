# SPDX-License-Identifier: Apache-2.0
"""Probing an encoder on labelled clips, from frames to figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..errors import InputError
from ..keys import GALLERY, QUERY, UNLABELLED, Keys
from ..metrics import ProbeFrames, ProbeResult, per_frame, probe_out_of_fold, probe_split

KINDS = ("linear", "knn")


def probe_records(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records a probe is made of: those with a label (class index) and with a part or else a fold.

    Records marked as ``part`` ``GALLERY`` or ``QUERY`` make a split; otherwise those with a ``fold`` are judged out of
    fold.

    Raises:
        InputError: none is left.
    """
    labelled = [record for record in records if record[Keys.LABEL] != UNLABELLED]
    key = Keys.PART if any(Keys.PART in record for record in labelled) else Keys.FOLD
    kept = [record for record in labelled if record.get(key) not in (None, "")]
    if not kept:
        raise InputError(
            f"nothing to probe: of {len(records)} clips {len(labelled)} have a label, and none of these a {Keys.FOLD} "
            "(or a testing part); fill the fold column, or make a datalist with folds or parts"
        )
    return kept


def probe_features(
    features: Sequence[torch.Tensor], records: Sequence[dict[str, Any]], class_names: Sequence[str]
) -> dict[str, ProbeResult]:
    """The linear and the k-NN probe of frozen features, by kind.

    Args:
        features: of each clip ``(T, D)``.
        records: of each clip, as `probe_records` gives them.
        class_names: names of the class indices.

    Raises:
        InputError: see `probe_out_of_fold` and `probe_split`.
    """
    frames = ProbeFrames.from_clips(features, records)
    if Keys.PART in records[0]:
        parts = per_frame([record[Keys.PART] for record in records], features)
        gallery, query = (frames.where([part == name for part in parts]) for name in (GALLERY, QUERY))
        return {kind: probe_split(gallery, query, kind, class_names) for kind in KINDS}
    folds = per_frame([str(record[Keys.FOLD]) for record in records], features)
    return {kind: probe_out_of_fold(frames, folds, kind, class_names) for kind in KINDS}
