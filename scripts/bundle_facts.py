# SPDX-License-Identifier: Apache-2.0
"""What a finished run tells of its model: from which data it comes, and what it was worth on tested patients."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bundle.data.leakage import LEAKAGE_FILES
from bundle.errors import InputError
from bundle.networks import EMBEDDING, only_simulated
from bundle.networks.trained_model import TrainedModel
from bundle.reports import Entry, read_predictions, task_results, with_baselines
from bundle.reports.tables import words


def circumstances(model: TrainedModel) -> dict[str, Any]:
    """``run.json`` of the run: when it began, with which releases and on what machine; empty where it is not there."""
    path = model.file.parent / "run.json"
    return _read(path) if path.is_file() else {}


def tested(model: TrainedModel, description: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of the part that the run tested, ready for JSON; empty where it tested none.

    Returns:
        ``protocol``, ``part``, ``data``, ``simulated``, how many ``frames``, ``clips`` and ``patients``, of classes the
        ``chance`` level, ``leakage`` (whether the run went on though parts, or pretraining and test, share clips),
        ``figures`` (in words -> value, low, high, level), and ``baselines`` (what no network made -> its figures). A
        figure without a value is left out.

    Raises:
        InputError: the run's file cannot be read or is of another task.
    """
    folder = model.file.parent
    if model.task == EMBEDDING:
        path = folder / "probe.json"
        return _probed(_read(path), description, folder) if path.is_file() else {}
    path = folder / "predictions.json"
    if not path.is_file():
        return {}
    run = read_predictions(path)
    if run.task != model.task:
        raise InputError(f"{path}: predictions of {run.task}, the model beside it is for {model.task}; copy both anew")
    results = task_results(with_baselines([Entry(model.task, [0], [run])]), model.task)
    own, *others = results["rows"]
    level, _ = results["main"]
    about = results["tested"]
    told = {name: results[name] for name in ("protocol", "data", "simulated")}
    told |= {name: about[name] for name in ("part", "frames", "clips", "patients")}
    told["leakage"] = _leaks(folder)
    if about["classes"]:
        told["chance"] = _rounded(1 / sum(count > 0 for count in about["classes"].values()))
    told["figures"] = _figures(own["figures"], level)
    if others:
        told["baselines"] = {row["encoder"]: _figures(row["figures"], level) for row in others}
    return told


def _figures(figures: Mapping[str, Any], level: str) -> dict[str, Any]:
    if f"per_{level}" in figures:
        found = {f"{words(name)} per {level}": one for name, one in figures[f"per_{level}"]["intervals"].items()}
    else:
        found = {words(name): one["interval"] for name, one in figures.items()}
    return {name: _interval(one) for name, one in found.items() if math.isfinite(one["value"])}


def _probed(report: Mapping[str, Any], description: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Of ``probe.json``."""
    return {
        "protocol": "patient",
        "data": description["data"],
        "simulated": only_simulated(folder, description),
        "leakage": _leaks(folder),
        **{name: report[name] for name in ("part", "clips", "patients")},
        "chance": _rounded(report["chance"]),
        "figures": {report["figure"]: _interval(report["after"]["interval"])},
        "baselines": {"before pretraining": {report["figure"]: _interval(report["before"]["interval"])}},
    }


def _leaks(folder: Path) -> bool:
    return (folder / LEAKAGE_FILES[0]).is_file()


def _interval(one: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _rounded(one[name]) for name in ("value", "low", "high", "level")}


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); copy the run's folder anew") from error
