# SPDX-License-Identifier: Apache-2.0
"""Records: one dict per item of a data set, read from its table of labels."""

from __future__ import annotations

import csv
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..keys import Keys

logger = logging.getLogger(__name__)

FILE_COLUMN = "file"
PATIENT_COLUMNS = ("group_id", "patient_id")
"""Columns taken as the patient unless one is named; the first that is not blank counts."""

# a column of one of these names is not copied over what the record has there
_NOT_COPIED = {FILE_COLUMN, Keys.IMAGE, Keys.LABEL, Keys.VIDEO_ID, Keys.PATIENT_ID, Keys.FOLD}
_UNKNOWN = "unknown:"

Record = dict[str, Any]


def records_from_table(
    labels_csv: str | os.PathLike[str],
    *,
    label_column: str | None = "label",
    patient_column: str | None = None,
    fold_column: str | None = None,
    dataset_name: str | None = None,
    where: Mapping[str, str | Sequence[str]] | None = None,
) -> list[Record]:
    """Read the records of a table (CSV, UTF-8, comma-separated, first row names the columns).

    A record has ``image`` (the column ``file``, a path relative to the table's folder), ``video_id``,
    ``patient_id``, and, where the table's cell is not blank, ``label`` (class name) and ``fold``. The table's
    other columns are kept as text under their own names. Ids are prefixed with the data set's name, so that
    the patients 1 of two data sets stay two patients.

    A blank ``video_id`` makes the file itself the video. A blank patient equals nothing: the video is a group of
    its own, and the log says how many there are.

    Args:
        labels_csv: the table.
        label_column: the column with the class names; None for none.
        patient_column: the column that says what must never be in two parts; by default ``group_id`` and, where
            that is blank or missing, ``patient_id``.
        fold_column: the column with the fold; by default ``fold`` if the table has it.
        dataset_name: prefix of the ids; by default the name of the table's folder.
        where: keep only rows whose cell in each named column is one of the given values.

    Raises:
        InputError: the table cannot be read, lacks a column, names a file twice or one that is not there, gives a
            video to two patients, or no row is left.
    """
    path = Path(labels_csv)
    columns, rows = read_rows(path)
    if label_column == Keys.LABEL and label_column not in columns:
        logger.info("%s has no column %r: its clips are taken as unlabelled", path, label_column)
        label_column = None
    where = _wanted(path, where)
    needed = [FILE_COLUMN, label_column, patient_column, fold_column, *where]
    require_columns(path, columns, [column for column in needed if column is not None])
    kept = [(line, row) for line, row in rows if all(row[column] in values for column, values in where.items())]
    if not kept:
        chosen = f" where {dict(where)}" if where else ""
        raise InputError(f"{path}: no rows{chosen} ({len(rows)} in the table): expected at least one item")
    _check_files(path, kept)

    patient_columns = [c for c in PATIENT_COLUMNS if c in columns] if patient_column is None else [patient_column]
    fold_column = fold_column or (Keys.FOLD if Keys.FOLD in columns else None)
    name = dataset_name or path.resolve().parent.name
    records = []
    for _, row in kept:
        record = make_record(
            name,
            image=row[FILE_COLUMN],
            video=row.get(Keys.VIDEO_ID, ""),
            patient=next((row[column] for column in patient_columns if row[column]), ""),
            label=row[label_column] if label_column else "",
        )
        if fold_column and row[fold_column]:
            record[Keys.FOLD] = int(row[fold_column]) if row[fold_column].isdecimal() else row[fold_column]
        record.update({column: cell for column, cell in row.items() if column not in _NOT_COPIED})
        records.append(record)
    _check_one_patient_per_video(path, records)
    log_unknown_patients(path, records)
    return records


def _wanted(table: Path, where: Mapping[str, Any] | None) -> dict[str, list[str]]:
    """Which cells of which column count; a table's cells are text."""
    if not isinstance(where, Mapping | None):
        raise InputError(f"{table}: where is {where!r}, expected cells by column, as {{'probe': 'convex'}}")
    return {
        column: [str(one) for one in (value if isinstance(value, list | tuple) else [value])]
        for column, value in (where or {}).items()
    }


