# SPDX-License-Identifier: Apache-2.0
"""Lists of class names in a fixed order, and what other tables call the same classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..keys import Keys

_PARTS = ("training", "validation", "testing")


@dataclass(frozen=True)
class LabelSet:
    """Class names by index, and other names of these classes: name elsewhere -> name here, case does not matter."""

    about: str
    classes: tuple[str, ...]
    other_names: Mapping[str, str] = field(default_factory=dict)

    def name_of(self, label: str) -> str:
        """The name here of a class of another table; what is not known stays as it is."""
        return self.other_names.get(label.casefold(), label)


LABEL_SETS: Mapping[str, LabelSet] = {}
"""The known lists by name."""


def with_classes(content: Mapping[str, Any], classes: str | Sequence[str]) -> dict[str, Any]:
    """A datalist's content (`datalist_content`) with these classes in this order.

    Raises:
        InputError: the name of no label set, or a class twice.
    """
    if isinstance(classes, str) and classes not in LABEL_SETS:
        known = ", ".join(LABEL_SETS) or "none"
        raise InputError(f"class_names: found {classes!r}, expected a list of names or a known set ({known})")
    chosen = LABEL_SETS[classes] if isinstance(classes, str) else LabelSet("", tuple(map(str, classes)))
    renamed = {
        part: [
            {**record, Keys.LABEL: chosen.name_of(record[Keys.LABEL])} if record.get(Keys.LABEL) else record
            for record in content.get(part) or []
        ]
        for part in _PARTS
    }
    return {**content, "labels": list(chosen.classes), **renamed}
