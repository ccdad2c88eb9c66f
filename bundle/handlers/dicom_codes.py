# SPDX-License-Identifier: Apache-2.0
"""Codes of what is found: those of SNOMED CT where the name is known, else the project's own."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

SCHEME = "99USVIDEOSSL"
"""Designator of the project's own codes; 99 marks private ones (PS3.16 8.2)."""

_ABNORMAL = ("49755003", "SCT", "Morphologically Abnormal Structure")
_ANATOMICAL = ("91723000", "SCT", "Anatomical Structure")
_SPATIAL = ("309825002", "SCT", "Spatial and Relational Concept")
_STRUCTURES = {
    "lesion": (_ABNORMAL, ("52988006", "SCT", "Lesion")),
    "mass": (_ABNORMAL, ("4147007", "SCT", "Mass")),
    "nodule": (_ABNORMAL, ("27925004", "SCT", "Nodule")),
    "cyst": (_ABNORMAL, ("367643001", "SCT", "Cyst")),
    "tumor": (_ABNORMAL, ("108369006", "SCT", "Neoplasm")),
    "tumour": (_ABNORMAL, ("108369006", "SCT", "Neoplasm")),
    "head": (_ANATOMICAL, ("69536005", "SCT", "Head")),
    "heart": (_ANATOMICAL, ("80891009", "SCT", "Heart")),
    "left ventricle": (_ANATOMICAL, ("87878005", "SCT", "Left ventricle")),
    "liver": (_ANATOMICAL, ("10200004", "SCT", "Liver")),
    "kidney": (_ANATOMICAL, ("64033007", "SCT", "Kidney")),
    "thyroid": (_ANATOMICAL, ("69748006", "SCT", "Thyroid")),
    "prostate": (_ANATOMICAL, ("41216001", "SCT", "Prostate")),
}
"""Category (CID 7150) and type of a segmented property, by what the structure is called in a recipe."""

_VALUE, _MEANING = 16, 64  # characters at most (SH, LO)


def structure_codes(name: str) -> tuple[Code, Code]:
    """Category and type of a segmented structure; of a name that is not known, a place and the project's own code."""
    from pydicom.sr.coding import Code

    category, kind = _STRUCTURES.get(name.strip().lower().replace("_", " "), (_SPATIAL, None))
    return Code(*category), own_code(name) if kind is None else Code(*kind)


def own_code(meaning: str) -> Code:
    """A code of the project's scheme. Its value follows from the meaning, so that it never has two."""
    from pydicom.sr.coding import Code

    value = hashlib.sha256(meaning.encode()).hexdigest()[:_VALUE]
    return Code(value, SCHEME, meaning[:_MEANING])


def own_scheme() -> list[Any]:
    """Who answers for the project's codes, for the Coding Scheme Identification Sequence."""
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    return [CodingSchemeIdentificationItem(SCHEME, name="Names of classes and structures of ultrasound-video-ssl")]
