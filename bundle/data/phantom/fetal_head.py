# SPDX-License-Identifier: Apache-2.0
"""Fetal head in an axial plane: skull, midline, inner structures, fluid and uterine wall around, small motions."""

from __future__ import annotations

import numpy as np

from .device import Device
from .scene import BodyWall, Scene, Tissue, bell, ellipse, facing, segment, step, sway, turned, unturned
from .sector import PolarGrid


class FetalHead(Scene):
    """``patient`` draws the anatomy, ``view`` the plane and the motion of the clip."""

    label = "fetal_head"

    def __init__(self, device: Device, patient: np.random.Generator, view: np.random.Generator) -> None:
        depth = device.depth
        self.b = 0.5 * depth * patient.uniform(0.44, 0.60)  # half the biparietal diameter
        self.a = self.b / patient.uniform(0.74, 0.86)
        self.wall = BodyWall.draw(patient, patient.uniform(0.9, 1.8))
        self.fluid = (patient.uniform(0.2, 1.6), patient.uniform(0.1, 0.9))
        self.uterus_shift = patient.normal(0, 0.8, size=2)
        self.placenta = patient.uniform(0.35, 1.0)
        self.skull = patient.uniform(0.055, 0.085)
        self.bone = patient.uniform(16, 28)
        self.brain = 10 ** (patient.uniform(-24, -15) / 20)
        self.side = 1.0 if patient.random() < 0.5 else -1.0
        self.tilt = patient.uniform(-0.5, 0.5)
        self.folds = patient.uniform(0.5, 0.9)
        # the plane of this clip
        self.centre = (view.normal(0, 0.05) * depth, self.wall.thickness + 0.5 + self.b + view.uniform(0, 0.06) * depth)
        self.angle = self.tilt + view.normal(0, 0.12)
        self.plane = view.random()  # 0 shows the thalami, 1 the lateral ventricles
        scale = view.uniform(0.93, 1.0)
        self.a, self.b = self.a * scale, self.b * scale
        self.rate, self.phase = view.uniform(0.2, 0.5), view.random()
        self.travel = view.normal(0, 0.25), view.normal(0, 0.25)
        self.turn = view.normal(0, 0.06)
        self.mother = view.uniform(0.05, 0.2)
        self.pulse_phase = view.random()

    def tissue(self, grid: PolarGrid, rng: np.random.Generator) -> Tissue:
        u, v = turned(grid.x, grid.z, self.centre, self.angle)
        sd = ellipse(u, v, self.a, self.b)
        tissue = self._around(grid, rng)
        inside = step(-sd, 0.08)
        brain, lines = self._inside(u, v, grid, rng)
        tissue.echo = (1 - inside) * tissue.echo + inside * brain
        tissue.specular = inside * lines
        tissue.attenuation = (1 - inside) * tissue.attenuation - 0.1 * inside
        # scalp, then bone: bright where the beam meets it squarely, and a long way through it elsewhere
        scalp = bell(sd - 0.32, 0.08) * 0.7
        face = facing(sd, grid)
        bone = bell(sd, self.skull)
        uneven = np.exp(0.35 * grid.texture(rng, 0.8, 0.8))
        tissue.echo += scalp + bone * (1.0 + 7.0 * face**4) * uneven
        tissue.specular += bone * (0.1 + 6.0 * face**6) * uneven
        tissue.attenuation += self.bone * bone
        self.wall.paint(tissue, 0.6 * grid.r[:, None] + 0.4 * grid.z, grid, rng)
        return tissue

    def _around(self, grid: PolarGrid, rng: np.random.Generator) -> Tissue:
        """Fluid, and the wall of the uterus and what lies behind it."""
        u, v = turned(grid.x, grid.z, self.centre, self.angle)
        sd = ellipse(u - self.uterus_shift[0], v - self.uterus_shift[1], self.a + self.fluid[0], self.b + self.fluid[1])
        sd = sd + 0.5 * grid.texture(rng, 0.9, 1.2) + 0.08 * grid.texture(rng, 0.2, 0.3)
        outside = step(sd, 0.1)
        flesh = self.placenta * np.exp(0.5 * grid.texture(rng, 0.09, 0.9) + 0.6 * grid.texture(rng, 0.6, 1.4))
        edge = 0.8 * bell(sd - 0.1, 0.08)
        return Tissue(outside * flesh + 0.04 + edge, np.zeros(grid.shape), 0.25 * outside - 0.35)

    def _inside(
        self, u: np.ndarray, v: np.ndarray, grid: PolarGrid, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scattering and mirror-like echoes of the brain in head coordinates (u along, v across)."""
        a, b, s = self.a, self.b, self.side
        fold = grid.texture(rng, 0.12, 0.18)
        rim = step(np.sqrt((u / a) ** 2 + (v / b) ** 2) - 0.7, 0.25)
        echo = self.brain * np.exp(self.folds * (0.45 + 0.55 * rim) * fold)
        echo = echo + 3.5 * self.brain * rim * np.clip(fold - 0.7, 0, None)  # sulci
        uneven = np.exp(0.7 * grid.texture(rng, 0.25, 0.4))
        lines = np.zeros_like(echo)
        # the falx, interrupted by the box of the cavum in front
        wavy = v + 0.02 * b * np.sin(4 * u / a) + 0.03 * fold
        box = (u * s > 0.32 * a) & (u * s < 0.56 * a)
        falx = bell(wavy, 0.045) * step(0.86 * a - np.abs(u), 0.15 * a) * ~box
        cavum = (bell(np.abs(v) - 0.07 * b, 0.04) * box) * (1 - 0.5 * self.plane)
        echo += (1.1 * falx + 1.0 * cavum) * uneven
        lines += 0.9 * (falx + cavum) * uneven
        for half in (-1.0, 1.0):
            thalamus = ellipse(u + 0.02 * a * s, v - half * 0.19 * b, 0.2 * a, 0.15 * b)
            shown = 1 - self.plane
            echo *= 1 - 0.55 * shown * step(-thalamus, 0.08)
            echo += 0.3 * shown * bell(thalamus, 0.05) * uneven
            ventricle = ellipse(u + 0.38 * a * s, v - half * 0.36 * b, 0.3 * a, 0.11 * b)
            echo *= 1 - 0.8 * (0.3 + 0.7 * self.plane) * step(-ventricle, 0.06)
            echo += 0.55 * (0.4 + 0.6 * self.plane) * bell(ventricle, 0.05) * uneven
            choroid = ellipse(u + 0.42 * a * s, v - half * 0.36 * b, 0.17 * a, 0.08 * b)
            echo += 0.9 * (0.2 + 0.8 * self.plane) * step(-choroid, 0.08) * uneven
            p, q = (0.25 * a * s, half * 0.62 * b), (-0.2 * a * s, half * 0.66 * b)
            echo += 0.6 * bell(segment(u, v, p, q) + 0.04 * fold, 0.06) * uneven  # the lateral fissure
        # the near half is veiled by echoes going to and fro in the bone
        veil = np.clip(-v * np.cos(self.angle) / b, 0, 1)
        return echo + 1.4 * self.brain * veil * step(rim - 0.2, 0.3), lines

    def _pose(self, time: float) -> tuple[float, float, float]:
        move = sway(time, self.rate, self.phase) - sway(0.0, self.rate, self.phase)
        beat = 0.012 * float(np.sin(2 * np.pi * (2.3 * time + self.pulse_phase)))
        return self.travel[0] * move, self.travel[1] * move * 0.5 + beat, self.turn * move

    def rest(self, x: np.ndarray, z: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        # the mother's breath moves everything below her skin, the head moves within
        breath = self.mother * (sway(time, 0.27, self.phase) - sway(0.0, 0.27, self.phase))
        x = x - breath * step(z - self.wall.thickness, 0.8)
        dx, dz, turn = self._pose(time)
        u, v = turned(x, z, (self.centre[0] + dx, self.centre[1] + dz), turn)
        hx, hz = u + self.centre[0], v + self.centre[1]
        sd = ellipse(*turned(hx, hz, self.centre, self.angle), self.a, self.b)
        own = step(0.7 - sd, 0.6) * step(z - self.wall.thickness, 0.5)
        return x + own * (hx - x), z + own * (hz - z)

    def landmarks(self, time: float) -> np.ndarray:
        a, b, s = self.a, self.b, self.side
        u = np.array([0.0, 0.44 * a * s, -0.4 * a * s, 0.0, 0.0, 0.0])
        v = np.array([0.0, 0.0, 0.36 * b, 0.19 * b, -b, b])
        return np.stack(self.moved(*unturned(u, v, self.centre, self.angle), time), axis=1)
