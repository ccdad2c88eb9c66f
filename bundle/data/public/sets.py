# SPDX-License-Identifier: Apache-2.0
"""The public data sets by name."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import InputError
from .bus_uclm import BUS_UCLM
from .busi import BUSI
from .camus import CAMUS
from .covid_blues import COVID_BLUES
from .fetal_planes_db import FETAL_PLANES_DB
from .hc18 import HC18
from .pocus import POCUS
from .public_set import PublicSet

PUBLIC_SETS: Mapping[str, PublicSet] = {
    known.name: known for known in (POCUS, COVID_BLUES, FETAL_PLANES_DB, BUS_UCLM, BUSI, HC18, CAMUS)
}
"""The public data sets by name."""


def find_public_set(name: str) -> PublicSet:
    """The set of this name.

    Raises:
        InputError: there is none.
    """
    if name not in PUBLIC_SETS:
        raise InputError(f"set {name!r}: not known: expected one of {', '.join(PUBLIC_SETS)}")
    return PUBLIC_SETS[name]
