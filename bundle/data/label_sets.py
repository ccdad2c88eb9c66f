# SPDX-License-Identifier: Apache-2.0
"""Lists of class names in a fixed order, and what other tables call the same classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..keys import PARTS, Keys


@dataclass(frozen=True)
class LabelSet:
    """Class names by index, and what other tables call them.

    ``other_names`` is from the name elsewhere, lower case with words joined by ``_``, to the name here.
    """

    about: str
    classes: tuple[str, ...]
    other_names: Mapping[str, str] = field(default_factory=dict)

    def name_of(self, label: str) -> str:
        """The name here of a class of another table; what is not known stays as it is."""
        key = "_".join(re.findall(r"\w+", label.casefold().replace("_", " ")))
        return key if key in self.classes else self.other_names.get(key, label)


PLANES = LabelSet(
    "the 14 plane classes of Droste et al. (IPMI 2019, table 3), as Jiao et al. (ISBI 2020), in the table's order",
    (
        *("rvot", "lvot", "four_chamber", "kidneys", "profile", "lips", "brain_transcerebellar"),
        *("three_vessel_trachea", "brain_transventricular", "spine_coronal", "abdomen", "spine_sagittal", "femur"),
        "background",
    ),
    {
        # SonoNet (Baumgartner et al., IEEE TMI 2017). It has the three-vessel view where the table above has the
        # three-vessel and trachea view, the next plane of the same sweep: one class here
        **{"3vv": "three_vessel_trachea", "three_vessel_view": "three_vessel_trachea", "3vt": "three_vessel_trachea"},
        **{"4ch": "four_chamber", "abdominal": "abdomen"},
        **{"brain_cb": "brain_transcerebellar", "brain_tv": "brain_transventricular"},
        **{"brain_cerebellum": "brain_transcerebellar"},
        **{"spine_cor": "spine_coronal", "spine_sag": "spine_sagittal"},
        # FETAL_PLANES_DB (Burgos-Artizzu et al., Sci Rep 2020). Its thorax is not one cardiac view, its
        # trans-thalamic plane and cervix are none of the 14, and its other images may show some of them: no names here
        **{"fetal_abdomen": "abdomen", "fetal_femur": "femur"},
        **{"trans_cerebellum": "brain_transcerebellar", "trans_ventricular": "brain_transventricular"},
    },
)

FETAL_PLANES_DB = LabelSet(
    "the 6 classes of FETAL_PLANES_DB (Burgos-Artizzu et al., Sci Rep 2020)",
    ("fetal_abdomen", "fetal_brain", "fetal_femur", "fetal_thorax", "maternal_cervix", "other"),
)

LABEL_SETS: Mapping[str, LabelSet] = {"planes": PLANES, "fetal_planes_db": FETAL_PLANES_DB}
"""The known lists by name."""


def with_classes(content: Mapping[str, Any], classes: str | Sequence[str]) -> dict[str, Any]:
    """A datalist's content (`datalist_content`) with these classes in this order.

    Raises:
        InputError: the name of no label set, or no list.
    """
    if not isinstance(classes, Sequence) or (isinstance(classes, str) and classes not in LABEL_SETS):
        known = ", ".join(LABEL_SETS)
        raise InputError(f"class_names: found {classes!r}, expected a list of names or a known set ({known})")
    chosen = LABEL_SETS[classes] if isinstance(classes, str) else LabelSet("", tuple(map(str, classes)))
    renamed = {
        part: [
            {**record, Keys.LABEL: chosen.name_of(record[Keys.LABEL])} if record.get(Keys.LABEL) else record
            for record in content.get(part) or []
        ]
        for part in PARTS
    }
    return {**content, "labels": list(chosen.classes), **renamed}
