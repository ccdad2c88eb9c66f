# SPDX-License-Identifier: Apache-2.0
"""From the stored values of a DICOM frame to what is shown: grey or RGB, uint8."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .dicom_grey import GREY_ATTRIBUTES, grey_table
from .dicom_layout import GREY, PALETTE, YBR, Layout
from .dicom_palette import PALETTE_ATTRIBUTES, palette_table

if TYPE_CHECKING:
    from pydicom import Dataset

COLOUR_ATTRIBUTES = [*GREY_ATTRIBUTES, *PALETTE_ATTRIBUTES]


class Display:
    """Stored values ``(H, W)`` or ``(H, W, C)`` -> what is shown, ``(H, W, 1 or 3)`` uint8.

    Grey by `grey_table`, palettes by `palette_table`. YBR_FULL and YBR_FULL_422 are converted by PS3.3 C.7.6.3.1.2;
    JPEG 2000 undoes YBR_ICT and YBR_RCT itself. Colour of other than 8 bits is scaled from the range of BitsStored.
    """

    def __init__(self, dataset: Dataset, layout: Layout, shift: int, path: Path) -> None:
        """``shift``: how far the decoder leaves the stored values from the lowest bit."""
        self._layout, self._shift = layout, shift
        self._is_ybr = layout.photometric in YBR
        bits = layout.stored
        patterns = np.arange(1 << bits)
        stored = np.where(layout.signed & (patterns >> (bits - 1) == 1), patterns - (1 << bits), patterns)
        table: np.ndarray
        if layout.photometric in GREY:
            table = grey_table(dataset, layout, stored)
        elif layout.photometric == PALETTE:
            table = palette_table(dataset, layout, stored, path)
        else:
            table = np.rint(patterns * (255.0 / ((1 << bits) - 1))).astype(np.uint8)
        self._table = None if bits == 8 and np.array_equal(table, patterns) else table

    def __call__(self, values: np.ndarray, is_rgb: bool) -> np.ndarray:
        """``is_rgb``: the decoder has already undone the file's colour transform.

        Raises:
            ValueError: when the picture is not of the size or the samples that the header says.
        """
        layout = self._layout
        height, width, samples = values.shape if values.ndim == 3 else (*values.shape, 1)
        layout.check_size(width, height)
        if layout.samples == 1:
            values = values.reshape(height, width, -1)[..., 0]
        elif samples != 3:
            raise ValueError(f"{samples} samples a pixel where three are needed")
        shown = self._shown(values)
        if self._is_ybr and not is_rgb:
            shown = _ybr_to_rgb(shown)
        return shown if shown.ndim == 3 else shown[..., None]

    def _shown(self, values: np.ndarray) -> np.ndarray:
        if self._table is None and values.dtype == np.uint8:
            return values
        if values.dtype != np.uint8:  # other bits may be anything: overlays, signs
            values = (values.astype(np.uint16) >> np.uint16(self._shift)) & np.uint16((1 << self._layout.stored) - 1)
        elif self._layout.stored < 8:
            values = (values >> np.uint8(self._shift)) & np.uint8((1 << self._layout.stored) - 1)
        return values.astype(np.uint8) if self._table is None else self._table.take(values, axis=0)


def _ybr_to_rgb(values: np.ndarray) -> np.ndarray:
    """PS3.3 C.7.6.3.1.2, rounded to the nearest."""
    red_of, green_of, blue_of = _chroma_tables()
    luma, blue, red = (values[..., k].astype(np.int16) for k in range(3))
    rgb = np.empty(values.shape, np.uint8)
    rgb[..., 0] = np.clip(luma + red_of.take(red), 0, 255)
    rgb[..., 1] = np.clip(luma + green_of[blue, red], 0, 255)
    rgb[..., 2] = np.clip(luma + blue_of.take(blue), 0, 255)
    return rgb


@cache
def _chroma_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What Cr adds to red, Cb and Cr to green, Cb to blue."""
    chroma = np.arange(256) - 128.0
    green = -0.344136 * chroma[:, None] - 0.714136 * chroma
    return tuple(np.rint(part).astype(np.int16) for part in (1.402 * chroma, green, 1.772 * chroma))  # type: ignore[return-value]
