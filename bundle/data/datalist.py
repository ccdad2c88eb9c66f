# SPDX-License-Identifier: Apache-2.0
"""Datalists: which items are for training, validation and testing, as a JSON file in MONAI's usual form."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import cannot_write, made_folder, written_beside
from ..keys import PARTS, PHANTOM, UNLABELLED, Keys
from .disjoint import check_disjoint
from .folders import records_from_folder
from .folds import fold_parts
from .label_sets import with_classes
from .records import Record, records_from_table
from .splits import split_parts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Datalist:
    """The records of each part, with absolute paths and class indices.

    In a record ``image`` and, where there is one, ``mask`` are absolute paths, ``label`` is the index of the class in
    ``labels`` or `UNLABELLED`, and ``label_name`` the class name where there is one.
    """

    name: str
    labels: list[str]
    training: list[Record]
    validation: list[Record]
    testing: list[Record]
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the file holds (see `datalist_content`), to be written again with `write_datalist`."""

    @property
    def parts(self) -> dict[str, list[Record]]:
        """Records by the name of their part."""
        return {"training": self.training, "validation": self.validation, "testing": self.testing}

    @property
    def simulated(self) -> bool:
        """Whether any clip is simulated: its record says so."""
        return any(record.get(Keys.SIMULATED) for part in self.parts.values() for record in part)


def datalist_content(
    parts: Mapping[str, Sequence[Record]],
    *,
    name: str,
    description: str | None = None,
    seed: int | None = None,
    classes: Sequence[str] = (),
) -> dict[str, Any]:
    """What a datalist file holds: name, class names, seed, and the records of the three parts.

    The class names are those that occur, in the order of ``classes``; what is not among these follows sorted.
    """
    records = [record for part in parts.values() for record in part]
    content: dict[str, Any] = {"name": name}
    if description:
        content["description"] = description
    found = {record[Keys.LABEL] for record in records if record.get(Keys.LABEL)}
    content["labels"] = [label for label in classes if label in found] + sorted(found - set(classes))
    if seed is not None:
        content["seed"] = seed
    content.update({part: list(parts.get(part, [])) for part in PARTS})
    return content


def write_datalist(path: str | os.PathLike[str], content: Mapping[str, Any], *, overwrite: bool = False) -> None:
    """Write what `datalist_content` gives. The same content being there already is fine.

    Raises:
        InputError: the file holds something else and ``overwrite`` is not set, or cannot be written.
    """
    path = Path(path)
    if not overwrite and is_written(path, content):
        return
    made_folder(path.parent)
    with written_beside(path) as beside:
        beside.write_text(_as_text(content), encoding="utf-8")


def is_written(path: str | os.PathLike[str], content: Mapping[str, Any]) -> bool:
    """Whether `write_datalist` has written this content there.

    Raises:
        InputError: the file holds something else.
    """
    path = Path(path)
    try:
        if not path.exists():
            return False
        if path.read_text(encoding="utf-8", errors="replace") == _as_text(content):
            return True
    except OSError as error:
        raise cannot_write(path, error) from error
    raise InputError(f"{path}: there already with other content: choose another place, or ask to overwrite it")


def load_datalist(
    path: str | os.PathLike[str], dataset_dir: str | os.PathLike[str], *, allow_leakage: bool = False
) -> Datalist:
    """Read a datalist file; its paths are relative to ``dataset_dir``.

    With ``allow_leakage`` parts may share videos and patients: for a caller that looks for these itself.

    Raises:
        InputError: the file cannot be read or is no datalist, a record lacks a key or has an unknown label, a file is
            not there or is listed twice, or two parts share a file, video or patient.
    """
    return _resolve(_read_content(Path(path)), Path(path), _existing_folder(dataset_dir), allow_leakage)


