# SPDX-License-Identifier: Apache-2.0
"""The geometric transform that a clip is shown under, and its parameters as a regression target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..errors import InputError
from .view_geometry import resample

UNITS = {
    "flip": "",
    "rotation": "degrees",
    "scale": "percent",
    "scale_x": "percent",
    "scale_y": "percent",
    "shear": "degrees",
    "shift_x": "pixels",
    "shift_y": "pixels",
}
"""The unit in which errors of a parameter are told. Drawn and regressed are other forms, see `ClipGeometry`."""


@dataclass(frozen=True)
class ClipGeometry:
    """Random affine maps for whole clips: flip, scale, shear, rotation and shift, in this order, about the centre.

    Regressing the affine parameters is the geometry task of Jiao et al. (ISBI 2020, arXiv 2003.00105); ranges, scaling
    and what follows are ours. A map takes a point of the original clip to where it is shown in the transformed one.
    Coordinates run from -1 to 1 over the width (x, to the right) and height (y, down).

    Each parameter is drawn evenly from its range and regressed as (value - mean) / standard deviation of that
    distribution, so all have mean 0 and unit variance:

    ============== =================================== ====================================================
    parameter      value                               drawn from
    ============== =================================== ====================================================
    rotation       degrees, positive is clockwise      -rotation to rotation
    scale          natural logarithm of the factor     1 / (1 + scale) to 1 + scale, evenly in the logarithm
    scale_x, _y    the same for each axis              with ``anisotropic``, instead of ``scale``
    shear          degrees, x moves with y             -shear to shear
    shift_x, _y    share of the side                   -shift to shift
    flip           1 mirrored left and right, 0 not    0 or 1, regressed like the others; the nearer one counts
    ============== =================================== ====================================================

    A parameter whose range is 0 is left out. The decomposition is unique, so the map can be had back from the label.

    What lies outside the frame is black and would tell the map by its straight edges. Both clips are therefore seen
    through one round window: the circle of ``field`` of the frame's side about the centre, magnified to fill the
    result. Left to itself, ``field`` is the largest with which no map of the given ranges shows anything from outside
    the frame. A larger one (1 is the whole frame) shows more, and its black edges.

    Raises:
        InputError: a range below 0 or beyond what keeps its meaning, or nothing to draw.
    """

    rotation: float = 30.0
    scale: float = 0.15
    shear: float = 10.0
    shift: float = 0.05
    anisotropic: bool = False
    flip: float = 0.0
    field: float | None = None

    def __post_init__(self) -> None:
        limits = {"rotation": 180.0, "scale": 2.0, "shear": 60.0, "shift": 0.4, "flip": 0.9}
        for name, most in limits.items():
            if not 0 <= getattr(self, name) <= most:
                raise InputError(f"geometry: found {name} {getattr(self, name)}; expected 0 to {most:g}")
        if self.field is not None and not 0 < self.field <= 1:
            raise InputError(f"geometry: found field {self.field}; expected a share of the side, above 0 to 1, or null")
        if not self.names:
            raise InputError("geometry: found only ranges of 0; expected at least one above 0 to have something to ask")

    @cached_property
    def _parameters(self) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation of each parameter's value."""
        scales = ("scale_x", "scale_y") if self.anisotropic else ("scale",)
        ranges = {"rotation": self.rotation, **dict.fromkeys(scales, math.log1p(self.scale))}
        ranges |= {"shear": self.shear, "shift_x": self.shift, "shift_y": self.shift}
        parameters = {name: (0.0, largest / math.sqrt(3)) for name, largest in ranges.items() if largest > 0}
        if self.flip > 0:
            parameters["flip"] = (self.flip, math.sqrt(self.flip * (1 - self.flip)))
        return parameters

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters in the order of the label."""
        return tuple(self._parameters)

    def __len__(self) -> int:
        """P, the number of parameters."""
        return len(self._parameters)

    def draw(self, random: np.random.RandomState) -> torch.Tensor:
        """A random label ``(P,)``."""
        even = math.sqrt(3)  # a distribution even from -sqrt(3) to sqrt(3) has unit variance
        values = [
            float(random.uniform() < mean) if name == "flip" else mean + std * random.uniform(-even, even)
            for name, (mean, std) in self._parameters.items()
        ]
        return self.label(torch.tensor(values))

    def label(self, values: torch.Tensor) -> torch.Tensor:
        """Values ``(..., P)`` in their units to mean 0 and unit variance."""
        mean, std = self._moments(values)
        return (values - mean) / std

    def values(self, label: torch.Tensor) -> torch.Tensor:
        """The way back from `label`."""
        mean, std = self._moments(label)
        return label * std + mean

    def matrix_from_label(self, label: torch.Tensor) -> torch.Tensor:
        """The map of a label ``(..., P)``: ``(..., 2, 3)``, original to transformed coordinates, -1 to 1."""
        value = dict(zip(self.names, self.values(label).unbind(-1), strict=True))
        zero = torch.zeros_like(label[..., 0])
        angle = torch.deg2rad(value.get("rotation", zero))
        slant = torch.tan(torch.deg2rad(value.get("shear", zero)))
        along_x = value.get("scale_x", value.get("scale", zero)).exp()
        along_y = value.get("scale_y", value.get("scale", zero)).exp()
        along_x = torch.where(value.get("flip", zero) > 0.5, -along_x, along_x)
        cos, sin = torch.cos(angle), torch.sin(angle)
        rows = [
            torch.stack([cos * along_x, (cos * slant - sin) * along_y, 2 * value.get("shift_x", zero)], dim=-1),
            torch.stack([sin * along_x, (sin * slant + cos) * along_y, 2 * value.get("shift_y", zero)], dim=-1),
        ]
        return torch.stack(rows, dim=-2)

    @cached_property
    def window(self) -> float:
        """The share of the side that is seen: ``field``, or the largest that shows nothing from outside the frame.

        The way back from the window's unit disc is ``inverse(A) @ (p - t)``, so it reaches at most
        ``norm(inverse(A)) * (1 + norm(t))``; the norm is that of the smallest scale times that of the shear.
        """
        if self.field is not None:
            return self.field
        slant = math.tan(math.radians(self.shear))
        shear_norm = (slant + math.sqrt(slant**2 + 4)) / 2
        return 1 / ((1 + self.scale) * shear_norm * (1 + math.sqrt(2) * 2 * self.shift))

    def seen(self, height: int, width: int) -> torch.Tensor:
        """What of the original clip's frames lies in the window, ``(height, width)`` bool."""
        return in_disc(height, width, self.window)

    def show(self, frames: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Frames ``(n, C, H, W)`` as they are and under the map of ``label``, ``(2, n, C, H, W)``, not yet round.

        One resampling for both, so neither is sharper than the other. Frames should be square: otherwise what is
        called a rotation also shears.
        """
        matrix = torch.eye(3, dtype=torch.float64)
        matrix[:2] = self.matrix_from_label(label.double())
        # half a pixel less, since interpolation there already blends with what lies outside
        window = self.window * (1 - 1 / min(frames.shape[-2:]))
        theta = window * torch.stack([torch.eye(3, dtype=torch.float64), torch.linalg.inv(matrix)])[:, :2]
        both = resample(frames.repeat(2, 1, 1, 1), theta.float().repeat_interleave(len(frames), dim=0))
        return both.unflatten(0, (2, len(frames)))

    def _moments(self, like: torch.Tensor) -> torch.Tensor:
        """Means and standard deviations of the values ``(2, P)``."""
        return torch.tensor(list(self._parameters.values()), dtype=like.dtype, device=like.device).T


def round_window(images: torch.Tensor) -> torch.Tensor:
    """Images ``(..., H, W)`` with what lies outside the inscribed ellipse set to 0."""
    return images * in_disc(*images.shape[-2:]).to(images.device)


def in_disc(height: int, width: int, radius: float = 1.0) -> torch.Tensor:
    """Which pixels' centres lie in the ellipse of ``radius`` times the frame about its centre, ``(height, width)``."""
    y, x = ((torch.arange(side) * 2 + 1) / side - 1 for side in (height, width))
    return x**2 + y[:, None] ** 2 <= radius**2
