# SPDX-License-Identifier: Apache-2.0
"""From stored grey values to the level shown (PS3.3 C.11): modality LUT or rescale, then VOI LUT or window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .dicom_layout import Layout
from .dicom_values import code, numbers, value

if TYPE_CHECKING:
    from pydicom import Dataset

GREY_ATTRIBUTES = [
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
]


def grey_table(dataset: Dataset, layout: Layout, stored: np.ndarray) -> np.ndarray:
    """Level shown, 0 to 255, for each of the ``stored`` values.

    Without VOI LUT and window the full range that BitsStored (after the rescale) or the modality LUT allows is mapped
    to 0 to 255, whatever part of it the pixels use.
    """
    values = stored.astype(np.float64)
    if modality := value(dataset, "ModalityLUTSequence"):
        values, high = _looked_up(values, modality[0], layout)
        low = 0.0
    else:
        slope, intercept = (numbers(dataset, f"Rescale{part}") for part in ("Slope", "Intercept"))
        values = values * ((slope[0] if slope else 1.0) or 1.0) + (intercept[0] if intercept else 0.0)
        low, high = values.min(), values.max()
    if voi := value(dataset, "VOILUTSequence"):
        values, full = _looked_up(values, voi[0], layout)
        share = values / full
    elif (window := _window(dataset)) is not None:
        share = _windowed(values, *window)
    else:
        share = (values - low) / (high - low)
    shown = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return 255 - shown if layout.photometric == "MONOCHROME1" else shown


def _looked_up(values: np.ndarray, item: Dataset, layout: Layout) -> tuple[np.ndarray, int]:
    """The entry for each value and the largest there can be; past either end of the table its last entry counts."""
    entries, first, bits = _integers(item, "LUTDescriptor", layout)
    if layout.signed and first >= 1 << 15:  # written as unsigned
        first -= 1 << 16
    table = np.asarray(_integers(item, "LUTData", layout)[: entries or 1 << 16])
    full = (1 << max(bits, int(table.max()).bit_length())) - 1  # some say 8 bits of entries with more
    return table[np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)].astype(np.float64), full


def _integers(item: Dataset, name: str, layout: Layout) -> list[int]:
    """Numbers, which pydicom leaves as bytes where the VR is OW or not said."""
    found = item[name].value
    if isinstance(found, bytes):
        return np.frombuffer(found, ">u2" if layout.big_endian else "<u2").tolist()
    return [int(n) for n in found]


def _window(dataset: Dataset) -> tuple[float, float, str] | None:
    """The first window: centre, width, function (LINEAR, LINEAR_EXACT, SIGMOID)."""
    centre, width = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    function = code(dataset, "VOILUTFunction") or "LINEAR"
    if not centre or not width or not width[0] >= (1 if function == "LINEAR" else 1e-6):
        return None
    return centre[0], width[0], function


def _windowed(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, as a share of the output range."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - centre) / width))
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    return (values - (centre - 0.5)) / max(width - 1, 1e-9) + 0.5
