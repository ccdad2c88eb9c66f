# SPDX-License-Identifier: Apache-2.0
"""How well order and geometry are told of unseen patients, when the run is over."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine, Events
from monai.engines import Evaluator

from ..files import written_beside
from ..metrics import GeometryErrors, OrderAccuracy
from ..transforms.clip_geometry import UNITS

logger = logging.getLogger(__name__)


class PretextReport:
    """Asks the trained network once about the patients of ``tester``; writes ``pretext.json`` and ``orders.png``.

    The JSON has the order's accuracy with its 95 % interval over patients, chance, and the confusion of the classes,
    and for each parameter of the geometry its mean absolute error beside that of predicting the mean. The picture is
    the confusion. Attach it after `RunCheckpoint`, which puts the best weights into the network at the end.

    Args:
        output_dir: folder of the run.
        tester: the evaluator of the part that is reported.
        order, geometry: its metrics, None where the task is off.
        orders: ``(K, n)``, the order of each class.
        part: the name of the part that is reported.
    """

    def __init__(
        self,
        output_dir: str | Path,
        tester: Evaluator,
        order: OrderAccuracy | None = None,
        geometry: GeometryErrors | None = None,
        orders: np.ndarray | None = None,
        part: str = "testing",
    ) -> None:
        self.folder = Path(output_dir)
        self.tester = tester
        self.order = order
        self.geometry = geometry
        self.orders = orders
        self.part = part

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if idist.get_rank() != 0:
            return
        self.tester.run()
        report: dict[str, Any] = {"part": self.part}
        if self.order is not None:
            report["order"] = _of_order(self.order)
            if self.orders is not None and report["order"]["accuracy"] is not None:
                draw_confusion(self.folder / "orders.png", self.order.confusion(), self.orders)
        if self.geometry is not None:
            report["geometry"] = _of_geometry(self.geometry)
        with written_beside(self.folder / "pretext.json") as path:
            path.write_text(json.dumps(report, indent=1) + "\n")
        for line in describe_pretext(report):
            logger.info(line)


def _of_order(metric: OrderAccuracy) -> dict[str, Any]:
    interval = metric.interval()
    return {
        "accuracy": None if interval is None else interval.to_dict(),
        "chance": 1 / metric.n_orders,
        "clips": metric.clips,
        "moving": int(metric.confusion().sum()),
        "confusion": metric.confusion().tolist(),
    }


def _of_geometry(metric: GeometryErrors) -> dict[str, Any]:
    of_mean = metric.errors_of_mean()
    return {
        name: {"error": error, "of_mean": of_mean[name], "unit": UNITS[name]} for name, error in metric.errors().items()
    }


def describe_pretext(report: dict[str, Any]) -> list[str]:
    """The report, a line a task."""
    lines = []
    if "order" in report:
        order = report["order"]
        told = "none moves enough"
        if order["accuracy"] is not None:
            told = "accuracy {value:.2f}, 95 % interval {low:.2f} to {high:.2f}".format(**order["accuracy"])
        lines.append(
            f"order of {order['moving']} moving of {order['clips']} {report['part']} clips: {told}; "
            f"chance {order['chance']:.2f}"
        )
    if "geometry" in report:
        errors = (
            f"{name.replace('_', ' ')} {one['error']:.3g} {one['unit']} (mean: {one['of_mean']:.3g})".replace("  ", " ")
            for name, one in report["geometry"].items()
        )
        lines.append(f"geometry of {report['part']} clips, error (of predicting the mean): {', '.join(errors)}")
    return lines


def draw_confusion(path: Path, confusion: np.ndarray, orders: np.ndarray) -> None:
    """The share of each true class (row) told as each class (column), as a PNG."""
    from matplotlib.figure import Figure

    names = ["".join(str(time + 1) for time in order) for order in orders]
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    side = 2 + 0.35 * len(names)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), [f"{name} ({row.sum()})" for name, row in zip(names, confusion, strict=True)])
    axes.tick_params(axis="y", labelsize=8)
    axes.set(xlabel="told order of the frames", ylabel="true order (clips)")
    figure.colorbar(picture, label="share of the true class")
    with written_beside(path) as beside:
        figure.savefig(beside, dpi=90)
