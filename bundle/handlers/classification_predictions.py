# SPDX-License-Identifier: Apache-2.0
"""The classes told of the tested clips: a line with its interval, the confusion and the reliability as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import written_beside
from ..metrics import accuracy, balanced_accuracy, bootstrap_interval
from ..metrics.bootstrap import Statistic
from .predictions import Predictions, of_what


class ClassificationPredictions(Predictions):
    """`Predictions` of a `ClipClassification`, with ``confusion.png``: confusion and reliability.

    Under the protocol ``patient`` the log and the picture are of clips, under ``legacy-uscl`` of frames; the protocol's
    name stands in both.
    """

    picture_name = "confusion.png"

    def tell(self, content: dict[str, Any]) -> Sequence[str]:
        draw_classification(self.folder / self.picture_name, content)
        return describe_classification(content)


def describe_classification(content: dict[str, Any]) -> list[str]:
    """The main figure with its 95 % interval by bootstrap over patients, in one line."""
    kind, name, statistic = _main(content)
    items = content["items" if kind == "frame" else "clips"]
    patients = [item["patient_id"] for item in items]
    interval = bootstrap_interval(
        [item["label"] for item in items],
        [int(np.argmax(item["probabilities"])) for item in items],
        patients,
        len(content["class_names"]),
        statistic,
        resamples=2000,
    )
    chosen = ", which also chose the epoch" if content["part"] == "validation" or kind == "frame" else ""
    figures = content["figures"][f"per_{kind}"]
    return [
        f"{of_what(content)}: {name} per {kind} {interval.value:.3f}, 95 % interval "
        f"{interval.low:.3f} to {interval.high:.3f} over patients, on {len(items)} {kind}s of "
        f"{len(set(patients))} {content['part']} patients{chosen}; macro F1 {_number(figures['macro_f1'])}, AUROC "
        f"{_number(figures['auroc'])}, ECE {_number(figures['ece'])}; chance {1 / len(_present(figures)):.2f}"
    ]


def draw_classification(path: Path, content: dict[str, Any]) -> None:
    """Confusion (rows: true class, as shares) and reliability diagram, side by side, as a PNG."""
    from matplotlib.figure import Figure

    kind, name, _ = _main(content)
    figures, names = content["figures"][f"per_{kind}"], content["class_names"]
    confusion = np.array(figures["confusion"])
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    side = 2.5 + 0.4 * len(names)
    figure = Figure(figsize=(side + 4.2, side), layout="constrained")
    figure.suptitle(
        f"{of_what(content)}, {content['part']} part: {name} per {kind} "
        f"{_number(figures['accuracy' if kind == 'frame' else 'balanced_accuracy'])}",
        fontsize=9,
    )
    left, right = figure.subplots(1, 2, width_ratios=[side, 3.5])
    left.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for row, column in np.ndindex(*confusion.shape):
        colour = "white" if shares[row, column] > 0.6 else "black"
        left.text(column, row, str(confusion[row, column]), ha="center", va="center", fontsize=8, color=colour)
    left.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    left.set_yticks(range(len(names)), names, fontsize=8)
    left.set(xlabel="told", ylabel=f"true ({kind}s)")
    bins = figures["reliability"]
    width = bins["edges"][1] - bins["edges"][0]
    right.bar(bins["edges"][:-1], [value or 0 for value in bins["accuracy"]], width, align="edge", edgecolor="white")
    right.plot([0, 1], [0, 1], color="grey", linestyle=":")
    right.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the told class", ylabel="share that is right")
    right.set_title(f"ECE {_number(figures['ece'])}, Brier {_number(figures['brier'])}", fontsize=9)
    with written_beside(path) as beside:
        figure.savefig(beside, dpi=90)


def _main(content: dict[str, Any]) -> tuple[str, str, Statistic]:
    """The kind of item the protocol counts, the figure's name and how it is computed."""
    if content["protocol"] == "patient":
        return "clip", "balanced accuracy", balanced_accuracy
    return "frame", "accuracy", accuracy


def _present(figures: dict[str, Any]) -> list[str]:
    return [name for name, one in figures["classes"].items() if one["items"]]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