def make_record(name: str, *, image: str, video: str = "", patient: str = "", label: str = "") -> Record:
    """A record with ids prefixed by the data set's ``name``; blank cells are handled as in `records_from_table`."""
    image = Path(os.path.normpath(image)).as_posix()
    video = video or image
    record = {
        Keys.IMAGE: image,
        Keys.VIDEO_ID: f"{name}/{video}",
        Keys.PATIENT_ID: f"{name}/{patient}" if patient else f"{name}/{_UNKNOWN}{video}",
    }
    if label:
        record[Keys.LABEL] = label
    return record


def log_unknown_patients(source: Path, records: Sequence[Record]) -> None:
    """Say in the log how many records have no patient, since for them nothing guards against leakage."""
    unknown = sum(f"/{_UNKNOWN}" in record[Keys.PATIENT_ID] for record in records)
    if unknown:
        logger.warning(
            "%s: the patient of %d of %d items is unknown; each of their videos is taken as a patient of its own",
            source,
            unknown,
            len(records),
        )


def read_rows(
    path: Path, delimiter: str = ",", expected: str = "a table of labels"
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The columns and (line number, row) of a table, cells stripped, blank rows left out.

    Raises:
        InputError: it cannot be read (``expected`` says what it should be), or is no CSV of equal, once named columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)  # else an open quote swallows the rows after it
            columns = [cell.strip() for cell in next(reader, [])]
            lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): expected {expected}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV table in UTF-8 ({error}): save it as CSV UTF-8") from error
    other = next((mark for mark in ";\t," if mark != delimiter and len(columns) == 1 and mark in columns[0]), None)
    if other:
        wanted = {",": "commas", ";": "semicolons"}[delimiter]
        raise InputError(f"{path}: columns separated by {other!r}, expected {wanted}: save it as CSV with {wanted}")
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise InputError(f"{path}: column {twice[0]!r} is there twice: rename one")
    rows = []
    for number, cells in lines:
        if not any(cells):
            continue
        if len(cells) > len(columns):
            raise InputError(
                f"{path}, line {number}: {len(cells)} cells under {len(columns)} columns: quote the commas"
            )
        rows.append((number, dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=True))))
    return columns, rows


def cell_number(cell: str) -> float | None:
    """The number in a cell of a table: None where it is blank, NaN where it holds no finite number."""
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def require_columns(path: Path, columns: Sequence[str], needed: Sequence[str]) -> None:
    """Refuse a table that lacks one of the ``needed`` columns."""
    for column in needed:
        if column not in columns:
            found = ", ".join(c for c in columns if c) or "none"
            raise InputError(f"{path}: no column {column!r} (found: {found}): add it or name another column")


def _check_files(path: Path, rows: Sequence[tuple[int, dict[str, str]]]) -> None:
    seen: dict[str, int] = {}
    missing = []
    for number, row in rows:
        file = row[FILE_COLUMN]
        if not file:
            raise InputError(f"{path}, line {number}: the cell {FILE_COLUMN!r} is blank: give the item's file")
        if Path(file).is_absolute():
            raise InputError(f"{path}, line {number}: {file} is absolute: give it relative to {path.parent}")
        file = os.path.normpath(file)
        if file in seen:
            raise InputError(f"{path}: {file} is in lines {seen[file]} and {number}: keep one")
        seen[file] = number
        if not (path.parent / file).exists():
            missing.append(file)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{path}: {missing[0]}{more} not found below {path.parent}: expected the files of the table")


def check_one_file_a_video(source: str | os.PathLike[str], records: Sequence[Record]) -> None:
    """Refuse several files of one video: what is predicted of a frame is told by its video and its number.

    Raises:
        InputError: names the video and its first two files.
    """
    files: dict[str, str] = {}
    for record in records:
        first = files.setdefault(record[Keys.VIDEO_ID], str(record[Keys.IMAGE]))
        if first != str(record[Keys.IMAGE]):
            raise InputError(
                f"{source}: found {first} and {record[Keys.IMAGE]} with the video_id {record[Keys.VIDEO_ID]}, expected "
                "one file a video: give each a video_id of its own (one patient_id keeps them in one part)"
            )


def _check_one_patient_per_video(path: Path, records: Sequence[Record]) -> None:
    patient_of: dict[str, str] = {}
    for record in records:
        video, patient = record[Keys.VIDEO_ID], record[Keys.PATIENT_ID]
        if patient_of.setdefault(video, patient) != patient:
            raise InputError(
                f"{path}: video {video} belongs to the patients {patient_of[video]} and {patient}: "
                "expected video ids that are unique over patients"
            )
