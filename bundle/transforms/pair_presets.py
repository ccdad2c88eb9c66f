# SPDX-License-Identifier: Apache-2.0
"""The ways to make pairs that a recipe can name.

A new way is a new rule in `pair_rules` and a name in `PAIR_PRESETS`; nothing else changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import InputError
from .pair_rules import (
    MiddleAnchorPair,
    NearAndFarPair,
    NearPair,
    PairRule,
    SamePatientPair,
    SingleFramePair,
    UsclPair,
)


@dataclass(frozen=True)
class PairPreset:
    """A rule, and what the parts around it need to know.

    Attributes:
        rule: which frames, in what mixture.
        mix_first: frames are mixed before they are augmented (else each frame is augmented on its own).
        same_patient: the data set must give partner videos, and the loss must not take two videos of one patient as
            negatives.
        n_views: 2, or more with extra negatives.
    """

    rule: PairRule
    mix_first: bool = True
    same_patient: bool = False
    n_views: int = 2

    @property
    def max_gap(self) -> float | None:
        """Largest gap between the frames of a pair in seconds, None for a rule without."""
        return getattr(self.rule, "max_gap", None)


PAIR_PRESETS = {
    "uscl": PairPreset(UsclPair()),
    "uscl-released": PairPreset(UsclPair(shared_weight=True), mix_first=False),
    "meta-uscl": PairPreset(MiddleAnchorPair()),
    "ivpp": PairPreset(NearPair()),
    "us-ucl": PairPreset(NearAndFarPair(), n_views=3),
    "echoclr": PairPreset(SamePatientPair(), same_patient=True),
    "simclr": PairPreset(SingleFramePair()),
}
"""``uscl``: our reading of the paper; ``uscl-released``: what the released code does; ``simclr``: the baseline; the
others are the pairs of follow-ups, see their rules."""


def pair_preset(name: str, max_gap: float | None = None) -> PairPreset:
    """The preset called ``name``, with another gap in seconds if one is given.

    Raises:
        InputError: no such preset (the message lists the names), a gap not above 0, or one for a preset without a gap.
    """
    if name not in PAIR_PRESETS:
        raise InputError(f"pair preset {name!r} is not known; choose one of {', '.join(sorted(PAIR_PRESETS))}")
    preset = PAIR_PRESETS[name]
    if max_gap is None:
        return preset
    if preset.max_gap is None:
        having = ", ".join(known for known, other in PAIR_PRESETS.items() if other.max_gap is not None)
        raise InputError(
            f"pair_gap: found {max_gap}, but the preset {name} has no gap; leave it null ({having} have one)"
        )
    if not isinstance(max_gap, int | float) or not 0 < max_gap < float("inf"):
        raise InputError(f"pair_gap: found {max_gap!r}, expected seconds above 0, or null for the preset's own")
    return replace(preset, rule=replace(preset.rule, max_gap=float(max_gap)))  # type: ignore[type-var]
