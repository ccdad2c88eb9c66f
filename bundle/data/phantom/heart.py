# SPDX-License-Identifier: Apache-2.0
"""Heart in a four-chamber view: beating walls, valves that open and close."""

from __future__ import annotations

import numpy as np

from .device import Device
from .scene import BodyWall, Scene, Tissue, bell, ellipse, facing, segment, step, turned, unturned
from .sector import PolarGrid

# in units of the ventricle's length: centre along the axis from the apex, across it; half axes along, across; tilt
_CHAMBERS = {
    "left ventricle": (0.54, 0.23, 0.51, 0.265, 0.03),
    "right ventricle": (0.68, -0.31, 0.36, 0.20, 0.2),
    "left atrium": (1.25, 0.26, 0.23, 0.265, 0.0),
    "right atrium": (1.24, -0.29, 0.22, 0.245, 0.0),
    "mitral opening": (1.02, 0.23, 0.14, 0.20, 0.0),
    "tricuspid opening": (1.01, -0.30, 0.14, 0.17, 0.0),
}
_WALLS = {"left ventricle": 0.14, "right ventricle": 0.06, "left atrium": 0.045, "right atrium": 0.045}
_HINGES = {"mitral": (1.0, 0.03, 0.43), "tricuspid": (0.99, -0.48, -0.12)}  # along, from, to


def contraction(beat: float) -> float:
    """How contracted the ventricles are, 0 to 1, at a phase of the beat (0 to 1)."""
    return 0.5 - 0.5 * float(np.cos(2 * np.pi * min(beat / 0.68, 1.0)))


def opening(beat: float) -> float:
    """How open the inflow valves are, 0 to 1: early filling, half closed, atrial kick."""
    return min(1.0, float(bell(np.array(beat - 0.60), 0.09) + 0.75 * bell(np.array(beat - 0.88), 0.05)))


