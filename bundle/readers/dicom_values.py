# SPDX-License-Identifier: Apache-2.0
"""Numbers out of DICOM attributes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset


def numbers(dataset: Dataset, name: str) -> list[float]:
    """The numbers of an attribute, [] when it is missing, empty or not all of it can be read as numbers.

    A comma counts as the decimal point, as some writers have it. NaN and infinities are handed out as they are.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, on the form of the value
            value: Any = dataset.get(name)
        values = value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
        return [float(str(one).replace(",", ".")) for one in values if one is not None]
    except Exception:  # pydicom raises many kinds on damaged values
        return []
