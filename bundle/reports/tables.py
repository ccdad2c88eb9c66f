# SPDX-License-Identifier: Apache-2.0
"""The results of a task in words and tables: rows of cells, for Markdown and for the page alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..keys import LEGACY
from ..metrics import markdown_rows
from .results import CLASSIFICATION, DETECTION

Rows = list[list[str]]
"""Cells of a table, the first row its head."""

NONE = "–"
WORDS = {
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC",
    "ap50": "AP at IoU 0.5",
    "ap": "AP, IoU 0.5 to 0.95",
    "froc": "FROC, mean sensitivity",
    "best_box_iou": "IoU of the best box",
    "dice": "Dice",
    "iou": "IoU",
    "ppv": "PPV",
    "hd95_mm": "HD95, mm (less is better)",
    "hd95_px": "HD95, pixels (less is better)",
    "missed": "frames missed (less is better)",
    "false_mark": "frames marked falsely (less is better)",
    "circumference_error_mm": "circumference error, mm (less is better)",
    "kld": "KL divergence (less is better)",
    "kld_gain": "gain in KL divergence over the centre prior",
    "nss": "NSS",
    "auc": "AUC-Judd",
    "shuffled_auc": "shuffled AUC",
    "cc": "CC",
    "sim": "SIM",
}
"""Figures in words; others by their name."""

SIMULATED = "SIMULATED DATA. It says how the recipe behaves, nothing about patients."
LEGACY_NOTE = (
    "PROTOCOL legacy-uscl: the epoch was chosen on the tested fold and frames are counted as if they were independent, "
    "as in the released evaluation of USCL. These figures are too high, and comparable only within that protocol."
)


def notes(results: Mapping[str, Any]) -> list[str]:
    """What must be read before any figure: simulated data, a protocol that flatters."""
    return [SIMULATED] * bool(results["simulated"]) + [LEGACY_NOTE] * (results["protocol"] == LEGACY)


def words(figure: str) -> str:
    """What a figure is called."""
    return WORDS.get(figure, figure.replace("_", " "))


def mark(results: Mapping[str, Any]) -> str:
    """What stands on every table and picture: data, protocol, and that it is simulated."""
    return f"{results['data']}{' (SIMULATED)' if results['simulated'] else ''}, protocol {results['protocol']}"


def describe(results: Mapping[str, Any]) -> str:
    """What was tested, and how the figures are made, in a few sentences."""
    tested = results["tested"]
    classes = ", ".join(f"{count} {name}" for name, count in tested["classes"].items())
    present = sum(count > 0 for count in tested["classes"].values())
    how = f"out of fold, {tested['folds']} folds" if tested["folds"] > 1 else f"the {tested['part']} part"
    how += ", which also chose the epoch" if tested["part"] == "validation" else ""
    for fold, lacking in tested["folds_without"].items():
        how += f"; fold {fold} has no {', '.join(lacking)}"
    said = [
        f"{mark(results)}: {tested['clips']} clips{f' ({classes})' if classes else ''} of {tested['patients']} "
        f"patients, {tested['frames']} frames, {how}{f'; chance {1 / present:.2f}' if present else ''}."
    ]
    if results["task"] == CLASSIFICATION:
        said.append(
            "A clip's score comes from its frames', a patient's is the mean of its clips'; patients with clips of "
            "several classes have no label of their own and are left out per patient."
        )
    else:
        said.append("Figures are means over patients of the means over each patient's frames.")
        if results["task"] == DETECTION:
            said.append("AP and FROC are of all frames together, those of a patient drawn together.")
    said.append(
        "In brackets 95 % intervals by bootstrap over patients; differences are paired on the same resamples, seeds "
        "averaged. Over folds: mean and standard deviation."
    )
    return " ".join(said)


def summary_rows(results: Mapping[str, Any]) -> Rows:
    """The table of the encoders: a row an encoder (and number of labelled patients)."""
    return _classification_rows(results) if results["task"] == CLASSIFICATION else _measure_rows(results)


def class_rows(results: Mapping[str, Any]) -> Rows:
    """Precision, recall, F1 and AUROC of each class, at the main level; of a classification only."""
    level, _ = results["main"]
    rows = [["encoder", *_amount_head(results), "class", f"{level}s", "precision", "recall", "F1", "AUROC"]]
    for row in results["rows"]:
        for name, one in row["figures"][f"per_{level}"]["classes"].items():
            figures = [number(one[key]) for key in ("precision", "recall", "f1", "auroc")]
            rows.append([row["encoder"], *_amount(results, row), name, f"{one['items']:.0f}", *figures])
    return rows


def difference_rows(results: Mapping[str, Any]) -> Rows:
    """All differences between encoders, with whether the interval leaves 0 out."""
    rows = [["difference", *_amount_head(results), "figure", "value (95 % interval)", "interval without 0"]]
    for one in results["differences"]:
        figure = words(one["figure"])
        told = "yes" if one["low"] > 0 or one["high"] < 0 else "no"
        name = f"{one['first']} minus {one['second']}"
        rows.append([name, *_amount(results, one), f"{figure} per {one['per']}", signed(one), told])
    return rows


def markdown(results: Mapping[str, Any]) -> str:
    """The whole as Markdown: what was tested, the notes, the tables."""
    parts = [f"# {results['title']}", *(f"**{note}**" for note in notes(results)), describe(results)]
    parts.append(_markdown(summary_rows(results)))
    if results["task"] == CLASSIFICATION:
        parts.append(f"## By class ({mark(results)})\n\n{_markdown(class_rows(results))}")
    if results["differences"]:
        parts.append(f"## Differences ({mark(results)})\n\n{_markdown(difference_rows(results))}")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def number(value: float | None) -> str:
    """Two decimals, or a dash; three significant digits from 10 up."""
    if value is None or value != value:
        return NONE
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.3g}"


def signed(interval: Mapping[str, float]) -> str:
    """A difference with its interval."""
    return f"{interval['value']:+.2f} ({interval['low']:+.2f} to {interval['high']:+.2f})"


def _classification_rows(results: Mapping[str, Any]) -> Rows:
    level, figure = results["main"]
    others = list(dict.fromkeys(one["second"] for one in results["differences"]))
    head = ["encoder", *_amount_head(results), "seeds", *(f"{words(figure)} per {one}" for one in ("frame", "clip"))]
    folds = results["tested"]["folds"] > 1
    head += [
        "range of seeds",
        "per patient",
        *["over folds (per clip, balanced)"] * folds,
        "AUROC per clip",
        "ECE per clip",
    ]
    rows = [head + [f"per {level} minus {other}" for other in others]]
    for row in results["rows"]:
        figures = row["figures"]
        main = figures[f"per_{level}"]
        cells = [row["encoder"], *_amount(results, row), str(len(row["seeds"]))]
        cells += [_with_interval(figures[f"per_{one}"], figure) for one in ("frame", "clip")]
        of_seeds = main["of_seeds"][figure]
        cells.append(f"{min(of_seeds):.2f} to {max(of_seeds):.2f}" if len(of_seeds) > 1 else NONE)
        patients = figures["per_patient"]
        some = (
            f", {patients['items']} of {patients['of']} patients"
            if patients and patients["items"] < patients["of"]
            else ""
        )
        cells.append(_with_interval(patients, figure) + some if patients else NONE)
        cells += [_over_folds(figures["over_folds"])] * folds + [_with_interval(figures["per_clip"], "auroc")]
        cells.append(number(figures["per_clip"]["ece"]))
        rows.append(cells + [_difference(results, row, other, figure, level) for other in others])
    return rows


def _measure_rows(results: Mapping[str, Any]) -> Rows:
    others = list(dict.fromkeys(one["second"] for one in results["differences"]))
    folds = results["tested"]["folds"] > 1
    head = ["encoder", *_amount_head(results), "seeds", "figure", "value (95 % interval)", "range of seeds"]
    rows = [head + ["over folds"] * folds + ["patients", *(f"minus {other}" for other in others)]]
    for row in results["rows"]:
        for name, one in row["figures"].items():
            seeds = one["of_seeds"]
            some = "" if one["patients"] == one["of_patients"] else f" of {one['of_patients']}"
            cells = [row["encoder"], *_amount(results, row), str(len(row["seeds"])), words(name)]
            cells += [
                f"{number(one['value'])} ({number(one['interval']['low'])} to {number(one['interval']['high'])})",
                f"{number(min(seeds))} to {number(max(seeds))}" if len(seeds) > 1 else NONE,
                *[_over_folds(one["over_folds"])] * folds,
                f"{one['patients']}{some}",
            ]
            rows.append(cells + [_difference(results, row, other, name) for other in others])
    return rows


def _with_interval(level: Mapping[str, Any], figure: str) -> str:
    interval = level["intervals"][figure]
    return f"{number(level[figure])} ({number(interval['low'])} to {number(interval['high'])})"


def _over_folds(folds: Mapping[str, Any]) -> str:
    return NONE if folds["spread"] is None else f"{number(folds['mean'])} ± {number(folds['spread'])}"


def _difference(results: Mapping[str, Any], row: Mapping[str, Any], other: str, figure: str, level: str = "") -> str:
    for one in results["differences"]:
        asked = (one["first"], one["second"], one["labelled_patients"], one["figure"])
        if asked == (row["encoder"], other, row["labelled_patients"], figure) and level in ("", one["per"]):
            return signed(one)
    return ""


def _amount_head(results: Mapping[str, Any]) -> list[str]:
    """A column for the number of labelled patients, where that differs."""
    return ["labelled patients a class"] if any(row["labelled_patients"] is not None for row in results["rows"]) else []


def _amount(results: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    return [amount_text(row["labelled_patients"])] if _amount_head(results) else []


def amount_text(amount: float | None) -> str:
    """How many patients' labels were used, in words: ``all``, ``2``, ``10 %``."""
    if amount is None:
        return "all"
    return f"{amount:.0%}".replace("%", " %") if amount < 1 else f"{amount:g}"


def _markdown(rows: Rows) -> str:
    return markdown_rows([rows[0], ["---"] * len(rows[0]), *rows[1:]])
