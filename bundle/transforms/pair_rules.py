# SPDX-License-Identifier: Apache-2.0
"""Which frames of a cine make the two views of a contrastive pair, and in what mixture.

A rule draws a `PairDraw`: for each view, frame indices and weights; the raw view is the weighted sum of the frames.
A new way to make pairs is a new rule here and a name in `PAIR_PRESETS`; nothing else changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError


@dataclass(frozen=True)
class PairDraw:
    """Frames ``(V, K)`` and mixing weights ``(V, K)`` (each row sums to 1) of V views of one cine."""

    frames: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class UsclPair:
    """Three distinct frames a, b and an anchor; view i mixes one of a, b with the anchor.

    Sample-pair generation of USCL (Chen et al., MICCAI 2021, section 2): ``view = w * frame + (1 - w) * anchor``,
    ``w ~ Beta(alpha, beta)``. Two frames are used unmixed, one frame is used twice.

    Differs from the released code: a weight is drawn for each view (``shared_weight`` restores the single draw, with
    which about a fifth of all pairs are twice nearly the same anchor).
    """

    alpha: float = 0.5
    beta: float = 0.5
    shared_weight: bool = False

    def draw(self, random: np.random.RandomState, n_frames: int) -> PairDraw:
        """Draws a pair from a cine of ``n_frames`` frames."""
        if n_frames < 3:
            chosen = random.permutation(n_frames)[[0, -1]]
            return PairDraw(np.stack([chosen, chosen], axis=1), np.tile([1.0, 0.0], (2, 1)))
        first, anchor, second = random.choice(n_frames, 3, replace=False)
        weights = random.beta(self.alpha, self.beta, 1 if self.shared_weight else 2)
        weights = np.broadcast_to(weights, 2)
        return PairDraw(np.array([[first, anchor], [second, anchor]]), np.stack([weights, 1 - weights], axis=1))


@dataclass(frozen=True)
class SingleFramePair:
    """One frame, seen twice: the pair of SimCLR (Chen et al., ICML 2020)."""

    def draw(self, random: np.random.RandomState, n_frames: int) -> PairDraw:
        """Draws a pair from a cine of ``n_frames`` frames."""
        return PairDraw(np.full((2, 1), random.randint(n_frames)), np.ones((2, 1)))


@dataclass(frozen=True)
class PairPreset:
    """A rule, and whether frames are mixed before they are augmented (else each frame is augmented on its own)."""

    rule: UsclPair | SingleFramePair
    mix_first: bool = True


PAIR_PRESETS = {
    "uscl": PairPreset(UsclPair()),
    "uscl-released": PairPreset(UsclPair(shared_weight=True), mix_first=False),
    "simclr": PairPreset(SingleFramePair()),
}
"""``uscl``: our reading of the paper; ``uscl-released``: what the released code does; ``simclr``: the baseline."""


def pair_preset(name: str) -> PairPreset:
    """The preset called ``name``; an `InputError` lists the names when there is none."""
    if name not in PAIR_PRESETS:
        raise InputError(f"pair preset {name!r} is not known; choose one of {', '.join(sorted(PAIR_PRESETS))}")
    return PAIR_PRESETS[name]
