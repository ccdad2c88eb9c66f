# SPDX-License-Identifier: Apache-2.0
"""The geometry of a sector: a grid of beams and depths, and its conversion to the pixels of a screen.

x (cm) runs sideways and z (cm) downwards from the middle of the probe face; the beams meet at (0, -radius).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .device import Device

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BEAMS = 144
DEPTHS = 312
_MARGIN = 8  # extra beams and depths around, so that the filters' periodic ends stay outside the picture
_REACH = 24  # extra beams and depths from which tissue can move into the picture
SCREEN = (320, 240)  # width, height
_ROOM = (56, 16, 312, 230)  # x0, y0, x1, y1 of the screen's room for the sector (mirrored in layout 1)


class PolarGrid:
    """Points (R, N) at ``r`` (R,) cm below the probe face on beams of angle ``theta`` (N,) radians."""

    def __init__(self, device: Device, extra_depths: int, extra_beams: int) -> None:
        self.radius = device.radius
        self.dr = device.depth / (DEPTHS - 1)
        self.dtheta = 2 * device.half_angle / (BEAMS - 1)
        self.r = (np.arange(DEPTHS + extra_depths) * self.dr).astype(np.float32)
        beams = np.arange(-extra_beams, BEAMS + extra_beams)
        self.theta = (beams * self.dtheta - device.half_angle).astype(np.float32)
        self.x = (self.radius + self.r[:, None]) * np.sin(self.theta)
        self.z = (self.radius + self.r[:, None]) * np.cos(self.theta) - np.float32(self.radius)

    @classmethod
    def of_beams(cls, device: Device) -> PolarGrid:
        """The grid on which frames are formed: a little wider than the sector."""
        return cls(device, _MARGIN, _MARGIN)

    @classmethod
    def of_tissue(cls, device: Device) -> PolarGrid:
        """The grid on which tissue at rest is described: wide enough for tissue that moves in."""
        return cls(device, _REACH, _REACH)

    @cached_property
    def shape(self) -> tuple[int, int]:
        return len(self.r), len(self.theta)

    def index(self, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fractional (row, column) of points in cm."""
        down = z + np.float32(self.radius)
        row = (np.sqrt(x * x + down * down) - np.float32(self.radius)) / np.float32(self.dr)
        return row, (np.arctan2(x, down) - self.theta[0]) / np.float32(self.dtheta)

    def texture(self, rng: np.random.Generator, axial: float, lateral: float) -> np.ndarray:
        """Smooth random field (R, N) of unit variance with correlation lengths in cm (lateral at half depth)."""
        from scipy.ndimage import gaussian_filter

        spacing = (self.radius + self.r[len(self.r) // 2]) * self.dtheta
        field = rng.standard_normal(self.shape, dtype=np.float32)
        field = gaussian_filter(field, (axial / self.dr, lateral / spacing), mode="reflect", truncate=3)
        return field / field.std()


def bilinear(row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> csr_matrix:
    """The sparse matrix that takes a flattened grid of ``shape`` to its values at n fractional places, clamped.

    A sparse product is three times as fast as indexing the four neighbours, and serves several channels at once.
    """
    from scipy.sparse import csr_matrix

    row, column = np.clip(row, 0, shape[0] - 1.001), np.clip(column, 0, shape[1] - 1.001)
    i, j = row.astype(np.int32), column.astype(np.int32)
    a, b = row - i, column - j
    places = np.empty((len(row), 4), np.int32)
    weights = np.empty((len(row), 4), np.float32)
    for k, (down, right) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        places[:, k] = (i + down) * shape[1] + j + right
        weights[:, k] = (a if down else 1 - a) * (b if right else 1 - b)
    starts = np.arange(0, places.size + 1, 4, dtype=np.int32)
    return csr_matrix((weights.ravel(), places.ravel(), starts), shape=(len(row), shape[0] * shape[1]))


class ScanConverter:
    """Takes pictures on the beam grid to the screen.

    ``inside`` (H, W) bool marks the sector's pixels, ``box`` is its bounding box xyxy (inclusive of the last pixel),
    ``cm_per_pixel`` the (square) pixel size.
    """

    def __init__(self, device: Device, grid: PolarGrid) -> None:
        width, height = SCREEN
        x0, y0, x1, y1 = _ROOM if device.layout == 0 else (width - _ROOM[2], _ROOM[1], width - _ROOM[0], _ROOM[3])
        far, sine = device.radius + device.depth, np.sin(device.half_angle)
        top = device.radius * np.cos(device.half_angle) - device.radius  # z of the sector's upper corners
        wide, tall = 2 * far * sine, device.depth - top
        self.cm_per_pixel = max(wide / (x1 - x0), tall / (y1 - y0)) / device.zoom
        self.sign = -1.0 if device.flip else 1.0
        self.centre_x = x0 + 0.5 * wide / self.cm_per_pixel + device.shift[0] * (x1 - x0 - wide / self.cm_per_pixel)
        self.top_y = y0 + device.shift[1] * (y1 - y0 - tall / self.cm_per_pixel) - top / self.cm_per_pixel

        x, z = self.to_cm(*np.meshgrid(np.arange(width), np.arange(height)))
        self.x, self.z = x.astype(np.float32), z.astype(np.float32)
        row, column = grid.index(self.x, self.z)
        angle = np.arctan2(self.x, self.z + device.radius)
        self.inside = (row >= 0) & (row <= DEPTHS - 1) & (np.abs(angle) <= device.half_angle)
        ys, xs = np.nonzero(self.inside)
        self.box = (int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max()))

        self._matrix = bilinear(row[self.inside], column[self.inside], grid.shape)

    def to_cm(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (column, row) to cm."""
        return (x - self.centre_x) * self.cm_per_pixel * self.sign, (y - self.top_y) * self.cm_per_pixel

    def to_pixels(self, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points in cm to pixels (column, row)."""
        return x * self.sign / self.cm_per_pixel + self.centre_x, z / self.cm_per_pixel + self.top_y

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """The values of ``picture`` (R, N) at the sector's pixels (in the order of ``inside``), bilinear."""
        return self._matrix @ picture.ravel()
