# SPDX-License-Identifier: Apache-2.0
"""Which frames of a cine make the views of a contrastive pair, and in what mixture.

A rule is given the times of a cine's frames in seconds, strictly increasing, and draws a `PairDraw`: for each view,
frame indices and weights; the raw view is the weighted sum of the frames. Gaps are in seconds, whatever the frame rate.
Rules look at times alone, never at pixels: a cine whose frames are all alike gives views that differ by their
augmentation only, as with `SingleFramePair`. A cine too short or too slow for a rule gives a simpler pair, which each
rule states; no pair is ever wider than the gap.

The presets that name a rule are in `pair_presets`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..data.frame_times import ASSUMED_FRAME_RATE

_ROUNDING = 1e-6  # seconds that do not count, so that 0.4 s at 25 frames a second is ten frames


def _none_extra() -> np.ndarray:
    return np.zeros(0, dtype=bool)


@dataclass(frozen=True)
class PairDraw:
    """What was drawn for V views of one cine: the pair, then extra negatives (V - 2, usually none).

    Attributes:
        frames: ``(V, K)`` frame indices.
        weights: ``(V, K)`` mixing weights, each row sums to 1.
        pair_weight: weight of the pair in the loss; None where the rule has no such weights.
        negatives: ``(V - 2,)`` bool, which extra negatives are there; the view of one that is not shows some frame and
            must not be used.
        partner: the second view's frames are of the partner cine.
    """

    frames: np.ndarray
    weights: np.ndarray
    pair_weight: float | None = None
    negatives: np.ndarray = field(default_factory=_none_extra)
    partner: bool = False


class PairRule(Protocol):
    """How pairs are drawn."""

    def draw(self, random: np.random.RandomState, times: np.ndarray, partner: np.ndarray | None = None) -> PairDraw:
        """Draws a pair from a cine with frames at ``times`` (T,) seconds, T > 0.

        ``partner``: frame times of another cine of the same patient, for a rule that takes its second view from there.
        """
        ...


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

    def draw(self, random: np.random.RandomState, times: np.ndarray, partner: np.ndarray | None = None) -> PairDraw:
        """See `PairRule`."""
        n_frames = len(times)
        if n_frames < 3:
            return _unmixed(*random.permutation(n_frames)[[0, -1]])
        first, anchor, second = random.choice(n_frames, 3, replace=False)
        weights = random.beta(self.alpha, self.beta, 1 if self.shared_weight else 2)
        weights = np.broadcast_to(weights, 2)
        return PairDraw(np.array([[first, anchor], [second, anchor]]), np.stack([weights, 1 - weights], axis=1))


@dataclass(frozen=True)
class MiddleAnchorPair:
    """Three frames within a gap, the middle one in time the anchor; each view mixes the anchor with one neighbour.

    Positive pair interpolation of Meta-USCL (Chen, Zhang, Ding, Liu, IEEE TMI 2022, arXiv 2212.04097), as in its
    released code (github.com/Schuture/Meta-USCL, dataloader.py): first and last of the three are at most 16 frames
    apart, ``view = (1 - w) * neighbour + w * anchor``, ``w ~ Beta(3, 5)`` for each view, frames mixed before
    augmentation. Two frames within the gap are used unmixed; without these one frame is used twice.

    Differs from the paper: the gap is in seconds, 16 frames at 30 a second (the paper's data set keeps every so many
    frames of its videos, at intervals that are not published, so its 16 frames last longer; the code's training script
    takes no limit by default). The network that weights pairs is not part of a preset.
    """

    max_gap: float = 16 / ASSUMED_FRAME_RATE
    alpha: float = 3.0
    beta: float = 5.0

    def draw(self, random: np.random.RandomState, times: np.ndarray, partner: np.ndarray | None = None) -> PairDraw:
        """See `PairRule`."""
        _, end = _window(times, self.max_gap)
        later = end - np.arange(len(times)) - 1  # frames after each that are within the gap
        triples = np.flatnonzero(later >= 2)
        if len(triples) == 0:
            return _unmixed(*_near_pair(random, times, self.max_gap))
        first = random.choice(triples)
        anchor, last = first + 1 + np.sort(random.choice(later[first], 2, replace=False))
        weights = random.beta(self.alpha, self.beta, 2)
        return PairDraw(np.array([[first, anchor], [last, anchor]]), np.stack([1 - weights, weights], axis=1))


@dataclass(frozen=True)
class NearPair:
    """Two distinct frames within a gap, which weigh more the nearer they are.

    Intra-video positive pairs (VanBerlo, Wong, Hoey, Arntfield, Frontiers in Imaging 2024, arXiv 2403.07715): frames at
    most ``max_gap`` seconds apart, 1.5 for contrast. The pair weight is that of the released code
    (github.com/bvanberl/IVPP, ncus_dataset.py), ``(limit - distance + 1) / (limit + 1)`` in frames; here in seconds,
    with the cine's median frame interval s in the place of 1: ``(max_gap - gap + s) / (max_gap + s)``, from about 1 for
    neighbours to a little above 0 at the limit. A frame without another one within the gap is used only where no frame
    has one: then it is used twice, with weight 1.

    Differs from the released code: the second frame is never the first again where there is another; the loss divides
    by the sum of the weights in the batch instead of its size.
    """

    max_gap: float = 1.5

    def draw(self, random: np.random.RandomState, times: np.ndarray, partner: np.ndarray | None = None) -> PairDraw:
        """See `PairRule`."""
        first, second = _near_pair(random, times, self.max_gap)
        interval = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        gap = abs(float(times[second] - times[first]))
        weight = (self.max_gap - min(gap, self.max_gap) + interval) / (self.max_gap + interval)
        return PairDraw(np.array([[first], [second]]), np.ones((2, 1)), pair_weight=weight)


@dataclass(frozen=True)
class NearAndFarPair:
    """Two near frames are the pair, a far frame of the same cine is an extra, hard negative.

    Basu, Singla, Gupta, Rana, Gupta, Arora (MICCAI 2022, arXiv 2207.13148), who hold that distant frames of one
    ultrasound video show other slices of the organ. In their released code (github.com/gbc-iitd/US_UCL,
    ucl/datasets_gb.py) the positive is another frame at most 3 frames from the anchor, and negatives are 20 % to 40 %
    of the video's length away. Here the near limit is in seconds, 3 frames at 30 a second, and a far frame is further
    from both frames of the pair than 20 % of the cine's duration, and than twice the near limit, so that in a short
    cine neighbours never repel.

    Where there is no such frame the pair has no extra negative, and its mask says so; a cine without two near frames
    gives one frame twice.

    Differs from the paper: one far frame, not two or three; no upper limit on how far it is, and none that shrinks over
    the epochs (the paper's curriculum); the anchor is anywhere in the cine; the loss is NT-Xent instead of a momentum
    queue with mined negatives.
    """

    max_gap: float = 3 / ASSUMED_FRAME_RATE
    far_share: float = 0.2

    def draw(self, random: np.random.RandomState, times: np.ndarray, partner: np.ndarray | None = None) -> PairDraw:
        """See `PairRule`."""
        far_gap = max(self.far_share * (times[-1] - times[0]), 2 * self.max_gap)
        start, end = _window(times, far_gap)
        has_far = (start > 0) | (end < len(times))
        first, second = _near_pair(random, times, self.max_gap, wanted=has_far)
        before, after = min(start[first], start[second]), max(end[first], end[second])
        n_far = before + len(times) - after
        third = first
        if n_far > 0:
            third = random.randint(n_far)
            third += (after - before) * (third >= before)
        frames = np.array([[first], [second], [third]])
        return PairDraw(frames, np.ones((3, 1)), negatives=np.array([n_far > 0]))


@dataclass(frozen=True)
class SamePatientPair:
    """A frame of each of two videos of one patient.

    Multi-instance contrast of EchoCLR (Holste, Oikonomou, Mortazavi, Wang, Khera, Communications Medicine 2024, arXiv
    2207.11581): distinct videos of one patient's examination are the positive pair. A patient with one video gives two
    distinct frames of it, or one frame twice.

    Differs from the paper: views are frames, not clips of 4 frames for a 3-D network; the frame-reordering task is not
    part of a preset; the partner video is drawn anew in each epoch, where the released code
    (github.com/CarDS-Yale/EchoCLR, ssl/dataset.py) goes through all pairs of videos; other videos of the patient in the
    batch are not negatives.
    """

    def draw(self, random: np.random.RandomState, times: np.ndarray, partner: np.ndarray | None = None) -> PairDraw:
        """See `PairRule`."""
        if partner is None:
            return PairDraw(random.permutation(len(times))[[0, -1]][:, None], np.ones((2, 1)))
        frames = np.array([[random.randint(len(times))], [random.randint(len(partner))]])
        return PairDraw(frames, np.ones((2, 1)), partner=True)


@dataclass(frozen=True)
class SingleFramePair:
    """One frame, seen twice: the pair of SimCLR (Chen et al., ICML 2020)."""

    def draw(self, random: np.random.RandomState, times: np.ndarray, partner: np.ndarray | None = None) -> PairDraw:
        """See `PairRule`."""
        return PairDraw(np.full((2, 1), random.randint(len(times))), np.ones((2, 1)))


def _unmixed(first: int, second: int) -> PairDraw:
    """Each view is one frame, in the shape of a mixture of two."""
    return PairDraw(np.array([[first, first], [second, second]]), np.tile([1.0, 0.0], (2, 1)))


def _window(times: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """For each frame i the range ``start[i]`` to ``end[i]`` (not included) of the frames within ``gap`` of it."""
    start = np.searchsorted(times, times - gap - _ROUNDING, side="left")
    end = np.searchsorted(times, times + gap + _ROUNDING, side="right")
    return start, end


def _near_pair(
    random: np.random.RandomState, times: np.ndarray, gap: float, wanted: np.ndarray | None = None
) -> tuple[int, int]:
    """Two distinct frames within ``gap`` of each other, or one frame twice where there are none.

    ``wanted`` (T,): frames to take the first from, as far as there are such frames.
    """
    start, end = _window(times, gap)
    paired = end - start > 1
    choices = (paired & wanted, paired, wanted) if wanted is not None else (paired,)
    first = random.choice(next((np.flatnonzero(c) for c in choices if c.any()), np.arange(len(times))))
    if not paired[first]:
        return first, first
    second = random.randint(start[first], end[first] - 1)
    return first, second + (second >= first)
