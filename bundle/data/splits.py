# SPDX-License-Identifier: Apache-2.0
"""Splits by patient: parts, folds, and labels kept for only some patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..keys import PARTS, UNLABELLED, Keys
from .records import Record

MIN_PATIENTS_FOR_VALIDATION = 10
"""Records without labels get a validation part when they are of this many patients."""

_MAX_MOVES = 500


def split_parts(
    records: Sequence[Record], fractions: Mapping[str, float] | None = None, seed: int = 0
) -> dict[str, list[Record]]:
    """Split records into parts, each patient in one part only, classes in the same proportions.

    Every part gets at least one patient of each class that has as many patients as there are parts. Items without a
    label are spread like a class. The result depends on the seed, not on the order of the records or of the fractions.

    Args:
        records: what to split; patients may have several classes.
        fractions: share of the items by part; a part with 0 stays empty. By default training 0.6, validation 0.2
            and testing 0.2. Without any label there is nothing to test: then training 0.9 and validation 0.1, or, with
            fewer than ten patients, training only.
        seed: another seed gives another split.

    Raises:
        InputError: the fractions don't add up to 1, or there are fewer patients than parts.
    """
    if not isinstance(fractions, Mapping | None):
        raise InputError(
            f"parts: found {fractions!r}, expected shares by part as {{'training': 0.8, 'validation': 0.2}}"
        )
    fractions = dict(_default_fractions(records) if fractions is None else fractions)
    if any(fraction < 0 for fraction in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
        raise InputError(f"parts {fractions}: expected shares from 0 to 1 that add up to 1")
    names = [name for name in sorted(fractions, key=_usual_order) if fractions[name] > 0]
    part_of = _assign_patients(records, np.array([fractions[name] for name in names]), seed, "parts")
    parts: dict[str, list[Record]] = {name: [] for name in fractions}
    for record in _in_order(records):
        parts[names[part_of[record[Keys.PATIENT_ID]]]].append(record)
    return parts


def split_folds(records: Sequence[Record], n_folds: int, seed: int = 0) -> list[Record]:
    """Give each record a ``fold`` (0 to ``n_folds`` - 1), as `split_parts` does with equal parts.

    Returns:
        copies of the records, ordered by file.

    Raises:
        InputError: fewer than two folds, or fewer patients than folds.
    """
    if n_folds < 2:
        raise InputError(f"{n_folds} folds: expected at least 2")
    fold_of = _assign_patients(records, np.full(n_folds, 1 / n_folds), seed, "folds")
    return [{**record, Keys.FOLD: fold_of[record[Keys.PATIENT_ID]]} for record in _in_order(records)]


def by_fold(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The records of each fold, as ``{"fold 0": [...], ...}``; records without a fold are left out."""
    folds = sorted(
        {record[Keys.FOLD] for record in records if Keys.FOLD in record}, key=lambda fold: (isinstance(fold, str), fold)
    )
    return {f"fold {fold}": [record for record in records if record.get(Keys.FOLD) == fold] for fold in folds}


def hide_labels(records: Sequence[Record], fraction: float, seed: int = 0) -> list[Record]:
    """Keep the labels of a fraction of the patients and hide all others, for semi-supervised training.

    In each class that fraction of its patients, and at least one, keeps its labels (none for fraction 0). With the
    same seed the patients of a smaller fraction are among those of a larger one.

    Args:
        records: records of a loaded datalist, with the class index in ``label``.
        fraction: share of the patients that keep their labels, 0 to 1.
        seed: which patients these are.

    Returns:
        copies of the records in their order; a hidden ``label`` is `UNLABELLED`, and ``label_name`` is gone.

    Raises:
        InputError: the fraction is not between 0 and 1.
    """
    if not 0 <= fraction <= 1:
        raise InputError(f"fraction {fraction} of labelled patients: expected 0 to 1")
    labelled = [record for record in records if record[Keys.LABEL] != UNLABELLED]
    kept = _patients_of_each_class(labelled, lambda count: max(1, round(fraction * count)) if fraction > 0 else 0, seed)
    return [dict(record) if record[Keys.PATIENT_ID] in kept else _without_label(record) for record in records]


def few_patients(records: Sequence[Record], number: float, seed: int = 0) -> list[Record]:
    """The records of a few patients of each class, for how far few labels carry.

    A patient of several classes counts in each and comes with all of its records; where a class has fewer patients than
    asked for it has all of them. Records without a label count as a class of their own. With the same seed the patients
    of a smaller number are among those of a larger one.

    Args:
        records: records of a loaded datalist, with the class index in ``label``.
        number: patients a class, 1, 2, ...; below 1 the share of each class's patients, but at least one.
        seed: which patients these are.

    Raises:
        InputError: the number is none, not above 0, or not whole and above 1.
    """
    usable = isinstance(number, int | float) and number is not True and number > 0
    if not usable or (number > 1 and number != int(number)):
        raise InputError(
            f"labelled_patients: found {number!r}, expected a whole number of patients a class, or a share above 0 and "
            "below 1"
        )
    kept = _patients_of_each_class(
        records, lambda count: max(1, round(number * count)) if number < 1 else int(number), seed
    )
    return [record for record in records if record[Keys.PATIENT_ID] in kept]


