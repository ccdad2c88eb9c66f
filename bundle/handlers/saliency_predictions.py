# SPDX-License-Identifier: Apache-2.0
"""How well the tested frames' maps are told, beside the centre prior and a uniform map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..metrics.saliency import FIGURES
from ..metrics.saliency_maps import CENTRE_PRIOR, GAIN, UNIFORM
from .predictions import Predictions, of_what


class SaliencyPredictions(Predictions):
    """`Predictions` of a `SaliencyMaps`; the log has a line a figure with its 95 % interval over patients."""

    def tell(self, content: dict[str, Any]) -> Sequence[str]:
        return describe_saliency(content)


def describe_saliency(content: dict[str, Any]) -> list[str]:
    """The figures of ``predictions.json``, a line each."""
    figures = content["figures"]
    chosen = ", which also chose the epoch" if content["part"] == "validation" else ""
    lines = [
        f"{of_what(content)}: saliency of {figures[GAIN]['frames']} frames of {figures[GAIN]['patients']} "
        f"{content['part']} patients{chosen}; mean over patients, 95 % interval"
    ]
    for name in FIGURES:
        told, prior, level = (_number(figures.get(name + behind)) for behind in ("", CENTRE_PRIOR, UNIFORM))
        lines.append(f"  {name.replace('_', ' ')} {told}; centre prior {prior}; uniform {level}")
    return [*lines, f"  kld less than the centre prior's by {_number(figures[GAIN])}"]


def _number(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    value, low, high = (figure["per_patient"][name] for name in ("value", "low", "high"))
    return f"{value:.3f}" + ("" if low == high else f" ({low:.3f} to {high:.3f})")
