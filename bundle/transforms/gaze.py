# SPDX-License-Identifier: Apache-2.0
"""Where people looked in a cine, as the network sees it: fixations and how far each is blurred."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr

from ..errors import InputError
from .square import known

_LEAST_MASS = 1e-12


@dataclass(frozen=True)
class BlurWidth:
    """Standard deviation of the Gaussian by which a fixation is blurred, given in exactly one of three units.

    Degrees of visual angle need to know how the frames were shown: pixels of the original frame for one degree, or the
    distance of the eye from the screen and the size that a pixel of the frame had on it. A degree is then
    ``2 distance tan(0.5 degrees)``. One degree is usual, about the width of sharp sight and the error of eye trackers.

    Args:
        degrees: of visual angle.
        mm: in the tissue; needs a cine that knows its spacing.
        pixels: of the original frame.
        pixels_per_degree: for degrees.
        distance_mm, shown_pixel_mm: for degrees, instead of the former: eye to screen, and a pixel of the frame as
            shown.

    Raises:
        InputError: none or several units are given, degrees without what they need or with both ways, or a number that
            is not above 0.
    """

    degrees: float | None = None
    mm: float | None = None
    pixels: float | None = None
    pixels_per_degree: float | None = None
    distance_mm: float | None = None
    shown_pixel_mm: float | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in vars(self).items() if value is not None}
        units = [name for name in ("degrees", "mm", "pixels") if name in given]
        if len(units) != 1:
            raise InputError(f"blur of fixations: found {_told(given, units)}, expected one of degrees, mm and pixels")
        for name, value in given.items():
            if not (isinstance(value, int | float) and 0 < value < math.inf):
                raise InputError(f"blur of fixations: found {name} {value!r}, expected a number above 0")
        shown = {name for name in ("pixels_per_degree", "distance_mm", "shown_pixel_mm") if name in given}
        if units == ["degrees"] and shown not in ({"pixels_per_degree"}, {"distance_mm", "shown_pixel_mm"}):
            raise InputError(
                f"blur of fixations in degrees: found {_told(given, sorted(shown))}, expected pixels_per_degree, or "
                "distance_mm and shown_pixel_mm, of how the frames were shown"
            )

    def in_network_pixels(self, meta: Mapping[str, Any], name: str = "a cine") -> tuple[float, float]:
        """The width along x and along y in pixels of the network's square, for the cine of this meta.

        Raises:
            InputError: mm are given, and the cine does not know its spacing.
        """
        if self.mm is not None:
            if meta.get("spacing") is None:
                raise InputError(
                    f"{name}: found no spacing, expected mm a pixel to blur its fixations by {self.mm:g} mm; give the "
                    "width in pixels or degrees, or leave the clip out"
                )
            row, column = meta["spacing"]
            return self.mm / float(column), self.mm / float(row)
        width = self.original_pixels() * float(known(meta, "resize_scale"))
        return width, width

    def original_pixels(self) -> float:
        """The width in pixels of the original frame, of degrees or pixels."""
        if self.pixels is not None:
            return self.pixels
        assert self.degrees is not None
        if self.pixels_per_degree is not None:
            return self.degrees * self.pixels_per_degree
        assert self.distance_mm is not None and self.shown_pixel_mm is not None
        return self.degrees * 2 * self.distance_mm * math.tan(math.radians(0.5)) / self.shown_pixel_mm


@dataclass(frozen=True)
class Gaze:
    """The fixations of a cine in the network's square input.

    Attributes:
        frames: ``(n,)`` the frame of each fixation.
        points: ``(n, 2)`` xy in pixels of the square, edge to edge.
        weights: ``(n,)`` how much each counts in the density.
        width: the blur's standard deviation along x and y in the same pixels.
        size: side of the square.
    """

    frames: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    width: tuple[float, float]
    size: int

    @property
    def fixated(self) -> np.ndarray:
        """The frames that have a fixation, in order."""
        return np.unique(self.frames)

    def density(self, frame: int) -> np.ndarray:
        """``(size, size)`` float32 that sums to 1: the weighted fixations of a frame, blurred; 0 without any.

        Each pixel holds the integral of the Gaussians over its area, so narrow ones lose nothing. What lies beside the
        square is cut off.
        """
        here = self.frames == frame
        edges = np.arange(self.size + 1)
        across, down = (
            np.diff(ndtr((edges - self.points[here, axis, None]) / self.width[axis]), axis=1) for axis in (0, 1)
        )
        density = np.einsum("n,nh,nw->hw", self.weights[here], down, across)
        total = density.sum()
        return (density / total if total > _LEAST_MASS else np.zeros_like(density)).astype(np.float32)

    def counts(self, frame: int) -> np.ndarray:
        """``(size, size)`` int32: how many fixations of a frame lie in each pixel."""
        counts = np.zeros((self.size, self.size), dtype=np.int32)
        columns, rows = np.floor(self.points[self.frames == frame]).astype(int).T
        np.add.at(counts, (rows, columns), 1)
        return counts


def _told(given: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {given[name]}" for name in names) or "none"
