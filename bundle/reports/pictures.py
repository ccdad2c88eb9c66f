# SPDX-License-Identifier: Apache-2.0
"""The pictures of a task's results. Each says in its title which data and protocol it is of."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..keys import Keys
from ..metrics import reliability
from .classification import level_of
from .detection import free_response_of
from .measures import figure_names, patient_means_of
from .results import Entry
from .tables import amount_text, mark, number, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#7f7f7f", "#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#d62728", "#17becf", "#8c564b")


def new_figure(title: str, results: Mapping[str, Any], width: float, height: float) -> Figure:
    """An empty figure with ``title`` and what it is of (`mark`) above."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(f"{title}\n{mark(results)}", fontsize=10)
    return figure


def overview(results: Mapping[str, Any], name: str = "") -> Figure:
    """The main figure of every encoder with its interval, and of every fold as a dot."""
    level, figure = results["main"]
    rows = [row for row in results["rows"] if not name or name in row["figures"]]
    titles = [_row_title(row) for row in rows]
    drawn = new_figure("", results, 7.5, 1.4 + 0.38 * len(rows))
    axes = drawn.subplots()
    for place, row in enumerate(rows):
        one = row["figures"][name] if name else row["figures"][f"per_{level}"]
        interval = one["interval"] if name else one["intervals"][figure]
        folds = one["over_folds"] if name else row["figures"]["over_folds"]
        value = interval["value"]
        colour = _colour(results, row["encoder"])
        error = [[max(0.0, value - interval["low"])], [max(0.0, interval["high"] - value)]]
        if np.isfinite(error).all():
            axes.errorbar(value, place, xerr=error, fmt="o", color=colour, capsize=3)
        if name or figure == "balanced_accuracy":  # folds are of balanced accuracy per clip
            dots = [dot for dot in folds["per_fold"].values() if np.isfinite(dot)] if len(folds["per_fold"]) > 1 else []
            axes.plot(dots, [place + 0.22] * len(dots), "|", color=colour, alpha=0.7)
        axes.annotate(number(value), (value, place), (0, 6), textcoords="offset points", fontsize=8, ha="center")
    axes.set_yticks(range(len(rows)), titles, fontsize=9)
    axes.set_ylim(len(rows) - 0.5, -0.6)
    axes.grid(axis="x", alpha=0.3)
    label = words(name) if name else f"{words(figure)} per {level}"
    axes.set_xlabel(f"{label}; bar: 95 % interval over patients, ticks: folds", fontsize=8)
    drawn.suptitle(f"{label}\n{mark(results)}", fontsize=10)
    return drawn


