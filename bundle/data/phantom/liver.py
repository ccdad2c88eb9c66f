# SPDX-License-Identifier: Apache-2.0
"""Liver with vessels and one round lesion, moved by breathing."""

from __future__ import annotations

import numpy as np

from .device import Device
from .scene import BodyWall, Scene, Tissue, bell, facing, segment, step, sway
from .sector import PolarGrid


class LiverLesion(Scene):
    """``patient`` draws the anatomy, ``view`` the plane and the breath of the clip."""

    label = "liver_lesion"

    def __init__(self, device: Device, patient: np.random.Generator, view: np.random.Generator) -> None:
        depth = device.depth
        self.wall = BodyWall.draw(patient, patient.uniform(1.3, 2.6))
        self.radius = depth * patient.uniform(0.055, 0.125)
        level = patient.uniform(-13, -6) if patient.random() < 0.55 else patient.uniform(5, 9)
        self.lesion_echo = 10 ** (level / 20)
        self.lesion_loss = patient.uniform(-0.9, -0.2) if level < 0 else patient.uniform(-0.1, 0.6)
        self.halo = patient.random() < 0.3
        self.wobble = patient.normal(0, 0.05, size=(4, 2))
        self.coarse = patient.uniform(0.08, 0.25)
        self.rate, self.breath = patient.uniform(0.2, 0.35), patient.uniform(0.4, 1.1)
        self.direction = patient.uniform(-0.35, 0.35) + np.pi * patient.integers(2)
        self.floor = depth * patient.uniform(0.78, 1.1)
        self.bow = patient.uniform(0.01, 0.035)
        self.slant = patient.uniform(-0.25, 0.25)
        self.vessels = [self._vessel(depth, patient) for _ in range(int(patient.integers(4, 8)))]
        self.centre = (patient.uniform(-0.16, 0.16) * depth, patient.uniform(0.38, 0.66) * depth)
        # the plane of this clip
        self.phase = view.random()
        self.pulse = view.random()
        shift = view.normal(0, (0.05 * depth, 0.03 * depth))
        self.centre = (self.centre[0] + shift[0], self.centre[1] + shift[1])
        self.shift = (float(shift[0]) + view.normal(0, 0.5), float(shift[1]))
        self.radius *= view.uniform(0.82, 1.0)

    @staticmethod
    def _vessel(depth: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, bool]:
        """Points (n, 2) and radii (n,) of a bent, tapering vessel, and whether its walls are bright."""
        start = np.array([rng.uniform(-0.45, 0.45), rng.uniform(0.3, 0.95)]) * depth
        heading, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.35)
        length = depth * rng.uniform(0.06, 0.45)
        headings = heading + bend * np.arange(5)
        steps = np.stack([np.cos(headings), 0.7 * np.sin(headings)], axis=1) * length / 5
        points = np.vstack([start, start + np.cumsum(steps, axis=0)])
        return points, rng.uniform(0.12, 0.42) * np.linspace(1, 0.45, 6), bool(rng.random() < 0.5)

    def _lesion_distance(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        dx, dz = x - self.centre[0], z - self.centre[1]
        angle = np.arctan2(dz, dx)
        edge = np.ones_like(angle)
        for k, (c, s) in enumerate(self.wobble, start=2):
            edge = edge + (float(c) * np.cos(k * angle) + float(s) * np.sin(k * angle)) / (k - 1)
        return np.hypot(dx, dz) - self.radius * edge

    def tissue(self, grid: PolarGrid, rng: np.random.Generator) -> Tissue:
        x, z = grid.x, grid.z
        echo = np.exp(self.coarse * grid.texture(rng, 0.25, 0.35) + 0.1 * grid.texture(rng, 1.2, 1.5))
        tissue = Tissue(echo, np.zeros(grid.shape), np.zeros(grid.shape))
        for points, radii, bright in self.vessels:
            self._paint_vessel(tissue, grid, points + np.asarray(self.shift), radii, bright)
        sd = self._lesion_distance(x, z)
        inside = step(-sd, 0.07)
        mottle = np.exp(0.3 * grid.texture(rng, 0.15, 0.2))
        tissue.echo = inside * self.lesion_echo * mottle + (1 - inside) * tissue.echo
        if self.halo:
            tissue.echo *= 1 - 0.6 * bell(sd - 0.12, 0.1)
        tissue.specular *= 1 - inside
        tissue.attenuation += inside * self.lesion_loss
        self._paint_diaphragm(tissue, grid, rng)
        self.wall.paint(tissue, 0.6 * grid.r[:, None] + 0.4 * z, grid, rng)
        return tissue

    def _paint_vessel(
        self, tissue: Tissue, grid: PolarGrid, points: np.ndarray, radii: np.ndarray, bright: bool
    ) -> None:
        sd = np.full(grid.shape, 99.0, np.float32)
        for p, q, radius in zip(points[:-1], points[1:], radii, strict=False):
            sd = np.minimum(
                sd, segment(grid.x, grid.z, (float(p[0]), float(p[1])), (float(q[0]), float(q[1]))) - float(radius)
            )
        inside = step(-sd, 0.06)
        tissue.echo *= 1 - 0.94 * inside
        tissue.attenuation -= 0.5 * inside
        face = facing(sd, grid)
        wall = (2.6 if bright else 0.4) * (0.3 + face**2) * bell(sd - 0.06, 0.07)
        tissue.echo += wall
        tissue.specular += 0.35 * wall * face**4

    def _paint_diaphragm(self, tissue: Tissue, grid: PolarGrid, rng: np.random.Generator) -> None:
        x, z = grid.x, grid.z
        sd = z - (self.floor + self.slant * (x - self.shift[0]) - self.bow * x * x)
        below = step(sd, 0.1)
        tissue.echo = (1 - below) * tissue.echo + below * 0.4 * np.exp(-np.clip(sd, 0, None) / 2.5)
        line = bell(sd, 0.11) * (0.25 + facing(sd, grid) ** 6)
        tissue.echo += 3.0 * line * np.exp(0.5 * grid.texture(rng, 0.2, 0.6))
        tissue.specular = (1 - below) * tissue.specular + 1.2 * line
        tissue.attenuation += 2.0 * below

    def _displacement(self, time: float) -> tuple[float, float]:
        breath = self.breath * (sway(time, self.rate, self.phase) - sway(0.0, self.rate, self.phase))
        beat = 0.03 * np.sin(2 * np.pi * (1.2 * time + self.pulse))
        return float(breath * np.cos(self.direction)), float(breath * np.sin(self.direction) + beat)

    def rest(self, x: np.ndarray, z: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        dx, dz = self._displacement(time)
        loose = step(z - self.wall.thickness - 0.2, 0.8)  # the probe holds the skin
        return x - dx * loose, z - dz * loose

    def landmarks(self, time: float) -> np.ndarray:
        angles = np.array([0.0, 0.25, 0.5, 0.75]) * 2 * np.pi
        x = self.centre[0] + np.concatenate([[0, 0, 0], 0.8 * self.radius * np.cos(angles)])
        z = self.centre[1] + np.concatenate([[0, 0, 0], 0.8 * self.radius * np.sin(angles)])
        return np.stack(self.moved(x, z, time), axis=1)

    def lesion(self, x: np.ndarray, z: np.ndarray, time: float) -> np.ndarray:
        x, z = self.rest(x, z, time)
        found = np.hypot(x - self.centre[0], z - self.centre[1]) < 2 * self.radius
        found[found] = self._lesion_distance(x[found], z[found]) < 0
        return found
