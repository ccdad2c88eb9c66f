# SPDX-License-Identifier: Apache-2.0
"""What of a cine's meta is kept beside its cached frames: plain values, nothing that says where or who."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

# paths, and what DICOM and ITK readers know of the person, have no place in a cache
_PRIVATE = re.compile(r"patient|birth|0010\||filename|path", re.IGNORECASE)


def plain_meta(meta: Mapping[Any, Any]) -> dict[str, Any]:
    """What of a tensor's ``meta`` can be written as JSON; paths and what may name a person are left out."""
    plain = {}
    for key, value in meta.items():
        if not isinstance(key, str) or _PRIVATE.search(key):
            continue
        try:
            plain[key] = _plain(value)
        except TypeError:
            continue
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return plain_meta(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form")
