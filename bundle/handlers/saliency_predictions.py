# SPDX-License-Identifier: Apache-2.0
"""How well the tested frames' maps are told, beside the centre prior and a level map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..metrics.saliency import FIGURES
from ..metrics.saliency_maps import CENTRE_PRIOR, GAIN, UNIFORM
from .predictions import Predictions

_SIMULATED = "phantom"


class SaliencyPredictions(Predictions):
    """`Predictions` of a `SaliencyMaps`; the log has a line a figure with its 95 % interval over patients."""

    def tell(self, content: dict[str, Any]) -> Sequence[str]:
        return describe_saliency(content)


def data_in_words(name: str) -> str:
    """The data's name, and that the phantom is simulated."""
    return f"{name} (simulated)" if name == _SIMULATED else name


def describe_saliency(content: dict[str, Any]) -> list[str]:
    """The figures of ``predictions.json``, a line each."""
    figures, items = content["figures"], content["items"]
    patients = len({item["patient_id"] for item in items})
    chosen = ", which also chose the epoch" if content["part"] == "validation" else ""
    lines = [
        f"saliency, {content['protocol']}, {data_in_words(content['data'])}: {len(items)} frames of {patients} "
        f"{content['part']} patients{chosen}; mean over patients, 95 % interval"
    ]
    for name in FIGURES:
        told, prior, level = (_number(figures[name + behind]) for behind in ("", CENTRE_PRIOR, UNIFORM))
        lines.append(f"  {name.replace('_', ' ')} {told}; centre prior {prior}; uniform {level}")
    return [*lines, f"  kld less than the centre prior's by {_number(figures[GAIN])}"]


def _number(figure: Mapping[str, float] | None) -> str:
    if figure is None:
        return "-"
    same = figure["low"] == figure["high"]
    return f"{figure['value']:.3f}" + ("" if same else f" ({figure['low']:.3f} to {figure['high']:.3f})")
