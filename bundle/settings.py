# SPDX-License-Identifier: Apache-2.0
"""The settings of a recipe: what each can be, and that one given on the command line is one of them."""

from __future__ import annotations

import difflib
import inspect
import json
import math
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, run

from .errors import InputError

PRETEXT_TASKS = ("order", "geometry", "contrast")


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _range(value: Any) -> bool:
    pair = isinstance(value, Sequence) and len(value) == 2 and all(map(_number, value))
    return pair and 0 < value[0] <= value[1]


def _tasks(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and _known_tasks(value) and len(value) > 0


def _known_tasks(value: Collection[Any]) -> bool:
    return len(set(value)) == len(value) and set(value) <= set(PRETEXT_TASKS)


_RULES: tuple[tuple[str, Callable[[Any], bool], Collection[str]], ...] = (
    ("True or False", lambda value: isinstance(value, bool), ("any_modality",)),
    (
        "a whole number, 1 or more",
        lambda value: _whole(value) and value >= 1,
        (
            *("frame_stride", "max_frames"),
            *("max_epochs", "batch_size", "image_size", "val_interval", "log_interval", "accumulation_steps"),
            *("frames_per_clip", "test_frames_per_clip", "frames_at_once", "max_boxes"),
        ),
    ),
    ("a whole number, 2 or more", lambda value: _whole(value) and value >= 2, ("n_frames",)),
    ("a whole number, 0 or more", lambda value: _whole(value) and value >= 0, ("seed", "split_seed", "num_workers")),
    ("a number above 0", lambda value: _number(value) and value > 0, ("learning_rate", "head_learning_rate")),
    (
        "a number, 0 or more",
        lambda value: _number(value) and value >= 0,
        (
            *("weight_decay", "box_weight", "dice_weight", "ce_weight", "rotation"),
            *("rotation_range", "scale_range", "shear_range", "shift_range", "flip"),
        ),
    ),
    (
        "a number from 0 to 1",
        lambda value: _number(value) and 0 <= value <= 1,
        ("warmup", "overlap", "min_score", "threshold"),
    ),
    (
        "two shares of a frame above 0, the smaller first, as [0.5, 1.0]",
        lambda value: _range(value) and value[1] <= 1,
        ("crop_area",),
    ),
    ("a share of the side, above 0 to 1", lambda value: _number(value) and 0 < value <= 1, ("field",)),
    ("two numbers above 0, the smaller first, as [0.05, 0.15]", _range, ("stride", "stride_frames")),
    (f"a list of some of {', '.join(PRETEXT_TASKS)}, each once", _tasks, ("tasks",)),
    (
        f"a number or a pair of them by the name of a task ({', '.join(PRETEXT_TASKS)})",
        lambda value: isinstance(value, Mapping) and _known_tasks(value),
        ("task_weights",),
    ),
)
_OF = {name: (expected, fits) for expected, fits, names in _RULES for name in names}
_OF_TRACKING = ("tracking_uri", "experiment_name", "run_name", "save_execute_config")


def check_settings(**settings: Any) -> None:
    """Refuse what cannot be worked with, before anything is read or written. None, a recipe's own choice, passes.

    Raises:
        InputError: names the setting, what was found and what was expected.
    """
    for name, value in settings.items():
        expected, fits = _OF[name]
        if value is not None and not fits(value):
            raise InputError(f"{name}: found {value!r}, expected {expected}; give another with --{name}")


def given_option(name: str, value: Any) -> Any:
    """The value of an option that a client of a server gave, who may have sent a number or a switch as text.

    Raises:
        InputError: names the option, what was found and what was expected.
    """
    expected, fits = _OF[name]
    found = value
    if isinstance(value, str):
        with suppress(ValueError):
            found = json.loads(value.lower())
    if not fits(found):
        raise InputError(f"{name}: found {value!r}, expected {expected}")
    return found


def check_command_line(arguments: Sequence[str] | None = None) -> None:
    """Refuse an option of ``python -m monai.bundle run`` that the recipe does not know; MONAI would leave it unused.

    An option is known when it names something in the recipe's files, or an argument of one of their components.

    Args:
        arguments: what follows the program's name; None: those of this program, if it is ``monai.bundle``.

    Raises:
        InputError: names the option, and what is spelt nearly so.
    """
    if arguments is None:
        arguments = sys.argv[1:] if Path(sys.argv[0]).parts[-3:] == ("monai", "bundle", "__main__.py") else []
    given = options(arguments)
    if arguments[:1] != ["run"] or "config_file" not in given:
        return
    from fire.parser import DefaultParseValue

    files = DefaultParseValue(given["config_file"])
    recipe = ConfigParser.load_config_files(files)
    known = {*inspect.signature(run).parameters, *(_OF_TRACKING if "tracking" in given else ())}
    for option in given.keys() - known:
        check_known(recipe, option, f"--{option}", str(files), lead="--")


def check_known(recipe: Mapping[str, Any], setting: str, where: str, files: str, lead: str = "") -> None:
    """Refuse a setting that names nothing in a recipe; MONAI would add it, and nothing would use it.

    Args:
        recipe: its content.
        setting: a name or a path, with ``::`` or ``#`` between its parts. Within a component all is let through.
        where: it was found, for the message.
        files: what the recipe was read from, for the message.
        lead: what stands before a setting there, as ``--``.

    Raises:
        InputError: names the part that is not there, and what is spelt nearly so.
    """
    path = re.split("::|#", setting.removeprefix("+"))
    found, beside = _found(recipe, path)
    if found < len(path):
        near = difflib.get_close_matches(path[found], beside, 1)
        instead = f"did you mean {lead}{'::'.join([*path[:found], *near])}?" if near else "see the recipe for its own"
        raise InputError(
            f"{where}: found no {'::'.join(path[: found + 1])!r} in {files}, expected a setting; {instead}"
        )


def options(arguments: Iterable[str]) -> dict[str, str]:
    """The options of a command line as fire takes them, by name; of one without a value "True"."""
    given: dict[str, str] = {}
    name = ""
    for argument in arguments:
        if argument == "--":
            break  # what follows is for fire itself
        if re.match("--|-[a-zA-Z]", argument):
            name, equals, value = argument.lstrip("-").partition("=")
            name = name.replace("-", "_")
            given[name] = value if equals else "True"
            name = "" if equals else name
        elif name:
            given[name], name = argument, ""
    return given


def _found(recipe: Mapping[str, Any], path: Sequence[str]) -> tuple[int, Collection[str]]:
    """How many parts of a path there are in a recipe, all where it leads into a component; and what else is there."""
    node: Any = recipe
    for place, part in enumerate(path):
        items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
        inside = {str(key): value for key, value in items}
        if part not in inside:
            return place, list(inside)
        node = inside[part]
        if isinstance(node, Mapping) and "_target_" in node:
            break
    return len(path), ()
