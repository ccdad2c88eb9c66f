# SPDX-License-Identifier: Apache-2.0
"""Random geometry of views: crop, flip, rotation, shear and resize as one matrix and one resampling."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.transforms import RandomizableTransform


class RandViewGeometry(RandomizableTransform):
    """Crops, flips, rotates, shears and resizes each image of a stack by its own random draw.

    All of it is one affine matrix an image, so every image is resampled once (bilinear, 0 outside).
    Crop area and aspect follow the augmentation of USCL (Chen et al., MICCAI 2021); rotation and shear are ours
    and off by default.

    Args:
        size: height and width of the result in pixels; None keeps the input's.
        crop_area: range of the crop's share of the image area.
        crop_ratio: range of the crop's width / height, drawn evenly in the logarithm.
        flip: probability of a left-right flip.
        rotation: largest rotation in degrees, either way.
        shear: largest shear along x in degrees, either way.

    Input and result: ``(N, C, H, W)`` float -> ``(N, C, size, size)``.
    """

    def __init__(
        self,
        size: int | None = None,
        crop_area: Sequence[float] = (0.8, 1.0),
        crop_ratio: Sequence[float] = (0.8, 1.25),
        flip: float = 0.5,
        rotation: float = 0.0,
        shear: float = 0.0,
    ) -> None:
        super().__init__()
        self.size = size
        self.crop_area = tuple(crop_area)
        self.crop_ratio = tuple(crop_ratio)
        self.flip = flip
        self.rotation = rotation
        self.shear = shear
        self.theta = torch.zeros(0, 2, 3)

    def randomize(self, n_images: int) -> None:
        """Draws ``theta``: for each image the 2 x 3 matrix from the result's to the input's coordinates, -1 to 1."""
        self.theta = torch.stack([self._draw() for _ in range(n_images)])

    def _draw(self) -> torch.Tensor:
        area = self.R.uniform(self.crop_area[0], self.crop_area[1])
        ratio = math.exp(self.R.uniform(math.log(self.crop_ratio[0]), math.log(self.crop_ratio[1])))
        width = min(1.0, math.sqrt(area * ratio))
        height = min(1.0, math.sqrt(area / ratio))
        x = self.R.uniform(-(1 - width), 1 - width)
        y = self.R.uniform(-(1 - height), 1 - height)
        mirror = -1.0 if self.R.uniform() < self.flip else 1.0
        angle = math.radians(self.R.uniform(-self.rotation, self.rotation))
        slant = math.tan(math.radians(self.R.uniform(-self.shear, self.shear)))
        cos, sin = math.cos(angle), math.sin(angle)
        # rotation @ shear @ diag(mirror * width, height)
        return torch.tensor(
            [
                [cos * mirror * width, (cos * slant - sin) * height, x],
                [sin * mirror * width, (sin * slant + cos) * height, y],
            ],
            dtype=torch.float32,
        )

    def __call__(self, images: torch.Tensor, randomize: bool = True) -> torch.Tensor:
        if randomize:
            self.randomize(len(images))
        return resample(images, self.theta, self.size)


def resample(images: torch.Tensor, theta: torch.Tensor, size: int | None = None) -> torch.Tensor:
    """``(N, C, H, W)`` through the affine maps ``theta`` ``(N, 2, 3)`` to ``(N, C, size, size)``, in one resampling."""
    height, width = (images.shape[-2], images.shape[-1]) if size is None else (size, size)
    grid = F.affine_grid(theta.to(images), [len(images), images.shape[1], height, width], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
