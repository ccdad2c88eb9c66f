# SPDX-License-Identifier: Apache-2.0
"""Numbers out of DICOM attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def numbers(value: Any) -> list[float]:
    """The numbers of an attribute, [] when it is missing, empty or no number."""
    values = value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else [value]
    try:
        return [float(v) for v in values]
    except (TypeError, ValueError):
        return []
