# SPDX-License-Identifier: Apache-2.0
"""Order accuracy and geometry errors, against counting by hand, alone and in MONAI's evaluator."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator

from bundle.keys import Keys
from bundle.metrics import GeometryErrors, OrderAccuracy
from bundle.transforms import ClipGeometry


def order_batch(told: list[int], true: list[int], moving: list[bool]):
    outputs = {Keys.ORDER_LOGITS: torch.eye(3)[told]}
    return outputs, {
        Keys.ORDER: torch.tensor(true),
        Keys.MOVING: torch.tensor(moving),
        Keys.PATIENT_ID: torch.tensor(true),
    }


def test_order_accuracy_counts_moving_clips_over_batches():
    metric = OrderAccuracy(3)
    metric.update(order_batch([0, 1, 2], [0, 2, 2], [True, True, True]))
    metric.update(order_batch([0, 1], [1, 1], [True, False]))
    assert metric.compute() == {"": 0.5, "chance": pytest.approx(1 / 3), "moving": 0.8}
    assert metric.confusion().tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
    metric.reset()
    assert metric.compute() == {"chance": pytest.approx(1 / 3), "moving": 0.0}


def test_the_interval_is_over_patients():
    """One patient all right and one all wrong: resamples give 0, 1/2 or 1, however many clips each has."""
    metric = OrderAccuracy(3)
    outputs, targets = order_batch([0, 1, 2, 0, 1, 2], [0, 1, 2, 1, 2, 0], [True] * 6)
    metric.update((outputs, {**targets, Keys.PATIENT_ID: torch.tensor([7, 7, 7, 8, 8, 8])}))
    interval = metric.interval()
    assert (interval.value, interval.low, interval.high) == (0.5, 0, 1)
    outputs, targets = order_batch([0], [0], [False])
    still = OrderAccuracy(3)
    still.update((outputs, targets))
    assert still.interval() is None


def values(geometry: ClipGeometry, **given: float) -> torch.Tensor:
    """A label whose parameters are at the middle but for those given."""
    middle = torch.zeros(len(geometry))
    all_values = dict(zip(geometry.names, geometry.values(middle).tolist(), strict=True)) | given
    return geometry.label(torch.tensor([all_values[name] for name in geometry.names]))


def geometry_batch(found: list[torch.Tensor], true: list[torch.Tensor]):
    return {Keys.GEOMETRY: torch.stack(found)}, {Keys.GEOMETRY: torch.stack(true)}


def test_errors_are_in_degrees_percent_and_pixels():
    geometry = ClipGeometry(anisotropic=True, flip=0.5)
    metric = GeometryErrors(geometry, image_size=64)
    true = values(geometry, rotation=10, scale_x=math.log(1.1), scale_y=0.0, shear=-4, shift_x=0.03, flip=1.0)
    found = values(geometry, rotation=13, scale_x=0.0, scale_y=math.log(0.8), shear=-2, shift_x=-0.02, flip=0.6)
    metric.update(geometry_batch([found], [true]))
    figures = metric.compute()
    expected = {"rotation": 3, "scale_x": 10, "scale_y": 25, "shear": 2, "shift_x": 0.05 * 64, "shift_y": 0, "flip": 0}
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-4)
    metric.update(geometry_batch([values(geometry, flip=0.4)], [values(geometry, flip=1.0)]))
    assert metric.compute()["flip"] == 0.5 and metric.compute()["rotation"] == pytest.approx(1.5, abs=1e-4)


def test_relative_to_predicting_the_mean():
    geometry = ClipGeometry()
    random = np.random.RandomState(0)
    true = [geometry.draw(random) for _ in range(400)]
    metric = GeometryErrors(geometry, 64)
    metric.update(geometry_batch([torch.zeros(5)] * 400, true))
    mean = metric.compute()
    assert metric.errors() == metric.errors_of_mean() and mean[""] == pytest.approx(1)
    assert mean["rotation"] == pytest.approx(15, rel=0.1), "half of 30, the mean distance to the middle"
    metric.reset()
    metric.update(geometry_batch([0.75 * label for label in true], true))
    quarter = metric.compute()
    assert quarter["shift_y"] == pytest.approx(0.25 * mean["shift_y"], rel=1e-4)
    of_mean = metric.errors_of_mean()
    assert of_mean == {name: mean[name] for name in geometry.names}
    assert quarter[""] == pytest.approx(np.mean([quarter[name] / of_mean[name] for name in geometry.names]))
    metric.reset()
    assert metric.compute() == {}


class Answers(torch.nn.Module):
    """Gives what it is given, as a network's dict."""

    def forward(self, given):
        return given


def evaluated(moving: bool) -> dict:
    geometry = ClipGeometry()
    outputs, targets = order_batch([0, 1, 2, 1], [0, 2, 2, 1], [moving] * 4)
    outputs[Keys.GEOMETRY] = torch.zeros(4, 5)
    targets[Keys.GEOMETRY] = torch.stack([geometry.draw(np.random.RandomState(k)) for k in range(4)])
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[{}, {}],
        network=Answers(),
        prepare_batch=lambda batch, device, non_blocking, **kwargs: (outputs, targets),
        key_val_metric={"order": OrderAccuracy(3)},
        additional_metrics={"geometry": GeometryErrors(geometry, 64)},
        decollate=False,
    )
    evaluator.run()
    evaluator.run()
    return evaluator.state.metrics


def test_figures_enter_the_evaluators_metrics_under_their_names():
    metrics = evaluated(moving=True)
    errors = (f"geometry_{name}" for name in ClipGeometry().names)
    assert set(metrics) == {"order", "order_chance", "order_moving", "geometry", *errors}
    assert metrics["order"] == 0.75 and metrics["order_moving"] == 1 and metrics["geometry"] == pytest.approx(1)


def test_without_anything_moving_there_is_no_accuracy():
    metrics = evaluated(moving=False)
    assert metrics["order"] is None and metrics["order_moving"] == 0
