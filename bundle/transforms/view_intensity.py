# SPDX-License-Identifier: Apache-2.0
"""Random intensity changes of views that happen in ultrasound: knobs turned, speckle, shadows, blur.

Every function takes images ``(N, C, H, W)`` in 0 to 1 and one parameter an image ``(N,)``, leaves black black (what
lies outside the sector stays 0), and does not clip: that is done once at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import RandomizableTransform


def gain(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Overall gain: multiplies the display value (the jitter's brightness)."""
    return images * _column(factor, images)


def contrast(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Stretches the lit pixels about their own mean; factor 1 changes nothing."""
    lit = images > 0
    mean = (images.sum(dim=(1, 2, 3)) / lit.sum(dim=(1, 2, 3)).clamp(min=1)).view(-1, 1, 1, 1)
    return torch.where(lit, mean + (images - mean) * _column(factor, images), images)


def gamma(images: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """The machine's grey map: ``x ** exponent``."""
    return images.clamp(0, 1) ** _column(exponent, images)


def time_gain(images: torch.Tensor, sliders: torch.Tensor) -> torch.Tensor:
    """Time-gain compensation: ``sliders`` ``(N, K)`` gains from top to bottom, interpolated over the rows.

    Depth is taken to run down the rows, which holds for the middle of every scan.
    """
    curve = F.interpolate(sliders[:, None].to(images), size=images.shape[-2], mode="linear", align_corners=True)
    return images * curve[:, :, :, None]


def speckle(images: torch.Tensor, strength: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Multiplies by ``1 + strength * noise``; ``noise`` ``(N, 1, H, W)`` of unit variance."""
    return images * (1 + _column(strength, images) * noise.to(images))


def shadow(
    images: torch.Tensor, centre: torch.Tensor, width: torch.Tensor, depth: torch.Tensor, loss: torch.Tensor
) -> torch.Tensor:
    """An acoustic shadow: a soft-edged band along x around ``centre`` that loses ``loss`` below ``depth``.

    ``centre``, ``width`` and ``depth`` are shares of the image's width and height.
    """
    y = torch.linspace(0, 1, images.shape[-2], device=images.device, dtype=images.dtype).view(1, 1, -1, 1)
    x = torch.linspace(0, 1, images.shape[-1], device=images.device, dtype=images.dtype).view(1, 1, 1, -1)
    across = torch.exp(-0.5 * ((x - _column(centre, images)) / _column(width, images)) ** 4)
    below = torch.sigmoid((y - _column(depth, images)) * 30)
    return images * (1 - _column(loss, images) * across * below)


def blur(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Gaussian blur of ``sigma`` pixels; 0 leaves an image as it is."""
    radius = max(1, int(np.ceil(3 * float(sigma.max())))) if float(sigma.max()) > 0 else 0
    if radius == 0:
        return images
    offset = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma.to(images).clamp(min=1e-3)[:, None]) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    n, channels = images.shape[:2]
    flat = images.reshape(1, n * channels, *images.shape[-2:])
    weight = kernel.repeat_interleave(channels, dim=0)
    for shape, padding in (((-1, 1, 2 * radius + 1, 1), (radius, 0)), ((-1, 1, 1, 2 * radius + 1), (0, radius))):
        flat = F.conv2d(flat, weight.view(shape), padding=padding, groups=n * channels)
    return flat.view_as(images)


class RandViewIntensity(RandomizableTransform):
    """Turns an ultrasound machine's knobs at random, each image by its own draw.

    Gain and contrast are the brightness and contrast of USCL's colour jitter (0.8 each, Chen et al., MICCAI 2021;
    hue and saturation mean nothing for grey frames), blur is SimCLR's. Gamma, time-gain compensation, speckle and
    shadow are ours, made for ultrasound. 0 or a probability of 0 switches one off.

    Args:
        gain: gain factor is 1 +- this.
        contrast: contrast factor is 1 +- this.
        jitter_prob: probability of gain and contrast.
        gamma: range of the exponent, drawn evenly in the logarithm.
        time_gain: each of four depth sliders is 1 +- this.
        speckle: largest strength of multiplicative noise.
        shadow_prob: probability of a shadow.
        blur_prob: probability of a blur.
        blur_sigma: range of the blur in pixels of a 224-pixel image (scaled to the image's size).

    Input and result: ``(N, C, H, W)`` float in 0 to 1.
    """

    def __init__(
        self,
        gain: float = 0.4,
        contrast: float = 0.4,
        jitter_prob: float = 0.8,
        gamma: Sequence[float] = (0.7, 1.4),
        time_gain: float = 0.3,
        speckle: float = 0.15,
        shadow_prob: float = 0.2,
        blur_prob: float = 0.5,
        blur_sigma: Sequence[float] = (0.1, 2.0),
    ) -> None:
        super().__init__()
        self.gain = gain
        self.contrast = contrast
        self.jitter_prob = jitter_prob
        self.gamma = tuple(gamma)
        self.time_gain = time_gain
        self.speckle = speckle
        self.shadow_prob = shadow_prob
        self.blur_prob = blur_prob
        self.blur_sigma = tuple(blur_sigma)
        self.drawn: dict[str, torch.Tensor] = {}

    def randomize(self, shape: Sequence[int]) -> None:
        """Draws every parameter for images of ``shape`` ``(N, C, H, W)`` into ``drawn``."""
        n, _, height, width = shape
        jitter = self.R.uniform(size=n) < self.jitter_prob
        shadowed = self.R.uniform(size=n) < self.shadow_prob
        blurred = self.R.uniform(size=n) < self.blur_prob
        sigma = self.R.uniform(self.blur_sigma[0], self.blur_sigma[1], n)
        draws = {
            "gain": np.where(jitter, self.R.uniform(1 - self.gain, 1 + self.gain, n), 1.0),
            "contrast": np.where(jitter, self.R.uniform(1 - self.contrast, 1 + self.contrast, n), 1.0),
            "gamma": np.exp(self.R.uniform(np.log(self.gamma[0]), np.log(self.gamma[1]), n)),
            "time_gain": self.R.uniform(1 - self.time_gain, 1 + self.time_gain, (n, 4)),
            "speckle": self.R.uniform(0, self.speckle, n),
            "noise": self.R.standard_normal((n, 1, height, width)),
            "shadow_centre": self.R.uniform(0, 1, n),
            "shadow_width": self.R.uniform(0.03, 0.12, n),
            "shadow_depth": self.R.uniform(0, 0.6, n),
            "shadow_loss": np.where(shadowed, self.R.uniform(0.4, 0.95, n), 0.0),
            "blur": np.where(blurred, sigma * max(height, width) / 224, 0.0),
        }
        self.drawn = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in draws.items()}

    def __call__(self, images: torch.Tensor, randomize: bool = True) -> torch.Tensor:
        if randomize:
            self.randomize(images.shape)
        drawn = {name: value.to(images.device) for name, value in self.drawn.items()}
        images = gamma(images, drawn["gamma"])
        images = time_gain(images, drawn["time_gain"])
        images = gain(images, drawn["gain"])
        images = contrast(images, drawn["contrast"])
        images = speckle(images, drawn["speckle"], drawn["noise"])
        images = shadow(images, *(drawn[f"shadow_{name}"] for name in ("centre", "width", "depth", "loss")))
        return blur(images, drawn["blur"]).clamp(0, 1)


def _column(values: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return values.to(images).view(-1, 1, 1, 1)
