# SPDX-License-Identifier: Apache-2.0
"""How well order and geometry are told, as metrics of an evaluator."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from ignite.metrics import Metric
from monai.utils import CommonKeys

from ..keys import Keys
from ..transforms.clip_geometry import UNITS, ClipGeometry
from .bootstrap import Interval, bootstrap_interval
from .scores import accuracy, confusion_matrix


class PretextMetric(Metric):
    """Ignite metric with several figures; each enters the engine's metrics under a name of its own.

    It takes a MONAI engine's output, not decollated: ``pred`` (a dict) and ``label`` (a dict). Nothing is gathered
    over processes.
    """

    def __init__(self) -> None:
        super().__init__(lambda output: (output[CommonKeys.PRED], output[CommonKeys.LABEL]))

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The figures, by what is added to the metric's name; the first, under "", is the metric itself."""

    def completed(self, engine: Engine, name: str) -> None:
        figures = self.compute()
        engine.state.metrics[name] = None  # what MONAI and the log skip
        engine.state.metrics.update({name + (f"_{figure}" if figure else ""): x for figure, x in figures.items()})


class OrderAccuracy(PretextMetric):
    """Share of moving clips whose order is told rightly, with ``chance`` (1 / K) and ``moving`` (their share) beside.

    Without any moving clip there is no accuracy, and the figure is left out (None under the metric's own name).

    Args:
        n_orders: K, the length of `FrameOrders`.
    """

    def __init__(self, n_orders: int) -> None:
        self.n_orders = n_orders
        super().__init__()

    def reset(self) -> None:
        self._order: list[torch.Tensor] = []
        self._told: list[torch.Tensor] = []
        self._patients: list[torch.Tensor] = []
        self.clips = 0

    def update(self, output: tuple[Mapping[str, Any], Mapping[str, Any]]) -> None:
        """Adds a batch of outputs and targets, as in `OrderLoss`, and ``Keys.PATIENT_ID`` (B,) codes."""
        outputs, targets = output
        moving = targets[Keys.MOVING].cpu()
        self._order.append(targets[Keys.ORDER].cpu()[moving])
        self._told.append(outputs[Keys.ORDER_LOGITS].argmax(dim=1).cpu()[moving])
        self._patients.append(targets[Keys.PATIENT_ID].cpu()[moving])
        self.clips += len(moving)

    def compute(self) -> dict[str, float]:
        confusion = self.confusion()
        figures = {"chance": 1 / self.n_orders, "moving": float(confusion.sum() / max(self.clips, 1))}
        return {"": float(accuracy(confusion)), **figures} if confusion.any() else figures

    def confusion(self) -> np.ndarray:
        """Counts of the moving clips ``(K, K)``: row true class, column told class."""
        if not self._order:
            return np.zeros((self.n_orders, self.n_orders), dtype=int)
        return confusion_matrix(torch.cat(self._order).numpy(), torch.cat(self._told).numpy(), self.n_orders)

    def interval(self) -> Interval | None:
        """The accuracy's 95 % interval by a bootstrap over patients; None without any moving clip."""
        if not self.confusion().any():
            return None
        wrong = (torch.cat(self._order) != torch.cat(self._told)).long().numpy()
        # one stratum: all classes of orders are asked of every patient
        return bootstrap_interval(np.zeros_like(wrong), wrong, torch.cat(self._patients).tolist(), 2, accuracy)


class GeometryErrors(PretextMetric):
    """Mean absolute error of each parameter, in degrees, percent or pixels, and relative to predicting the mean.

    Figures: one a parameter (``rotation``, ...), and under the metric's own name the mean over parameters of the error
    relative to that of predicting the mean of the distribution on the same clips: 1 is what no learning gives. The
    error of a flip is the share told wrongly.

    Args:
        geometry: as in the transform.
        image_size: side of the clips in pixels, for shifts.
    """

    def __init__(self, geometry: ClipGeometry, image_size: int) -> None:
        self.geometry = geometry
        self.image_size = image_size
        super().__init__()

    def reset(self) -> None:
        self._found: list[torch.Tensor] = []
        self._labels: list[torch.Tensor] = []

    def update(self, output: tuple[Mapping[str, Any], Mapping[str, Any]]) -> None:
        """Adds a batch of outputs and targets, as in `GeometryLoss`."""
        outputs, targets = output
        self._found.append(outputs[Keys.GEOMETRY].detach().cpu().double())
        self._labels.append(targets[Keys.GEOMETRY].cpu().double())

    def compute(self) -> dict[str, float]:
        if not self._labels:
            return {}
        errors, of_mean = self.errors(), self.errors_of_mean()
        return {"": sum(errors[name] / max(of_mean[name], 1e-12) for name in errors) / len(errors), **errors}

    def errors(self) -> dict[str, float]:
        """The error of each parameter."""
        return self._errors(torch.cat(self._found), torch.cat(self._labels))

    def errors_of_mean(self) -> dict[str, float]:
        """What predicting the mean gives on the same clips."""
        label = torch.cat(self._labels)
        return self._errors(torch.zeros_like(label), label)

    def _errors(self, found: torch.Tensor, label: torch.Tensor) -> dict[str, float]:
        told, true = self.geometry.values(found), self.geometry.values(label)
        return {name: self._error(name, told[:, k], true[:, k]) for k, name in enumerate(self.geometry.names)}

    def _error(self, name: str, told: torch.Tensor, true: torch.Tensor) -> float:
        wrong = (told - true).abs()
        if name == "flip":
            wrong = ((told > 0.5) != (true > 0.5)).double()
        elif UNITS[name] == "percent":
            wrong = 100 * torch.expm1(wrong)
        elif UNITS[name] == "pixels":
            wrong = wrong * self.image_size
        return float(wrong.mean())
