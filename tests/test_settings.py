# SPDX-License-Identifier: Apache-2.0
"""Settings that cannot be worked with, and options of the command line that are none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bundle.errors import InputError
from bundle.settings import check_command_line, check_settings, given_option

CONFIGS = Path(__file__).parents[1] / "configs"
PRETRAINING = str([str(CONFIGS / name) for name in ("train.yaml", "pretrain_order_geometry.yaml")])


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("max_epochs", 0, "found 0, expected a whole number, 1 or more"),
        ("batch_size", 2.5, "found 2.5, expected a whole number"),
        ("max_boxes", True, "found True, expected a whole number"),
        ("seed", -1, "found -1, expected a whole number, 0 or more"),
        ("learning_rate", "fast", "found 'fast', expected a number above 0"),
        ("learning_rate", float("nan"), "found nan, expected a number above 0"),
        ("weight_decay", -0.1, "expected a number, 0 or more"),
        ("overlap", 1.01, "found 1.01, expected a number from 0 to 1"),
        ("crop_area", [0.8, 0.5], "found [0.8, 0.5], expected two shares"),
        ("crop_area", [0, 1], "expected two shares"),
        ("crop_area", [0.5, 1.1], "expected two shares"),
        ("crop_area", 0.5, "found 0.5, expected two shares"),
        ("crop_area", ["a", "b"], "expected two shares"),
        ("n_frames", 4.5, "found 4.5, expected a whole number, 2 or more"),
        ("n_frames", 1, "expected a whole number, 2 or more"),
        ("stride", 0.1, "found 0.1, expected two numbers above 0"),
        ("stride", ["a", 1], "expected two numbers above 0"),
        ("stride_frames", [3, 2], "expected two numbers above 0"),
        ("rotation_range", "wide", "found 'wide', expected a number, 0 or more"),
        ("field", 0, "found 0, expected a share of the side"),
        ("tasks", "order_geometry", "found 'order_geometry', expected a list of some of order, geometry, contrast"),
        ("tasks", ["order", "geometri"], "expected a list of some of"),
        ("tasks", ["order", "order"], "each once"),
        ("tasks", [], "expected a list of some of"),
        ("task_weights", [1, 2], "found [1, 2], expected a number or a pair of them by the name of a task"),
        ("task_weights", {"ordr": 5}, "by the name of a task (order, geometry, contrast)"),
    ],
)
def test_what_cannot_be_worked_with(name, value, expected):
    with pytest.raises(InputError, match=f"^{name}: .*{re.escape(expected)}.*--{name}$"):
        check_settings(rotation=0, **{name: value})


def test_what_can():
    check_settings(max_epochs=1, seed=0, learning_rate=1, overlap=0, min_score=1.0, crop_area=(1, 1), image_size=None)
    check_settings(n_frames=2, stride=[0.1, 3], tasks=["contrast"], task_weights={"order": [0, 1]}, field=None, flip=0)


@pytest.mark.parametrize(
    ("name", "value", "counts"),
    [
        ("any_modality", "false", False),
        ("any_modality", "True", True),
        ("frame_stride", "2", 2),
        ("threshold", "4e-1", 0.4),
        ("threshold", 1, 1),
    ],
)
def test_options_of_a_client_that_count(name, value, counts):
    assert given_option(name, value) == counts and type(given_option(name, value)) is type(counts)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("threshold", value) for value in ("7", "nan", "NaN", "Infinity", "", None, True, "true", [0.5])),
        *(("any_modality", value) for value in ("no", 0, "0", None)),
        *(("frame_stride", value) for value in ("1.5", 2.0, "0", "x")),
    ],
)
def test_options_of_a_client_that_cannot_be_used(name, value):
    with pytest.raises(InputError, match=f"^{name}: found {re.escape(repr(value))}, expected "):
        given_option(name, value)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--max_epoch", "--max_epoch: found no 'max_epoch' in .*train.yaml.*; did you mean --max_epochs?"),
        ("--stride_frame=3", "did you mean --stride_frames?"),
        ("--train::trainr::max_epochs", "no 'train::trainr' in .* did you mean --train::trainer?"),
        ("--train#max_epochs", "no 'train::max_epochs' in "),
        ("--parts::training", "no 'parts::training' in "),
        ("--train::handlers::99::seed", "no 'train::handlers::99' in "),
        ("-lr", "no 'lr' in "),
    ],
)
def test_options_that_are_none(option, told):
    with pytest.raises(InputError, match=told.replace("?", r"\?")):
        check_command_line(["run", "--config_file", PRETRAINING, option, "3"])


def test_options_that_are():
    more = [
        "--seed",
        "-1",
        "--max-epochs=3",
        "--train::trainer::max_epochs",
        "3",
        "--optimizer#eps",
        "1e-6",
        "--resume",
    ]
    deep = ["--train::handlers::0::seed", "2", "--n_frames", "3", "--run_id", "run", "--", "--trace"]
    check_command_line(["run", "--config_file", PRETRAINING, *more, *deep])
    check_command_line(["run", f"--config_file={CONFIGS / 'finetune.yaml'}", "--tracking", "mlflow", "--run_name", "a"])
    check_command_line(["run", "--args_file", "a.json", "--max_epoch", "3"])
    check_command_line(["pytest", "--config_file", PRETRAINING, "--max_epoch", "3"])
    check_command_line()  # this program is another one
