# SPDX-License-Identifier: Apache-2.0
"""Lung below the chest wall: a sliding pleural line with either A-lines or B-lines, ribs and their shadows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .device import Device
from .scene import BodyWall, Scene, Tissue, bell, ellipse, facing, step, sway
from .sector import PolarGrid

_FINE = 1024  # samples of the pleura's and the B-lines' own patterns


@dataclass(frozen=True)
class BLine:
    """Ring-down from a point of the pleura: where (cm), how wide (deviation, radians), how strong, how far (cm)."""

    place: float
    width: float
    strength: float
    reach: float
    grain: np.ndarray  # complex (depths, beams), moves with the line


class Lung(Scene):
    """What both lung classes share. ``patient`` draws the anatomy, ``view`` the place and the breath of the clip."""

    def __init__(self, device: Device, patient: np.random.Generator, view: np.random.Generator) -> None:
        self.depth = device.depth
        self.pleura = patient.uniform(1.5, 3.3)
        self.wall = BodyWall.draw(patient, self.pleura - 0.06)
        self.rate, self.breath = patient.uniform(0.2, 0.4), patient.uniform(0.3, 1.0)
        self.haze = 10 ** (patient.uniform(-16, -7) / 20)
        self.fade = patient.uniform(2.5, 6.0)
        self.thickness = patient.uniform(0.07, 0.11)
        self.shine = patient.uniform(2.5, 6.0)
        # the place of this clip
        self.phase, self.pulse = view.random(), view.random()
        self.tilt = view.normal(0, 0.06)
        self.flat = view.uniform(0.3, 0.8)  # 0 follows the probe face, 1 is level
        self.waves = view.normal(0, 0.02, size=(2, 2)).tolist()
        spacing = view.uniform(2.6, 3.6)
        shown = view.random() < 0.65
        first = view.uniform(-0.65, -0.35) * spacing
        self.ribs = [first + k * spacing for k in range(-2, 4)] if shown else []
        self.rib_size = (view.uniform(0.5, 0.75), view.uniform(0.22, 0.32))
        self.pattern = self._pattern(view, 6.0)
        self.echo_strength, self.b_lines = self._artefacts(patient, view)

    @staticmethod
    def _pattern(rng: np.random.Generator, smooth: float) -> np.ndarray:
        """Complex pattern of unit mean amplitude."""
        from scipy.ndimage import gaussian_filter1d

        noise = gaussian_filter1d(rng.standard_normal((2, _FINE)), smooth, mode="wrap")
        field = 1.0 + 0.45 * (noise[0] + 1j * noise[1]) / noise.std()
        return field / np.abs(field).mean()

    def _artefacts(self, patient: np.random.Generator, view: np.random.Generator) -> tuple[float, list[BLine]]:
        """Strength of the repeated pleural echo against the one before it, and the B-lines."""
        raise NotImplementedError

    @staticmethod
    def _b_line(rng: np.random.Generator, place: float, strength: float, reach: float) -> BLine:
        from scipy.ndimage import gaussian_filter, gaussian_filter1d

        noise = gaussian_filter(rng.standard_normal((2, _FINE, 16)), (0, 2.0, 1.2))
        noise /= noise.std()
        slow = gaussian_filter1d(rng.standard_normal(_FINE), 40)
        pattern = (0.5 + 0.5 * noise[0] + 0.5j * noise[1]) * np.exp(0.3 * slow / slow.std())[:, None]
        width = float(np.radians(rng.uniform(0.5, 2.0)))
        return BLine(float(place), width, float(strength), reach, pattern.astype(np.complex64))

    def _below(self, x: np.ndarray, z: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Signed distance below the pleural line."""
        line = self.pleura + self.tilt * x
        for k, (c, s) in enumerate(self.waves, start=1):
            line = line + c * np.cos(0.9 * k * x) + s * np.sin(0.9 * k * x)
        return (1 - self.flat) * r + self.flat * z - line

    def tissue(self, grid: PolarGrid, rng: np.random.Generator) -> Tissue:
        x, z = grid.x, grid.z
        below = self._below(x, z, grid.r[:, None])
        echo = self.haze * np.exp(-np.clip(below, 0, None) / self.fade + 0.25 * grid.texture(rng, 0.5, 0.5))
        tissue = Tissue(echo, np.zeros(grid.shape), np.zeros(grid.shape))
        self.wall.paint(tissue, below + self.pleura, grid, rng)
        for place in self.ribs:
            top = below + 0.75 + self.rib_size[1]
            sd = ellipse(x - place, top, *self.rib_size)
            sd = np.where(np.abs(x - place) < 2, sd, 9.0)
            surface = bell(sd, 0.09) * (top < 0.1)
            tissue.echo *= 1 - 0.8 * step(-sd, 0.08)
            tissue.echo += 3.5 * surface * (0.3 + facing(sd, grid) ** 2)
            tissue.attenuation += 38 * step(-sd, 0.08)
        return tissue

    def _slide(self, time: float) -> float:
        breath = self.breath * (sway(time, self.rate, self.phase) - sway(0.0, self.rate, self.phase))
        return breath + 0.04 * float(np.sin(2 * np.pi * (1.2 * time + self.pulse)))

    def rest(self, x: np.ndarray, z: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        # the lung slides along the wall, which itself hardly moves
        lung = step(z - self.pleura + 0.1, 0.2)
        wall = 0.06 * step(z - 0.5 * self.pleura, 0.5 * self.pleura)
        return x - self._slide(time) * np.maximum(lung, wall), z

    def _line_depths(self, grid: PolarGrid) -> tuple[np.ndarray, np.ndarray]:
        """Depth (N,) cm of the pleural line on each beam, and how squarely the beam meets it."""
        below = self._below(grid.x, grid.z, grid.r[:, None])
        i = np.clip(np.argmax(below > 0, axis=0), 1, None)
        columns = np.arange(grid.shape[1])
        upper, lower = below[i - 1, columns], below[i, columns]
        depth = grid.r[i - 1] - grid.dr * upper / (lower - upper)
        slope = np.gradient(depth, grid.dtheta) / (grid.radius + depth)
        return depth.astype(np.float32), (1 / np.sqrt(1 + slope**2)).astype(np.float32)

    def add_echoes(self, field: np.ndarray, grid: PolarGrid, time: float) -> None:
        depth, square = self._line_depths(grid)
        slide = self._slide(time)
        place = (grid.radius + depth) * np.sin(grid.theta)
        at = ((place - slide) / 24.0 * _FINE) % _FINE
        grain = np.interp(at, np.arange(_FINE), self.pattern.real) + 1j * np.interp(
            at, np.arange(_FINE), self.pattern.imag
        )
        line = (self.shine * grain * square**40).astype(np.complex64)
        repeats = grid.r[:, None] / depth
        nearest = np.maximum(np.round(repeats), 1.0)
        away = (repeats - nearest) * depth
        width = self.thickness * (0.9 + 0.1 * nearest)
        covered = np.zeros(grid.shape[1], np.float32)
        for b_line in self.b_lines:
            x = b_line.place + slide
            beam = float(np.interp(x, place, grid.theta))
            across = bell(grid.theta - beam, b_line.width) * (np.abs(x) < place[-1] + 0.5)
            below = np.clip(grid.r[:, None] - depth, 0, None)
            column = np.clip(8 + 2.5 * (grid.theta - beam) / b_line.width, 0, 15).astype(int)
            own = b_line.grain[np.minimum((below * 42).astype(int), _FINE - 1), column]
            fall = b_line.strength * np.exp(-below / b_line.reach) * (below > 0)
            field += fall * own * across
            covered = np.maximum(covered, across * min(1.0, b_line.strength))
        strength = np.where(nearest > 1, (self.echo_strength ** (nearest - 1)) * (1 - 0.8 * covered), 1.0)
        field += line * (strength * bell(away, width))

    def landmarks(self, time: float) -> np.ndarray:
        x = np.array([-1.6, -0.6, 0.4, 1.4]) + self._slide(time)
        z = np.full(4, self.pleura)
        z[:] = self.pleura + self.tilt * x
        more = [
            (b.place + self._slide(time), self.pleura + 0.25 * self.depth) for b in self.b_lines if abs(b.place) < 3
        ]
        if not more:
            more = [(0.3, self.pleura * 2)]
        return np.vstack([np.stack([x, z], axis=1), more])


class LungALines(Lung):
    """Air below the pleura: the line repeats at multiples of its depth. Now and then a single faint B-line."""

    label = "lung_a_lines"

    def _artefacts(self, patient: np.random.Generator, view: np.random.Generator) -> tuple[float, list[BLine]]:
        lines = []
        if view.random() < 0.2:
            lines.append(self._b_line(view, view.uniform(-2, 2), view.uniform(0.2, 0.4), view.uniform(1.0, 2.5)))
        return patient.uniform(0.14, 0.38), lines


class LungBLines(Lung):
    """Fluid in the lung: ring-down from points of the pleura wipes out the repeated line."""

    label = "lung_b_lines"

    def _artefacts(self, patient: np.random.Generator, view: np.random.Generator) -> tuple[float, list[BLine]]:
        count = int(patient.integers(2, 6))
        places = np.linspace(-3, 3, count) + view.normal(0, 0.5, size=count)
        strong = patient.uniform(0.7, 1.6)
        lines = [self._b_line(view, p, strong * view.uniform(0.6, 1.2), view.uniform(5, 14)) for p in places]
        return patient.uniform(0.04, 0.16), lines
