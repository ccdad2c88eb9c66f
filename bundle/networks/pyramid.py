# SPDX-License-Identifier: Apache-2.0
"""The maps that an encoder passes on its way down, for networks that answer with a map or with boxes."""

from __future__ import annotations

import torch
from torch import nn

from .encoder import Encoder

_PROBE = 64  # pixels of the picture on which the sizes of the maps are looked up


class PyramidNet(nn.Module):
    """Base of networks that look at an encoder's maps of several sizes.

    The encoder keeps the names of its weights below ``encoder.``.

    Args:
        encoder: with its weights.

    Attributes:
        encoder: as given.
        channels: of each level, the largest maps first.
        strides: pixels of the picture for one of the map, 2, 4, 8, 16, 32 (SE-ResNets begin at 4).
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        maps = self._look(_PROBE, _PROBE)
        last = {one.shape[-1]: k for k, one in enumerate(maps) if one.shape[-1] < _PROBE}  # of each size, in order
        self._taken: list[int] = list(last.values())
        self.channels: list[int] = [maps[k].shape[1] for k in last.values()]
        self.strides: list[int] = [_PROBE // size for size in last]

    def pyramid(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The last map of each size, the largest first: (N, C, H, W) -> (N, channels[k], H / strides[k], ...).

        Sizes are rounded up. The last one is what `Encoder.feature_maps` gives.
        """
        maps = self._every_map(x)
        return [maps[k] for k in self._taken]

    @torch.jit.unused
    def map_sizes(self, height: int, width: int) -> list[list[int]]:
        """Rows and columns of each level's maps of a frame of this size."""
        maps = self._look(height, width)
        return [list(maps[k].shape[-2:]) for k in self._taken]

    @torch.jit.unused
    def _look(self, height: int, width: int) -> list[torch.Tensor]:
        training = self.encoder.training
        self.encoder.eval()  # the look must not enter the running figures of batch normalisation
        with torch.no_grad():
            maps = self._every_map(
                next(self.encoder.parameters()).new_zeros(1, self.encoder.in_channels, height, width)
            )
        self.encoder.train(training)
        return maps

    def _every_map(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps: list[torch.Tensor] = []
        for layer in self.encoder:
            if hasattr(layer, "every_map"):  # `Stages`; decided when scripted
                maps.extend(layer.every_map(x))  # type: ignore[operator]
            else:
                maps.append(layer(x))
            x = maps[-1]
        return maps
