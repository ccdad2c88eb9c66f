# SPDX-License-Identifier: Apache-2.0
"""Values of DICOM attributes as they are found in the wild."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

_CODE = re.compile(r"[\w.\\/ -]{0,64}", re.ASCII)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """pydicom without its words on the form of values, which quote them; its warnings stay silent from then on.

    `warnings.catch_warnings` would silence other threads too, in which files are read at the same time.
    """
    warnings.filterwarnings("ignore", module=r"pydicom\.")
    logger = logging.getLogger("pydicom")
    disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = disabled


def value(dataset: Dataset, name: str) -> Any:
    """The value of an attribute, None when it is missing, empty or too damaged for pydicom."""
    with quiet_pydicom():
        try:
            return dataset.get(name)
        except Exception:  # of many kinds
            return None


def numbers(dataset: Dataset, name: str) -> list[float]:
    """The numbers of an attribute, [] when there is none or one of them cannot be read as a number.

    A comma counts as the decimal point, as some writers have it. NaN and infinities are handed out as they are.
    """
    found = value(dataset, name)
    values = found if isinstance(found, Iterable) and not isinstance(found, str | bytes) else [found]
    try:
        return [float(str(one).replace(",", ".")) for one in values if one is not None]
    except ValueError:
        return []


def text(dataset: Dataset, name: str) -> str:
    """The text of an attribute without the blanks around it, "" when there is none."""
    found = value(dataset, name)
    if isinstance(found, Iterable) and not isinstance(found, str | bytes):
        found = "\\".join(map(str, found))
    return "" if found is None else str(found).strip(" \0")


def code(dataset: Dataset, name: str) -> str:
    """The code or UID of an attribute, "" when it is longer or has other characters than these have.

    A damaged length makes a value of what stands behind it, and that may be a name, which must not get into a message.
    """
    found = text(dataset, name)
    return found if _CODE.fullmatch(found) else ""