def _patients_of_each_class(records: Sequence[Record], number: Callable[[int], int], seed: int) -> set[Any]:
    """The first of each class's patients in an order drawn by ``seed``; ``number`` says how many of how many."""
    classes: dict[str, set[Any]] = {}
    for record in records:
        classes.setdefault(record[Keys.PATIENT_ID], set()).add(record[Keys.LABEL])
    patients = sorted(classes)
    order = [patients[i] for i in np.random.default_rng(seed).permutation(len(patients))]
    kept: set[str] = set()
    for label in sorted(set().union(*classes.values())):
        of_class = [patient for patient in order if label in classes[patient]]
        kept.update(of_class[: number(len(of_class))])
    return kept


def _usual_order(part: str) -> tuple[int, str]:
    """Training, validation, testing, then others by name."""
    return (PARTS.index(part) if part in PARTS else len(PARTS), part)


def _default_fractions(records: Sequence[Record]) -> dict[str, float]:
    if any(Keys.LABEL in record for record in records):
        return {"training": 0.6, "validation": 0.2, "testing": 0.2}
    patients = len({record[Keys.PATIENT_ID] for record in records})
    return {"training": 0.9, "validation": 0.1} if patients >= MIN_PATIENTS_FOR_VALIDATION else {"training": 1.0}


def _without_label(record: Record) -> Record:
    hidden = {key: value for key, value in record.items() if key != Keys.LABEL_NAME}
    hidden[Keys.LABEL] = UNLABELLED
    return hidden


def _in_order(records: Sequence[Record]) -> list[Record]:
    return sorted(records, key=lambda record: str(record[Keys.IMAGE]))


def _assign_patients(records: Sequence[Record], shares: np.ndarray, seed: int, noun: str) -> dict[str, int]:
    """The part of each patient: greedy from the rarest class on, then single moves while they improve the balance."""
    patients = sorted({record[Keys.PATIENT_ID] for record in records})
    if len(patients) < len(shares):
        raise InputError(
            f"{len(patients)} patients for {len(shares)} {noun}: expected at least one patient each, "
            f"ask for fewer {noun} or add data"
        )
    labels = sorted({record[Keys.LABEL] for record in records if Keys.LABEL in record})
    column = {label: i for i, label in enumerate(labels)}
    row = {patient: i for i, patient in enumerate(patients)}
    # items per patient and class; the last two columns are items without a label, and the patient itself
    counts = np.zeros((len(patients), len(labels) + 2))
    for record in records:
        counts[row[record[Keys.PATIENT_ID]], column.get(record.get(Keys.LABEL), len(labels))] += 1
    counts[:, -1] = 1
    balance = _Balance(counts, shares)

    order = np.random.default_rng(seed).permutation(len(patients))
    in_class = counts[:, : len(labels)] > 0
    rarest = np.where(in_class, in_class.sum(axis=0), len(patients) + 1).min(axis=1, initial=len(patients) + 1)
    part = np.full(len(patients), -1)
    for patient in order[np.argsort(rarest[order], kind="stable")]:
        part[patient] = int(np.argmin(balance.cost_of_adding(patient)))
        balance.add(patient, part[patient])
    for _ in range(_MAX_MOVES):
        move = balance.best_move(part)
        if move is None:
            break
        patient, target = move
        balance.add(patient, part[patient], sign=-1)
        balance.add(patient, target)
        part[patient] = target
    return {patient: int(part[i]) for patient, i in row.items()}


class _Balance:
    """How far the parts are from their shares, and from having a patient of each class."""

    def __init__(self, counts: np.ndarray, shares: np.ndarray) -> None:
        self.counts = counts
        totals = counts.sum(axis=0)
        self.scale = np.maximum(totals, 1)
        self.scale[-1] *= 3  # balanced items matter more than balanced patients
        self.targets = shares[:, None] * totals
        self.present = (counts > 0).astype(float)
        self.items = np.zeros_like(self.targets)
        self.patients = np.zeros_like(self.targets)
        # every part must have each class that has a patient for each part; items without a label are no class
        self.wanted = self.present.sum(axis=0) >= len(shares)
        self.wanted[-2] = False

    def cost(self, part: int | slice, items: np.ndarray, patients: np.ndarray) -> np.ndarray:
        """Cost of a part (or of all parts, as rows) with these counts, (..., columns) -> (...)."""
        missing = ((patients < 0.5) & self.wanted).sum(axis=-1)
        deviation = (((items - self.targets[part]) / self.scale) ** 2).sum(axis=-1)
        return 1e3 * missing + deviation

    def add(self, patient: int, part: int, sign: int = 1) -> None:
        self.items[part] += sign * self.counts[patient]
        self.patients[part] += sign * self.present[patient]

    def cost_of_adding(self, patient: int) -> np.ndarray:
        """Change of the cost when this patient goes to each of the parts."""
        before = self.cost(slice(None), self.items, self.patients)
        return self.cost(slice(None), self.items + self.counts[patient], self.patients + self.present[patient]) - before

    def best_move(self, part: np.ndarray) -> tuple[int, int] | None:
        """The patient and part that improve the balance most, if any move does."""
        before = self.cost(slice(None), self.items, self.patients)
        change = np.zeros((len(part), len(before)))
        for target in range(len(before)):
            items, patients = self.items[target], self.patients[target]
            change[:, target] += self.cost(target, items + self.counts, patients + self.present) - before[target]
            inside = part == target
            left = self.cost(target, items - self.counts[inside], patients - self.present[inside]) - before[target]
            change[inside] += left[:, None]
        change[np.arange(len(part)), part] = 0
        best, target = divmod(int(np.argmin(change)), len(before))
        return (best, target) if change[best, target] < -1e-9 else None
