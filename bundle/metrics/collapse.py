# SPDX-License-Identifier: Apache-2.0
"""Whether features still differ between images: two figures that need no labels.

`monai.metrics.EmbeddingCollapseMetric` is not used: it gives a dict of scores, not the one number an engine's logger
takes; its rank score is relative to min(N - 1, D), so features of a few hundred frames of one kind of organ sit near 1
("collapsed") however good they are; and it has nothing like the spread below. Its effective rank is the one here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from ..errors import InputError
from .clip_features import ClipFeatures, predicted_features


def feature_spread(features: torch.Tensor) -> torch.Tensor:
    """How evenly directions fill the sphere: 1 as for a round Gaussian, 0 when all features point the same way.

    The standard deviation of each dimension of the L2-normalised features ``(N, D)``, averaged over the dimensions,
    times ``sqrt(D)`` (Chen & He, "Exploring Simple Siamese Representation Learning", CVPR 2021, section 4.1, where a
    collapsed run falls to 0 and a healthy one stays near ``1 / sqrt(D)`` before the scaling).

    Features after a ReLU are all positive and stay well below 1, healthy or not: watch how the figure changes.
    """
    unit = F.normalize(features.float(), dim=1)
    return unit.std(dim=0, correction=0).mean() * math.sqrt(features.shape[1])


def effective_rank(features: torch.Tensor) -> torch.Tensor:
    """How many directions carry the features ``(N, D)``: 1 to min(N - 1, D); 0 when all features are equal.

    The exponential of the entropy of the centred features' singular values divided by their sum (Roy & Vetterli, "The
    effective rank", EUSIPCO 2007).
    """
    values = torch.linalg.svdvals((features - features.mean(dim=0)).double())
    # centring equal features leaves rounding errors, which must not count as directions
    if values.max() <= 1e-6 * features.double().abs().max() * math.sqrt(features.numel()):
        return torch.zeros(())
    share = values / values.sum()
    return torch.exp(torch.special.entr(share).sum()).float()


FIGURES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"spread": feature_spread, "rank": effective_rank}


class FeatureCollapse(ClipFeatures):
    """`feature_spread` (``"spread"``) or `effective_rank` (``"rank"``) of all frames of an evaluator's epoch.

    None when fewer than two frames were seen.

    Args:
        figure: which one.
        output_transform: see `ClipFeatures`.

    Raises:
        InputError: another figure.
    """

    def __init__(self, figure: str = "spread", output_transform: Callable[[Any], Any] = predicted_features) -> None:
        if figure not in FIGURES:
            raise InputError(f"feature collapse: found {figure!r}, expected one of {', '.join(FIGURES)}")
        self.figure = FIGURES[figure]
        super().__init__(output_transform)

    def compute(self) -> float | None:
        frames = torch.cat(self._features) if self._features else torch.zeros(0, 1)
        return float(self.figure(frames)) if len(frames) > 1 else None
