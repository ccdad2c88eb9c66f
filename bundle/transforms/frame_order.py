# SPDX-License-Identifier: Apache-2.0
"""The orders in which a clip's frames can be shown, and their classes."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from ..errors import InputError

MOST_FRAMES = 7  # 2520 classes; more is no task anyone can learn


class FrameOrders:
    """The table of order classes of clips of ``n_frames`` frames.

    ``order[i]`` is the time index of the frame shown at place i. Played backwards, a clip shown in that order becomes
    ``n - 1 - order``; with ``merge_reversal`` these two are one class, so there are n!/2, 12 for 4 frames (Jiao et al.,
    ISBI 2020, arXiv 2003.00105). Which two orders make a pair is not stated there; this is our reading: it is the
    source that is reversed, not the shown places, so that a clip and the same clip played backwards always agree.
    A class stands in the table with the lexicographically smaller of its orders, and classes are in lexicographic
    order: 0 is the true order. Without merging (as in EchoCLR, arXiv 2207.11581) there are n! classes.

    Two frames with merging have a single class, from which nothing can be learned.

    Args:
        n_frames: n, 2 to 7.
        merge_reversal: a sequence and its reverse are one class.

    Attributes:
        table: ``(K, n)`` the order of each class.

    Raises:
        InputError: another number of frames.
    """

    def __init__(self, n_frames: int = 4, merge_reversal: bool = True) -> None:
        if not 2 <= n_frames <= MOST_FRAMES:
            raise InputError(f"n_frames: found {n_frames}; expected 2 to {MOST_FRAMES} frames to put in order")
        self.n_frames = n_frames
        self.merge_reversal = merge_reversal
        self.table = np.array([order for order in permutations(range(n_frames)) if order == self._canonical(order)])
        self._classes = {tuple(order): k for k, order in enumerate(self.table.tolist())}

    def __len__(self) -> int:
        """K, the number of classes."""
        return len(self.table)

    def index(self, order: np.ndarray) -> int:
        """The class of an order ``(n,)``.

        Raises:
            InputError: not a permutation of 0 to n - 1.
        """
        given = tuple(int(place) for place in order)
        if sorted(given) != list(range(self.n_frames)):
            raise InputError(f"order: found {given}; expected each of 0 to {self.n_frames - 1} once")
        return self._classes[self._canonical(given)]

    def draw(self, random: np.random.RandomState) -> np.ndarray:
        """A random order ``(n,)``; all are equally likely, and so are all classes."""
        return random.permutation(self.n_frames)

    def _canonical(self, order: tuple[int, ...]) -> tuple[int, ...]:
        if not self.merge_reversal:
            return order
        return min(order, tuple(self.n_frames - 1 - time for time in order))
