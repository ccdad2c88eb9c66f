# SPDX-License-Identifier: Apache-2.0
"""Clips to learn a class from: those with a label, of a few patients where that is asked, and the classes' weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from ..errors import InputError
from ..keys import UNLABELLED, Keys
from .datalist import Datalist
from .frame_cache import FrameCache
from .records import Record, check_one_file_a_video
from .splits import few_patients

logger = logging.getLogger(__name__)


def keep_labelled(datalist: Datalist, labelled_patients: float | None = None, seed: int = 0) -> Datalist:
    """The clips with a label; of the training part those of ``labelled_patients`` patients a class (`few_patients`).

    The log says what is left out, and which classes a part has no clip of.

    Raises:
        InputError: fewer than two classes have a training clip, or none has of a class that is validated or tested;
            or a video has several files (`check_one_file_a_video`).
    """
    check_one_file_a_video(datalist.name, [record for part in datalist.parts.values() for record in part])
    parts = {
        part: [record for record in records if record[Keys.LABEL] != UNLABELLED]
        for part, records in datalist.parts.items()
    }
    before, left = (sum(map(len, some.values())) for some in (datalist.parts, parts))
    if left < before:
        logger.info("%d of %d clips have no label and are left out", before - left, before)
    if labelled_patients is not None:
        everyone = parts["training"]
        parts["training"] = few_patients(everyone, labelled_patients, seed)
        patients = len({record[Keys.PATIENT_ID] for record in parts["training"]})
        logger.info(
            "of %d training clips the %d of %d patients are used (labelled_patients %g, seed %d)",
            *(len(everyone), len(parts["training"]), patients, labelled_patients, seed),
        )
    _check_classes(datalist.name, datalist.labels, parts)
    training, validation, testing = parts.values()
    return replace(datalist, training=training, validation=validation, testing=testing)


def class_weights(
    records: Sequence[Record], n_classes: int, weights: str | Sequence[float] | None
) -> torch.Tensor | None:
    """The weight of each class in the loss ``(K,)``.

    Args:
        records: the training clips, with the class index in ``label``.
        n_classes: K.
        weights: None for none; ``"balanced"`` for ``N / (classes * N_k)``, so that every class weighs the same in all,
            0 for one without a clip; or K numbers.

    Raises:
        InputError: another word or another number of numbers.
    """
    if weights is None:
        return None
    if weights == "balanced":
        counts = torch.bincount(torch.tensor([record[Keys.LABEL] for record in records]), minlength=n_classes).double()
        balanced = counts.sum() / ((counts > 0).sum() * counts)
        return torch.where(counts > 0, balanced, 0.0).float()
    given = weights if isinstance(weights, list | tuple) else []
    numbers = [float(weight) for weight in given if isinstance(weight, int | float) and weight >= 0]
    if not len(given) == len(numbers) == n_classes:
        raise InputError(f"class_weights: found {weights!r}, expected 'balanced' or {n_classes} numbers from 0 up")
    return torch.tensor(numbers, dtype=torch.float32)


def single_frames(records: Sequence[Record], cache: FrameCache, n_frames: int) -> list[Record]:
    """Each record once for each of at most ``n_frames`` evenly spaced frames, marked with its ``draw`` (k, K)."""
    counts = [min(n_frames, cache.frames(record).shape[1]) for record in records]
    return [
        {**record, Keys.DRAW: (place, count)}
        for record, count in zip(records, counts, strict=True)
        for place in range(count)
    ]


def _check_classes(name: str, labels: Sequence[str], parts: Mapping[str, Sequence[Record]]) -> None:
    found = {part: {record[Keys.LABEL] for record in records} for part, records in parts.items()}
    if len(found["training"]) < 2:
        only = ", ".join(labels[index] for index in found["training"]) or "none"
        raise InputError(
            f"{name}: found training clips of the classes: {only}; expected two classes or more: fill the label "
            "column, or name another with label_column"
        )
    for part in ("validation", "testing"):
        if unknown := sorted(found[part] - found["training"]):
            raise InputError(
                f"{name}: no training clip of {', '.join(labels[index] for index in unknown)}, of which the {part} "
                "part has some: give every class a patient in each fold or part, or leave the class out"
            )
    if not (parts["validation"] or parts["testing"]):
        logger.warning("%s: all labelled clips are for training: there is nothing to say how good the network is", name)
    for part in [part for part in parts if parts[part]]:
        if missing := [label for index, label in enumerate(labels) if index not in found[part]]:
            logger.warning(
                "%s: the %s part has no clip of %s: its figures are of the other classes",
                *(name, part, ", ".join(missing)),
            )
