# SPDX-License-Identifier: Apache-2.0
"""What all simulated body parts share: tissue maps, a displacement, landmarks, the body wall, simple shapes.

All lengths are in cm in the frame of ``sector.py``; ``sd`` is a signed distance, negative inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .sector import PolarGrid


@dataclass
class Tissue:
    """Maps (R, N) of tissue at rest: scattering amplitude (1 is parenchyma), mirror-like echo amplitude, and
    two-way attenuation in dB/cm beyond what the machine compensates for."""

    echo: np.ndarray
    specular: np.ndarray
    attenuation: np.ndarray


class Scene:
    """One body part of one patient in one view. Subclasses draw themselves from generators and set ``label``."""

    label = ""

    def tissue(self, grid: PolarGrid, rng: np.random.Generator) -> Tissue:
        """The tissue at rest on ``grid``; ``rng`` is for texture only."""
        raise NotImplementedError

    def rest(self, x: np.ndarray, z: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Where the tissue now at (x, z) lies at rest."""
        raise NotImplementedError

    def add_echoes(self, field: np.ndarray, grid: PolarGrid, time: float) -> None:
        """Add to the complex ``field`` (R, N) what does not move as a continuous tissue does (valves, artefacts)."""

    def landmarks(self, time: float) -> np.ndarray:
        """Points (n, 2) in cm at which a person who knows the plane looks."""
        raise NotImplementedError

    def lesion(self, x: np.ndarray, z: np.ndarray, time: float) -> np.ndarray | None:
        """Whether the points belong to a lesion at ``time``; None for scenes that have none."""
        return None

    def moved(self, x: np.ndarray, z: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Where tissue at rest at (x, z) is at ``time``: the inverse of `rest`, by fixed-point iteration."""
        x0, z0 = np.asarray(x, float), np.asarray(z, float)
        x1, z1 = x0.copy(), z0.copy()
        for _ in range(12):
            x2, z2 = self.rest(x1, z1, time)
            x1, z1 = x1 + (x0 - x2), z1 + (z0 - z2)
        return x1, z1


def step(value: np.ndarray, width: float) -> np.ndarray:
    """Smooth step from 0 (below -width) to 1 (above width)."""
    u = np.clip(0.5 + 0.5 * value / width, 0, 1)
    return u * u * (3 - 2 * u)


def bell(value: np.ndarray, width: float) -> np.ndarray:
    """Gaussian of peak 1 and deviation ``width``."""
    return np.exp(-0.5 * (value / width) ** 2)


def turned(x: np.ndarray, z: np.ndarray, centre: tuple[float, float], angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across an axis through ``centre`` at ``angle`` radians from x."""
    c, s = float(np.cos(angle)), float(np.sin(angle))
    dx, dz = x - centre[0], z - centre[1]
    return c * dx + s * dz, c * dz - s * dx


def unturned(u: np.ndarray, v: np.ndarray, centre: tuple[float, float], angle: float) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `turned`."""
    c, s = float(np.cos(angle)), float(np.sin(angle))
    return centre[0] + c * u - s * v, centre[1] + s * u + c * v


def ellipse(u: np.ndarray, v: np.ndarray, a: float, b: float) -> np.ndarray:
    """Signed distance to an axis-parallel ellipse of half axes a and b at the origin, to first order."""
    k = np.sqrt((u / a) ** 2 + (v / b) ** 2) + 1e-6
    slope = np.sqrt((u / a**2) ** 2 + (v / b**2) ** 2) / k + 1e-6
    return (k - 1) / slope


def segment(x: np.ndarray, z: np.ndarray, p: tuple[float, float], q: tuple[float, float]) -> np.ndarray:
    """Distance to the segment from p to q."""
    dx, dz = q[0] - p[0], q[1] - p[1]
    t = np.clip(((x - p[0]) * dx + (z - p[1]) * dz) / (dx * dx + dz * dz + 1e-9), 0, 1)
    return np.hypot(x - p[0] - t * dx, z - p[1] - t * dz)


def facing(sd: np.ndarray, grid: PolarGrid) -> np.ndarray:
    """How squarely beams meet the surfaces of ``sd`` (R, N): cosine of the angle between beam and normal."""
    return np.abs(np.clip(np.gradient(sd, grid.dr, axis=0), -1, 1))


@dataclass(frozen=True)
class BodyWall:
    """Skin, fat with septa and muscle with fibres, ``thickness`` cm in all."""

    thickness: float
    fat: float  # fraction of the thickness
    strength: float

    @classmethod
    def draw(cls, rng: np.random.Generator, thickness: float) -> BodyWall:
        return cls(thickness, rng.uniform(0.25, 0.6), rng.uniform(0.8, 1.5))

    def paint(self, tissue: Tissue, depth: np.ndarray, grid: PolarGrid, rng: np.random.Generator) -> None:
        """Replace what lies less deep than the wall; ``depth`` (R, N) is the distance below the skin."""
        fibres = grid.texture(rng, 0.05, 1.0)
        wavy = depth + 0.08 * grid.texture(rng, 0.4, 1.5)
        fat_end = self.fat * self.thickness
        echo = 0.55 * np.exp(0.75 * fibres)
        echo = np.where(wavy > fat_end, 0.5 * np.exp(0.95 * fibres), echo)
        echo = echo + 2.6 * bell(wavy - 0.12, 0.06) + 1.8 * bell(wavy - fat_end, 0.05)
        echo = echo + 1.6 * bell(wavy - self.thickness + 0.08, 0.06)
        inside = step(self.thickness - wavy, 0.06)
        tissue.echo[:] = inside * self.strength * echo + (1 - inside) * tissue.echo
        tissue.specular *= 1 - inside
        tissue.attenuation *= 1 - inside


def sway(time: float, rate: float, phase: float) -> float:
    """Breathing as a quantity between -1 and 1: ``rate`` in cycles a second, ``phase`` in cycles."""
    angle = 2 * np.pi * (rate * time + phase)
    return float(np.sin(angle) + 0.2 * np.sin(2 * angle)) / 1.1
