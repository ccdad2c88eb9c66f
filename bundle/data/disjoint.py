# SPDX-License-Identifier: Apache-2.0
"""The check that no file, video or patient is in two parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from ..errors import InputError
from ..keys import Keys

_SHOWN = 5


def check_disjoint(parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Make sure that no file, video or patient is in two of the named parts.

    Everything that trains or evaluates calls this with all data it touches, also over data sets: the ids carry the
    data set's name. A record without an id equals no other.

    Args:
        parts: records by the name of their part (or of their fold).

    Raises:
        InputError: names the two parts and what they share.
    """
    for key, noun in ((Keys.PATIENT_ID, "patient"), (Keys.VIDEO_ID, "video"), (Keys.IMAGE, "file")):
        ids = {name: {record[key] for record in records if record.get(key)} for name, records in parts.items()}
        for one, other in combinations(ids, 2):
            shared = sorted(ids[one] & ids[other], key=str)
            if shared:
                names = ", ".join(map(str, shared[:_SHOWN])) + (", ..." if len(shared) > _SHOWN else "")
                raise InputError(
                    f"{one} and {other} share {len(shared)} {noun}{'s' if len(shared) > 1 else ''} ({names}): "
                    "expected none, split the data by patient"
                )