def datalist_of(
    content: Mapping[str, Any], source: str | os.PathLike[str], dataset_dir: str | os.PathLike[str]
) -> Datalist:
    """What `load_datalist` gives, of a content that is in no file yet; errors name ``source``."""
    return _resolve(content, Path(source), _existing_folder(dataset_dir), allow_leakage=False)


def open_datalist(
    dataset_dir: str | os.PathLike[str],
    datalist: str | os.PathLike[str] | None = None,
    *,
    label_column: str | None = "label",
    where: Mapping[str, str | Sequence[str]] | None = None,
    classes: str | Sequence[str] | None = None,
    fractions: Mapping[str, float] | None = None,
    fold: int | str | None = None,
    seed: int = 0,
    allow_leakage: bool = False,
) -> Datalist:
    """The datalist of a data folder, made on the spot where there is none.

    The first of these counts: the file ``datalist``; ``datalist.json`` in the folder; ``labels.csv`` in the folder;
    all clips below the folder. The last two are split by patient with `split_parts`. With ``fold`` the parts are those
    of cross-validation instead (`fold_parts`), also of a datalist.

    Args:
        dataset_dir: the data folder.
        datalist: a datalist file, if it is not the folder's own.
        label_column: the column of ``labels.csv`` with the class names; None for none.
        where: which rows of ``labels.csv`` count, see `records_from_table`.
        classes: the class names in the order of their indices, or the name of one of `LABEL_SETS`; None for those that
            occur, sorted.
        fractions: share of the items by part, see `split_parts`.
        fold: the fold that is tested.
        seed: seed of the split.
        allow_leakage: see `load_datalist`.

    Raises:
        InputError: the folder or the datalist is not there or cannot be used (see `load_datalist`,
            `records_from_table`, `records_from_folder`, `split_parts`, `fold_parts`), a label is not among
            ``classes``, parts were asked for beside a fold, or labels, rows or parts of a datalist, which has its own.
    """
    if fold is not None and fractions is not None:
        raise InputError(f"found fold {fold} and parts {fractions}: expected one of the two, leave out parts")
    folder = _existing_folder(dataset_dir)
    own, table = folder / "datalist.json", folder / "labels.csv"
    if datalist is not None or own.exists():
        source = own if datalist is None else Path(datalist)
        content = _read_content(source)
        _check_records(content, source)
        if fractions is not None or where is not None or label_column not in (None, Keys.LABEL):
            raise InputError(
                f"{source} has labels and parts of its own: leave out label_column, where and parts, or the datalist"
            )
        if fold is not None:
            records = [record for part in PARTS for record in content.get(part) or []]
            content = {**content, **_divided(records, source, None, fold, seed)}
    else:
        source = table if table.exists() else folder
        records = (
            records_from_table(table, label_column=label_column, where=where)
            if table.exists()
            else records_from_folder(folder)
        )
        if unknown := sorted(set(fractions or {}) - set(PARTS)):
            raise InputError(f"parts: found {', '.join(map(str, unknown))}, expected {', '.join(PARTS)}")
        parts = _divided(records, source, fractions, fold, seed)
        content = datalist_content(parts, name=folder.resolve().name, seed=seed)
    if classes is not None:
        content = with_classes(content, classes)
    opened = _resolve(content, source, folder, allow_leakage)
    sizes = ", ".join(f"{len(records)} {part}" for part, records in opened.parts.items())
    logger.info("data from %s: %s; classes: %s", source, sizes, ", ".join(opened.labels) or "none")
    return opened


def _divided(
    records: Sequence[Record], source: Path, fractions: Mapping[str, float] | None, fold: int | str | None, seed: int
) -> dict[str, list[Record]]:
    try:
        return split_parts(records, fractions, seed) if fold is None else fold_parts(records, fold, seed)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def _as_text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _existing_folder(dataset_dir: str | os.PathLike[str]) -> Path:
    folder = Path(dataset_dir)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder: expected the data folder (dataset_dir)")
    return folder


