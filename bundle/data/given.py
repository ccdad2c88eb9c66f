# SPDX-License-Identifier: Apache-2.0
"""Items that a program hands to a recipe in place of a data folder, as MONAI Label does with what a user labelled."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..keys import Keys
from .datalist import Datalist, datalist_content, datalist_of
from .records import Record, make_record

SOURCE = "given"
"""The name of data that are no folder's; it begins their ids."""


class ListedItems(list[Record]):
    """The records of a part that know the datalist they are of.

    A recipe has them under ``train#dataset#data`` and ``validate#dataset#data``, the two lists that MONAI Label
    replaces by its own; what is found there (`datalist_of_items`) is then the whole of the data either way.
    """

    def __init__(self, datalist: Datalist, part: str) -> None:
        super().__init__(datalist.parts[part])
        self.datalist = datalist


def are_given(items: Sequence[Any]) -> bool:
    """Whether a program put these in place of a datalist's."""
    return not isinstance(items, ListedItems)


def datalist_of_items(
    training: Sequence[Mapping[str, Any]],
    validation: Sequence[Mapping[str, Any]],
    class_names: Sequence[str],
    target: str = Keys.LABEL,
) -> Datalist:
    """The datalist of items that are listed, or one of items ``{"image": path, "label": ...}`` that are given.

    Of given items nothing is known of patients: each is its own, and there is no testing part.

    Args:
        training, validation: `ListedItems`, or what was given.
        class_names: of the class indices.
        target: what ``label`` is: ``"label"``, a class (its index, its name, or a JSON file with either under ``label``
            or with scores under ``prediction``, as MONAI Label's classifiers answer), or ``"mask"``, the path of one.

    Raises:
        InputError: an item without a label that can be used, or of an unknown class; see `load_datalist`.
    """
    if isinstance(training, ListedItems):
        return training.datalist
    parts = {"training": training, "validation": validation}
    paths = [str(item[Keys.IMAGE]) for items in parts.values() for item in items]
    if not paths:
        raise InputError(f"{SOURCE} items: found none; expected items with an image and its label: label some first")
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    records = {
        part: [_record(item, folder, class_names, target) for item in _once(items)] for part, items in parts.items()
    }
    content = {**datalist_content(records, name=SOURCE), "labels": list(class_names)}
    return datalist_of(content, f"{SOURCE} items", folder)


def _once(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return list({str(item[Keys.IMAGE]): item for item in items}.values())


def _record(item: Mapping[str, Any], folder: str, class_names: Sequence[str], target: str) -> Record:
    record = make_record(SOURCE, image=os.path.relpath(item[Keys.IMAGE], folder))
    label = item.get(Keys.LABEL)
    if target == Keys.MASK:
        if not label or not os.path.isfile(label):
            raise InputError(f"{item[Keys.IMAGE]}: found the mask {label!r}; expected the path of a file")
        return {**record, Keys.MASK: os.path.relpath(label, folder)}
    return {**record, Keys.LABEL: class_of(label, class_names, str(item[Keys.IMAGE]))}


def class_of(label: Any, class_names: Sequence[str], where: str) -> str:
    """The class name that ``label`` means, see `datalist_of_items`.

    Raises:
        InputError: it means none of ``class_names``.
    """
    found = _read_label(label) if isinstance(label, str) and os.path.isfile(label) else label
    if isinstance(found, Mapping) and found.get("prediction"):
        found = max(found["prediction"], key=lambda one: one["score"])
    if isinstance(found, Mapping):
        found = found.get("label", found.get("idx"))
    if isinstance(found, str) and found.isdecimal() and found not in class_names:
        found = int(found)
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < len(class_names):
        return class_names[found]
    if found in class_names:
        return str(found)
    raise InputError(f"{where}: found the label {found!r} ({label}); expected one of {', '.join(class_names)}")


def _read_label(path: str) -> Any:
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: found no text ({error}); expected a class, as {{'label': 1}} in JSON") from error
    try:
        return json.loads(text)
    except ValueError:
        return text