class Heart(Scene):
    """``patient`` draws the anatomy, ``view`` the plane and the moment of the clip."""

    label = "heart"

    def __init__(self, device: Device, patient: np.random.Generator, view: np.random.Generator) -> None:
        depth = device.depth
        self.length = depth * patient.uniform(0.43, 0.52)
        self.wall = BodyWall.draw(patient, patient.uniform(0.9, 1.8))
        self.wide = patient.uniform(0.85, 1.1)
        self.muscle = patient.uniform(0.85, 1.4)
        self.myocardium = 10 ** (patient.uniform(-7, -1) / 20)
        self.blood = 10 ** (patient.uniform(-30, -19) / 20)
        self.around = 10 ** (patient.uniform(-22, -10) / 20)
        self.rate = patient.uniform(55, 115) / 60
        self.squeeze = patient.uniform(0.16, 0.34)
        self.descent = patient.uniform(0.07, 0.14)
        # the plane of this clip
        self.phase = view.random()
        self.apex = (view.normal(0, 0.04) * depth, self.wall.thickness + view.uniform(0.3, 0.9))
        self.axis = np.pi / 2 + view.normal(0, 0.16)  # from x, so the axis points down
        self.wide *= view.uniform(0.93, 1.05)

    def _local(self, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Along the axis from the apex and across it, in ventricle lengths; across is positive on the left side."""
        along, across = turned(x, z, self.apex, self.axis)
        return along / self.length, -across / (self.length * self.wide)

    def _global(self, along: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return unturned(along * self.length, -across * self.length * self.wide, self.apex, self.axis)

    def _chamber(self, name: str, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        s, b, half_s, half_b, tilt = _CHAMBERS[name]
        u, v = turned(along, across, (s, b), tilt)
        return ellipse(u, v, half_s, half_b) * self.length

    def tissue(self, grid: PolarGrid, rng: np.random.Generator) -> Tissue:
        along, across = self._local(grid.x, grid.z)
        rough = 0.06 * grid.texture(rng, 0.25, 0.3) + 0.2 * grid.texture(rng, 0.9, 1.1)
        cavity, outer = np.full(grid.shape, 99.0), np.full(grid.shape, 99.0)
        for name in _CHAMBERS:
            sd = self._chamber(name, along, across) + rough
            cavity = np.minimum(cavity, sd)
            outer = np.minimum(outer, sd - _WALLS.get(name, 0.0) * self.length * self.muscle)
        fibres = np.exp(0.4 * grid.texture(rng, 0.12, 0.5) + 0.55 * grid.texture(rng, 0.7, 0.9))
        face = facing(cavity, grid)
        beyond = self.around * np.exp(0.9 * grid.texture(rng, 0.8, 1.6) + 0.4 * grid.texture(rng, 0.1, 0.8))
        muscle = self.myocardium * fibres * (0.15 + 0.85 * facing(outer, grid))
        heart = step(-outer, 0.08)
        echo = heart * muscle + (1 - heart) * beyond
        # the pericardium behind the atria and beside the ventricles
        sack = bell(outer - 0.1, 0.1) * step(along - 0.25, 0.3)
        echo += sack * (0.1 + 1.2 * facing(outer, grid) ** 6) * fibres
        blood = step(-cavity, 0.08)
        echo = (1 - blood) * echo + blood * self.blood * np.exp(0.5 * grid.texture(rng, 0.8, 0.8))
        echo += 0.5 * bell(cavity - 0.06, 0.06) * (0.1 + face**3)  # endocardium
        for s, left, right in _HINGES.values():
            for b in (left, right):
                spot = np.hypot((along - s), (across - b) * self.wide) * self.length
                echo += 1.2 * fibres * bell(spot, 0.022 * self.length + 0.04)
        lost = 0.8 * (1 - heart) * step(outer - 0.3, 0.5) + 0.3 * heart - 0.3 * blood
        tissue = Tissue(echo, 0.5 * sack * facing(outer, grid) ** 4, lost)
        self.wall.paint(tissue, 0.6 * grid.r[:, None] + 0.4 * grid.z, grid, rng)
        return tissue

    def _beat(self, time: float) -> float:
        return (self.rate * time + self.phase) % 1.0

    def rest(self, x: np.ndarray, z: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        c = contraction(self._beat(time))
        along, across = self._local(x, z)
        # the base goes towards the apex, the walls towards the ventricles' axes, the atria fill
        profile = step(along - 0.5, 0.5) * (1 - step(along - 1.45, 0.5))
        s = along + self.descent * c * profile
        middle = bell(along - 0.5, 0.33)
        left, right, atria = across - 0.21, across + 0.30, bell(along - 1.4, 0.2)
        b = across + self.squeeze * c * middle * (left * bell(left, 0.26) + 0.6 * right * bell(right, 0.2))
        b = b - 0.35 * self.squeeze * c * atria * across * bell(across, 0.4)
        held = step(z - self.wall.thickness - 0.1, 0.4)
        x1, z1 = self._global(s, b)
        return x + held * (x1 - x), z + held * (z1 - z)

    def _leaflets(self, time: float) -> list[tuple[tuple[float, float], tuple[float, float]]]:
        """Base and tip in cm of the four leaflets."""
        opened = opening(self._beat(time))
        found = []
        for s, left, right in _HINGES.values():
            base = np.array([[s, left], [s, right]])
            x, z = self.moved(*self._global(base[:, 0], base[:, 1]), time)
            along, across = self._local(x, z)
            half = 0.5 * abs(across[1] - across[0])
            for k, inwards in ((0, 1.0), (1, -1.0)):
                angle = np.radians(14 + 62 * opened)  # from the plane of the ring, towards the apex
                reach = half * 1.08
                tip = (along[k] - reach * np.sin(angle) * self.wide, across[k] + inwards * reach * np.cos(angle))
                tx, tz = self._global(np.array(tip[0]), np.array(tip[1]))
                found.append(((float(x[k]), float(z[k])), (float(tx), float(tz))))
        return found

    def add_echoes(self, field: np.ndarray, grid: PolarGrid, time: float) -> None:
        for base, tip in self._leaflets(time):
            near = np.abs(grid.x - base[0]) + np.abs(grid.z - base[1]) < 0.6 * self.length
            distance = segment(grid.x[near], grid.z[near], base, tip)
            field[near] += 1.5 * self.myocardium * bell(distance, 0.07) + 0.5j * bell(distance, 0.1)

    def landmarks(self, time: float) -> np.ndarray:
        s = np.array([0.98, 0.98, 0.98, 0.55, 0.55, 0.3])
        b = np.array([0.20, 0.20, -0.27, 0.0, 0.40, 0.2])
        return np.stack(self.moved(*self._global(s, b), time), axis=1)