def confusions(results: Mapping[str, Any]) -> Figure:
    """How often a true class (row) is told as which (column): the seeds' mean count; as colour, the row's share."""
    level, _ = results["main"]
    names, rows = results["class_names"], results["rows"]
    side = 1.6 + 0.5 * len(names)
    columns = min(len(rows), 4)
    lines = -(-len(rows) // columns)
    drawn = new_figure(f"Confusion per {level}", results, side * columns, side * lines + 0.5)
    for place, row in enumerate(rows, start=1):
        counts = np.array(row["figures"][f"per_{level}"]["confusion"]) / len(row["seeds"])
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes = drawn.add_subplot(lines, columns, place)
        axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for (i, j), count in np.ndenumerate(counts):
            colour = "white" if shares[i, j] > 0.6 else "black"
            axes.text(j, i, f"{count:.3g}", ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set_title(_row_title(row), fontsize=9)
        axes.set_xlabel("told", fontsize=8)
        axes.set_ylabel("true", fontsize=8)
    return drawn


def reliabilities(results: Mapping[str, Any], entries: Sequence[Entry]) -> Figure:
    """How often a class told with some confidence is the right one, seeds pooled; the number of items below."""
    level, _ = results["main"]
    drawn = new_figure(f"Reliability per {level}", results, 5.2, 5.6)
    upper, lower = drawn.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color="grey", linestyle=":")
    for row, entry in zip(results["rows"], entries, strict=True):
        items = level_of(entry.runs, level)
        if items is None:
            continue
        labels = np.tile(items.labels, len(entry.runs))
        bins = reliability(labels, items.probabilities.reshape(len(labels), -1))
        known = [i for i, count in enumerate(bins.counts) if count]
        colour = _colour(results, entry.encoder)
        ece = number(row["figures"][f"per_{level}"]["ece"])
        points = [bins.confidence[i] for i in known], [bins.accuracy[i] for i in known]
        upper.plot(*points, marker="o", markersize=3, color=colour, label=f"{_row_title(row)}, ECE {ece}")
        centres = (np.array(bins.edges[:-1]) + np.array(bins.edges[1:])) / 2
        lower.step(centres, np.array(bins.counts) / len(entry.runs), where="mid", color=colour)
    upper.set(xlim=(0, 1), ylim=(0, 1))
    upper.set_ylabel("share that is right", fontsize=8)
    upper.legend(fontsize=7)
    lower.set_xlabel("probability of the told class", fontsize=8)
    lower.set_ylabel(f"{level}s", fontsize=8)
    return drawn


def rocs(results: Mapping[str, Any], entries: Sequence[Entry]) -> Figure:
    """Each class against all others; the mean curve of the seeds."""
    from sklearn.metrics import roc_curve

    level, _ = results["main"]
    names = results["class_names"]
    columns = min(len(names), 4)
    lines = -(-len(names) // columns)
    drawn = new_figure(f"ROC per {level}, each class against the others", results, 3.1 * columns, 3.2 * lines + 0.5)
    grid = np.linspace(0, 1, 101)
    for k, name in enumerate(names):
        axes = drawn.add_subplot(lines, columns, k + 1)
        axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
        for row, entry in zip(results["rows"], entries, strict=True):
            items = level_of(entry.runs, level)
            if items is None or len(set(items.labels == k)) < 2:
                continue
            curves = []
            for scores in items.probabilities:
                wrong, right, _ = roc_curve(items.labels == k, scores[:, k])
                curves.append(np.interp(grid, wrong, right))
            curve = np.concatenate([[0.0], np.mean(curves, axis=0)])
            area = number(row["figures"][f"per_{level}"]["classes"][name]["auroc"])
            label = f"{_row_title(row)} {area}"
            axes.plot(np.concatenate([[0.0], grid]), curve, color=_colour(results, entry.encoder), label=label)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("1 - specificity", fontsize=8)
        axes.set_ylabel("sensitivity", fontsize=8)
        axes.legend(fontsize=7, loc="lower right")
    return drawn


def training_curves(results: Mapping[str, Any], folders: Mapping[str, Sequence[Path]]) -> Figure | None:
    """A plot a figure of ``metrics.csv`` over the epochs: thin lines are runs, thick ones their mean by encoder.

    None where no run has such a table.
    """
    tables = {
        encoder: [_read_table(folder / "metrics.csv") for folder in runs if (folder / "metrics.csv").exists()]
        for encoder, runs in folders.items()
    }
    names = list(dict.fromkeys(name for runs in tables.values() for table in runs for name in table))
    names = [name for name in names if name not in ("epoch", "learning_rate")]
    if not names:
        return None
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    drawn = new_figure("Training", results, 3.9 * columns, 2.5 * lines + 0.6)
    for place, name in enumerate(names, start=1):
        axes = drawn.add_subplot(lines, columns, place)
        for encoder, runs in tables.items():
            colour = _colour(results, encoder)
            curves = [table[name] for table in runs if name in table]
            if not curves:
                continue
            for curve in curves:
                axes.plot(list(curve), list(curve.values()), color=colour, alpha=0.25, linewidth=0.7)
            epochs = sorted({epoch for curve in curves for epoch in curve})
            means = [np.mean([curve[epoch] for curve in curves if epoch in curve]) for epoch in epochs]
            axes.plot(epochs, means, color=colour, linewidth=1.8, label=encoder)
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.set_xlabel("epoch", fontsize=8)
        axes.grid(alpha=0.3)
        if place == 1:
            axes.legend(fontsize=7)
    return drawn


def embedding_map(results: Mapping[str, Any], files: Mapping[str, Path]) -> Figure | None:
    """The encoders' features of tested frames in two dimensions (t-SNE), by class; of one run an encoder.

    None where no run has ``embeddings.npz``.
    """
    from sklearn.manifold import TSNE

    there = {title: path for title, path in files.items() if path.exists()}
    if not there:
        return None
    columns = min(4, len(there))
    lines = -(-len(there) // columns)
    drawn = new_figure(
        "Map of the tested frames (t-SNE of the trained encoder's features)", results, 3.6 * columns, 3.9 * lines
    )
    names = results["class_names"]
    for place, (title, path) in enumerate(there.items(), start=1):
        with np.load(path, allow_pickle=False) as file:
            features, labels = file["features"], file[Keys.LABEL]
        axes = drawn.add_subplot(lines, columns, place)
        if len(features) > 3:
            perplexity = min(30.0, (len(features) - 1) / 3)
            points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(features.astype(np.float64))
            for k in np.unique(labels):
                chosen, colour = labels == k, COLOURS[(int(k) + 1) % len(COLOURS)]
                label = names[k] if 0 <= k < len(names) else None
                axes.scatter(points[chosen, 0], points[chosen, 1], s=9, color=colour, label=label)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(title, fontsize=9)
        if place == 1 and len(names):
            axes.legend(fontsize=7)
    return drawn


def label_efficiency(results: Mapping[str, Any]) -> Figure:
    """Balanced accuracy per clip against the labelled patients a class: mean of the seeds, and all seeds as a band."""
    rows = results["rows"]
    amounts = sorted({row["labelled_patients"] for row in rows}, key=lambda one: float("inf") if one is None else one)
    drawn = new_figure("Label efficiency", results, 6.2, 4.3)
    axes = drawn.subplots()
    for encoder in dict.fromkeys(row["encoder"] for row in rows):
        colour = _colour(results, encoder)
        mine = {row["labelled_patients"]: row for row in rows if row["encoder"] == encoder}
        places = [place for place, amount in enumerate(amounts) if amount in mine]
        seeds = [mine[amounts[place]]["figures"]["per_clip"]["of_seeds"]["balanced_accuracy"] for place in places]
        axes.plot(places, [np.mean(one) for one in seeds], marker="o", color=colour, label=encoder)
        axes.fill_between(places, [min(one) for one in seeds], [max(one) for one in seeds], color=colour, alpha=0.18)
    present = sum(count > 0 for count in results["tested"]["classes"].values())
    axes.axhline(1 / max(present, 1), color="grey", linestyle=":", label="chance")
    axes.set_xticks(range(len(amounts)), [amount_text(amount) for amount in amounts])
    axes.set_xlabel("labelled patients a class", fontsize=9)
    axes.set_ylabel("balanced accuracy per clip", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    n_seeds = sorted({len(row["seeds"]) for row in rows})
    axes.set_title(f"line: mean of {'/'.join(map(str, n_seeds))} seeds, band: lowest to highest seed", fontsize=8)
    return drawn


def froc(results: Mapping[str, Any], entries: Sequence[Entry]) -> Figure:
    """Sensitivity against false boxes a frame, at an IoU of 0.5; a line a seed."""
    drawn = new_figure("FROC, boxes at an IoU of 0.5", results, 5.4, 4.2)
    axes = drawn.subplots()
    for row, entry in zip(results["rows"], entries, strict=True):
        for number_of, curve in enumerate(free_response_of(entry.runs)):
            label = f"{_row_title(row)}, mean {number(row['figures']['froc']['value'])}" if number_of == 0 else None
            points = curve["false_boxes"], curve["sensitivity"]
            axes.plot(*points, color=_colour(results, entry.encoder), alpha=0.8, label=label)
    axes.set(xlim=(0, 4), ylim=(0, 1))
    axes.set_xlabel("false boxes a frame", fontsize=9)
    axes.set_ylabel("sensitivity", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    return drawn


def by_patient(results: Mapping[str, Any], entries: Sequence[Entry]) -> Figure:
    """Each patient's mean of each figure as a dot, by encoder, seeds averaged; the line is the mean."""
    names = figure_names([run for entry in entries for run in entry.runs])
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    drawn = new_figure("Patients", results, 3.6 * columns, 3.0 * lines + 0.5)
    random = np.random.default_rng(0)
    for place, name in enumerate(names, start=1):
        axes = drawn.add_subplot(lines, columns, place)
        for x, entry in enumerate(entries):
            means = patient_means_of(entry.runs, name)
            means = means[~np.isnan(means)]
            colour = _colour(results, entry.encoder)
            axes.scatter(x + random.uniform(-0.18, 0.18, len(means)), means, s=8, color=colour, alpha=0.6)
            if len(means):
                axes.plot([x - 0.3, x + 0.3], [means.mean()] * 2, color="black", linewidth=1.2)
        axes.set_xticks(range(len(entries)), [_row_title(row) for row in results["rows"]], rotation=30, fontsize=7)
        axes.set_title(words(name), fontsize=9)
        axes.grid(axis="y", alpha=0.3)
    return drawn


def _row_title(row: Mapping[str, Any]) -> str:
    amount = row["labelled_patients"]
    return row["encoder"] if amount is None else f"{row['encoder']}, {amount_text(amount)}"


def _colour(results: Mapping[str, Any], encoder: str) -> str:
    names = list(dict.fromkeys(row["encoder"] for row in results["rows"]))
    return COLOURS[names.index(encoder) % len(COLOURS)]


def _read_table(path: Path) -> dict[str, dict[float, float]]:
    """Column -> epoch -> figure."""
    table: dict[str, dict[float, float]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, cell in row.items():
                if cell:
                    table.setdefault(name, {})[float(row["epoch"])] = float(cell)
    return table