def _read_content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): expected a datalist file") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}): expected a datalist file") from error
    if not isinstance(content, dict) or not any(content.get(part) is not None for part in PARTS):
        raise InputError(f"{path}: no list of records: expected at least one of {', '.join(PARTS)}")
    for part in PARTS:
        if not isinstance(content.get(part), list | None):
            raise InputError(f"{path}: {part!r} is {content[part]!r}: expected a list of records")
    return content


def _resolve(content: Mapping[str, Any], source: Path, folder: Path, allow_leakage: bool) -> Datalist:
    """Check the content of a datalist and turn it into records to load."""
    _check_records(content, source)
    raw = {part: content.get(part) or [] for part in PARTS}
    labels = content.get("labels", datalist_content(raw, name="")["labels"])
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"{source}: 'labels' is {labels!r}: expected a list of class names")
    if len(set(labels)) < len(labels):
        raise InputError(f"{source}: 'labels' is {labels!r}: expected each class once")
    index = {label: i for i, label in enumerate(labels)}
    parts = {part: [_resolve_record(record, index, source, folder) for record in raw[part]] for part in PARTS}
    if not allow_leakage:
        try:
            check_disjoint(parts)
        except InputError as error:
            raise InputError(f"{source}: {error}") from error
    everything = [record for part in PARTS for record in parts[part]]
    if not everything:
        raise InputError(f"{source}: no records: expected at least one in {', '.join(PARTS)}")
    _check_files(everything, source)
    name = str(content.get("name", folder.resolve().name))
    if name == PHANTOM and not all(record.get(Keys.SIMULATED) for record in everything):
        name = f"{PHANTOM} (not simulated)"  # by this name weights are known that may be passed on
    return Datalist(name=name, labels=list(labels), content=content, **parts)


def _check_records(content: Mapping[str, Any], source: Path) -> None:
    for part in PARTS:
        for number, record in enumerate(content.get(part) or []):
            _check_record(record, f"{source}, {part} item {number}")


def _check_record(record: Any, where: str) -> None:
    if not isinstance(record, dict):
        raise InputError(f"{where}: {type(record).__name__} {record!r}: expected a record with {Keys.IMAGE!r}")
    for key in (Keys.IMAGE, Keys.VIDEO_ID, Keys.PATIENT_ID):
        if not isinstance(record.get(key), str) or not record[key]:
            raise InputError(
                f"{where}: {key!r} is missing or not text (found: {', '.join(record) or 'nothing'}): add it"
            )
    if not isinstance(record.get(Keys.LABEL), str | None):
        raise InputError(f"{where}: label {record[Keys.LABEL]!r}: expected a class name as text")
    if Path(record[Keys.IMAGE]).is_absolute():
        raise InputError(f"{where}: {record[Keys.IMAGE]} is absolute: expected a path relative to the data folder")


def _resolve_record(record: Record, index: Mapping[str, int], source: Path, folder: Path) -> Record:
    label = record.get(Keys.LABEL) or None
    if label is not None and label not in index:
        known = ", ".join(index) or "none"
        raise InputError(f"{source}: {record[Keys.IMAGE]} has the unknown label {label!r}: expected one of: {known}")
    resolved = {**record, Keys.IMAGE: os.path.abspath(folder / record[Keys.IMAGE])}
    if record.get(Keys.MASK):
        resolved[Keys.MASK] = os.path.abspath(folder / record[Keys.MASK])
    resolved[Keys.LABEL] = UNLABELLED if label is None else index[label]
    if label is not None:
        resolved[Keys.LABEL_NAME] = label
    return resolved


def _check_files(records: Sequence[Record], source: Path) -> None:
    files = [record[Keys.IMAGE] for record in records]
    seen: set[str] = set()
    for file in files:
        if file in seen:
            raise InputError(f"{source}: {file} is listed twice: keep one")
        seen.add(file)
    missing = [file for file in files if not os.path.exists(file)]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{source}: {missing[0]}{more} not found: expected the listed files below the data folder")
