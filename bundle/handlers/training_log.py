# SPDX-License-Identifier: Apache-2.0
"""The history of a run: a table, a picture of its curves, a line on the console."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from ..files import written_beside

logger = logging.getLogger(__name__)


class TrainingLog:
    """Writes ``metrics.csv``, ``metrics.json`` and ``curves.png``: a row an epoch, a column a figure.

    A row holds the trainer's metrics of the epoch (see `LossParts`), the learning rate, and the evaluators' metrics
    where the epoch was validated. The probe before the first epoch is row 0. It is part of the checkpoint, so a resumed
    run goes on with the same table.

    Args:
        output_dir: folder of the run.
        optimizer: its learning rate is logged.
        evaluators: the validating engines.
        interval: epochs between two lines on the console and two writings of the files.
        reference_lines: figures drawn as level lines, as ``{"contrast": log(2B - 1)}`` for what no learning gives.
    """

    def __init__(
        self,
        output_dir: str | Path,
        optimizer: Any,
        evaluators: Sequence[Engine] = (),
        interval: int = 1,
        reference_lines: Mapping[str, float] | None = None,
    ) -> None:
        self.folder = Path(output_dir)
        self.optimizer = optimizer
        self.evaluators = evaluators
        self.interval = interval
        self.reference_lines = dict(reference_lines or {})
        self.rows: list[dict[str, float]] = []
        self.written = 0

    def attach(self, engine: Engine) -> None:
        for evaluator in self.evaluators:
            evaluator.add_event_handler(Events.COMPLETED, self.record_validation, engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.record_epoch)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval) | Events.COMPLETED, self.write)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rows = [dict(row) for row in state["rows"]]

    def record_epoch(self, engine: Engine) -> None:
        row = self._row(engine.state.epoch)
        row["learning_rate"] = float(self.optimizer.param_groups[0]["lr"])
        row.update(_numbers(engine.state.metrics))

    def record_validation(self, evaluator: Engine, engine: Engine) -> None:
        self._row(engine.state.epoch).update(_numbers(evaluator.state.metrics))

    def write(self, engine: Engine) -> None:
        if idist.get_rank() != 0 or len(self.rows) == self.written:
            return
        self.written = len(self.rows)
        row = self.rows[-1]
        figures = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
        logger.info(f"epoch {int(row['epoch'])}/{engine.state.max_epochs}  {figures}")
        write_table(self.folder, self.rows)
        draw_curves(self.folder / "curves.png", self.rows, self.reference_lines)

    def _row(self, epoch: int) -> dict[str, float]:
        if not self.rows or self.rows[-1]["epoch"] != epoch:
            self.rows.append({"epoch": epoch})
        return self.rows[-1]


def write_table(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """``rows`` as ``metrics.csv`` (blank where a row has no figure) and ``metrics.json`` in ``folder``."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with written_beside(folder / "metrics.csv") as path, path.open("w", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    with written_beside(folder / "metrics.json") as path:
        path.write_text(json.dumps(list(rows), indent=1) + "\n")


def draw_curves(path: Path, rows: Sequence[Mapping[str, float]], reference_lines: Mapping[str, float]) -> None:
    """One small plot a figure over the epochs, as a PNG."""
    from matplotlib.figure import Figure

    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "epoch"]
    columns, lines = 3, -(-len(names) // 3)
    figure = Figure(figsize=(4 * columns, 2.6 * lines))  # margins by hand: to lay them out takes as long as to draw
    room = {"left": 0.65 / (4 * columns), "right": 1 - 0.15 / (4 * columns), "wspace": 0.24}
    figure.subplots_adjust(bottom=0.45 / (2.6 * lines), top=1 - 0.3 / (2.6 * lines), hspace=0.4, **room)
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot(lines, columns, place)
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        axes.plot(*zip(*points, strict=True), marker="o" if len(points) < 30 else None, markersize=3)
        if name in reference_lines:
            axes.axhline(reference_lines[name], color="grey", linestyle=":")
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.set_xlabel("epoch", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    with written_beside(path) as beside:
        figure.savefig(beside, dpi=90)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if isinstance(value, (int, float))}
