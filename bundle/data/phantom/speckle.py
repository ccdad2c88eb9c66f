# SPDX-License-Identifier: Apache-2.0
"""How an echo picture comes about: moving scatterers, point spread, attenuation along the beam, log compression.

Scatterers are fixed to the tissue. At each time the tissue's displacement says which scatterers a beam meets; they
interfere in the point spread of that beam, so speckle moves with tissue and changes as tissue deforms. Electronic
noise and ringing below the probe face belong to the machine and stay where they are.

The phase that motion along the beam adds to the radio-frequency signal is left out: it is the same for all
scatterers of a cell unless tissue rotates, and then it only makes speckle change faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .device import Device
from .sector import PolarGrid, bilinear

if TYPE_CHECKING:
    from .scene import Scene


def unit_speckle(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Complex Gaussian scatterers of unit mean power, smooth enough for linear interpolation."""
    from scipy.ndimage import gaussian_filter

    parts = [gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 0.6, truncate=3) for _ in range(2)]
    field = (parts[0] + 1j * parts[1]).astype(np.complex64)
    return field / np.sqrt(np.mean(np.abs(field) ** 2))


class PointSpread:
    """Gaussian point spread on the beam grid: a fixed pulse along the beam, a width that grows with depth across."""

    def __init__(self, device: Device, grid: PolarGrid) -> None:
        r = grid.r[:, None]
        defocus = 1 + 0.35 * ((r - device.focus) / device.focus) ** 2
        lateral = np.hypot(0.05, device.spread * r * defocus) / ((device.radius + r) * grid.dtheta)
        lateral = np.clip(lateral, 0.8, 6.0)
        axial = max(device.pulse / grid.dr, 0.7)
        across, along = np.fft.fftfreq(grid.shape[1])[None], np.fft.fftfreq(grid.shape[0])[:, None]
        # unit power for white scatterers: a Gaussian of deviation s has the sum of squares 1 / (2 s sqrt(pi))
        scale = np.sqrt(2 * np.sqrt(np.pi) * lateral) * np.sqrt(2 * np.sqrt(np.pi) * axial)
        self._across = (np.exp(-2 * (np.pi * lateral * across) ** 2) * scale).astype(np.float32)
        self._along = np.exp(-2 * (np.pi * axial * along) ** 2).astype(np.float32)

    def __call__(self, field: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Convolve a complex field (R, N) of scatterers, and along the beams only what is the machine's ``own``."""
        from scipy.fft import fft, ifft

        field = ifft(fft(field, axis=1) * self._across, axis=1, overwrite_x=True) + own
        return ifft(fft(field, axis=0) * self._along, axis=0, overwrite_x=True)


class Imager:
    """Forms the log-compressed echo picture (R, N, in dB) of a scene at a time, as a device sees it."""

    def __init__(self, device: Device, scene: Scene, rng: np.random.Generator) -> None:
        self.device, self.scene, self.rng = device, scene, rng
        self.grid = PolarGrid.of_beams(device)
        self.spread = PointSpread(device, self.grid)
        self.rest_grid = PolarGrid.of_tissue(device)
        tissue = scene.tissue(self.rest_grid, rng)
        field = tissue.echo * unit_speckle(rng, self.rest_grid.shape) + tissue.specular
        channels = (field.real, field.imag, tissue.attenuation)
        self._rest = np.stack(channels, axis=-1).astype(np.float32).reshape(-1, 3)
        self._gain = self._fixed_gain()
        self._clutter = self._ringing()
        top = 10 ** (device.noise / 20)
        self._noise = (top * 10 ** (0.09 * (self.grid.r[:, None] - device.depth))).astype(np.float32)

    def _fixed_gain(self) -> np.ndarray:
        """Amplitude factor (R, N) from TGC error, compensated attenuation and contact."""
        r, device = self.grid.r, self.device
        knobs = np.linspace(0, r[-1], len(device.tgc))
        level = np.interp(r, knobs, device.tgc) - device.attenuation * r
        beam = np.linspace(-1, 1, self.grid.shape[1])
        lost = np.zeros_like(beam)
        if device.contact:
            edge = 1 - 2 * abs(device.contact)
            lost = -30 / (1 + np.exp(-(beam * np.sign(device.contact) - edge) / 0.05))
        return (10 ** ((level[:, None] + lost[None]) / 20)).astype(np.float32)

    def _ringing(self) -> np.ndarray:
        """Complex ringing (R, N) of the probe face, the same in each frame."""
        r, rng = self.grid.r[:, None], self.rng
        bands = 0.6 + 0.4 * np.cos(2 * np.pi * r / rng.uniform(0.18, 0.3))
        level = 10 ** (self.device.clutter / 20) * np.exp(-r / rng.uniform(0.2, 0.4)) * bands
        across = 1 + 0.3 * self.grid.texture(rng, 0.1, 1.5)
        return (level * across * np.exp(2j * np.pi * rng.random())).astype(np.complex64)

    def _sample(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """The tissue's scattering field and attenuation (R, N, 3) at points of the tissue at rest, bilinear."""
        row, column = self.rest_grid.index(x, z)
        return (bilinear(row.ravel(), column.ravel(), self.rest_grid.shape) @ self._rest).reshape(*x.shape, 3)

    def __call__(self, time: float) -> np.ndarray:
        """Echo level in dB (R, N) at ``time`` seconds, before gain and display."""
        from scipy.ndimage import gaussian_filter

        sample = self._sample(*self.scene.rest(self.grid.x, self.grid.z, time))
        field = sample[..., 0] + 1j * sample[..., 1]
        self.scene.add_echoes(field, self.grid, time)
        loss = np.cumsum(sample[..., 2], axis=0) * self.grid.dr
        field *= np.exp(-loss * np.float32(np.log(10) / 20)) * self._gain
        noise = self.rng.standard_normal((*field.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
        echo = self.spread(field, noise * self._noise + self._clutter)
        level = 10 * np.log10(echo.real**2 + echo.imag**2 + np.float32(1e-8))
        return gaussian_filter(level, (0.6 * self.device.smoothing, self.device.smoothing), truncate=2.5)


def level_to_grey(level: np.ndarray, device: Device, gain: float) -> np.ndarray:
    """Grey values 0 to 1 of echo levels in dB: gain, dynamic range and grey map of the device."""
    return np.clip((level + gain) / device.dynamic_range, 0, 1) ** device.gamma


def find_gain(level: np.ndarray, device: Device) -> float:
    """The gain in dB at which the mean grey value is the operator's ``brightness`` (bisection)."""
    low, high = -20.0, 110.0
    for _ in range(24):
        middle = 0.5 * (low + high)
        if level_to_grey(level, device, middle).mean() < device.brightness:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
