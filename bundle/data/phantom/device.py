# SPDX-License-Identifier: Apache-2.0
"""Machine and operator settings of a simulated examination, drawn from the same distributions for every class."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Device:
    """What a machine, its probe and its operator do to a picture, whatever is being looked at.

    Lengths in cm, angles in radians, levels in dB, times in seconds. Attenuation is two-way and relative to what
    the machine compensates for.
    """

    radius: float  # from the apex of the beams to the probe face
    half_angle: float  # of the sector
    depth: float
    frequency: float  # MHz, of the transmitted pulse
    pulse: float  # standard deviation of the pulse envelope, cm
    spread: float  # growth of the beam width per cm of depth
    focus: float
    frame_time: float
    dynamic_range: float
    brightness: float  # mean grey level (0 to 1) the operator turns the gain to
    gamma: float  # of the grey map
    tgc: tuple[float, ...]  # error of the time-gain compensation at equally spaced depths, dB
    attenuation: float  # dB/cm left over
    noise: float  # electronic noise at full depth against parenchyma, dB
    clutter: float  # ringing below the probe face against parenchyma, dB
    smoothing: float  # of the picture before display, in samples
    contact: float  # beams lost at one side for want of contact, fraction of the sector, signed; 0 is none
    flip: bool
    zoom: float  # how much of the room on the screen the sector fills
    shift: tuple[float, float]  # where in the free room it lies, 0 to 1 in x and y
    layout: int  # where the screen's texts are
    clock: int  # seconds after midnight


def _probe(rng: np.random.Generator) -> tuple[float, float]:
    """Radius and half opening angle of a convex, a phased or a flat wide-view probe."""
    kind = rng.choice(3, p=(0.5, 0.3, 0.2))
    if kind == 0:
        return rng.uniform(4.0, 6.2), np.radians(rng.uniform(27, 36))
    if kind == 1:
        return rng.uniform(0.6, 1.6), np.radians(rng.uniform(36, 44))
    return rng.uniform(9.0, 14.0), np.radians(rng.uniform(16, 22))


def draw_device(rng: np.random.Generator) -> Device:
    """Draw the settings of an examination. Nothing here knows the class."""
    radius, half_angle = _probe(rng)
    frequency = rng.uniform(2.2, 5.0)
    wavelength = 0.154 / frequency  # cm, at 1540 m/s
    aperture = rng.uniform(1.6, 3.0)
    return Device(
        radius=radius,
        half_angle=half_angle,
        depth=0.5 * round(2 * rng.uniform(10.0, 16.0)),
        frequency=frequency,
        pulse=wavelength * rng.uniform(0.5, 0.8),
        spread=0.45 * wavelength / aperture,
        focus=rng.uniform(5.0, 10.0),
        frame_time=rng.uniform(0.040, 0.060),
        dynamic_range=rng.uniform(48, 66),
        brightness=rng.uniform(0.16, 0.29),
        gamma=rng.uniform(0.95, 1.35),
        tgc=tuple(rng.normal(0, 1.8, size=6)),
        attenuation=rng.uniform(-0.1, 1.1),
        noise=rng.uniform(-36, -22),
        clutter=rng.uniform(-6, 10),
        smoothing=rng.uniform(0.6, 1.4),
        contact=float(rng.choice((-1, 1)) * rng.uniform(0.05, 0.2)) if rng.random() < 0.3 else 0.0,
        flip=bool(rng.random() < 0.5),
        zoom=rng.uniform(0.86, 1.0),
        shift=(rng.random(), rng.random()),
        layout=int(rng.integers(2)),
        clock=int(rng.integers(8 * 3600, 18 * 3600)),
    )


def vary_device(device: Device, rng: np.random.Generator) -> Device:
    """The settings of one clip of the examination: same machine and probe, knobs turned a little."""
    return replace(
        device,
        depth=device.depth + float(rng.choice((-0.5, 0.0, 0.5))),
        brightness=float(np.clip(device.brightness + rng.normal(0, 0.025), 0.13, 0.32)),
        tgc=tuple(np.asarray(device.tgc) + rng.normal(0, 0.8, size=len(device.tgc))),
        clock=device.clock + int(rng.integers(20, 400)),
    )
