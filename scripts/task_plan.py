# SPDX-License-Identifier: Apache-2.0
"""The plan of a task's evaluation: read, filled in, and checked before anything is run (`evaluate_task.py`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cells import check_keys, is_whole, read_plan, recipe_of, recipes
from monai.bundle import ConfigParser

from bundle.errors import InputError
from bundle.keys import PROTOCOLS
from bundle.reports.measures import BASELINES
from bundle.settings import check_known

ALL = "all"
KEYS = {
    *("title", "config", "overrides", "encoders", "folds", "seeds", "protocol", "labelled_patients"),
    *("baselines", "compare"),
}
SAID_ELSEWHERE = {
    **{"seed": "seeds", "fold": "folds", "encoder_file": "encoders", "labelled_patients": "labelled_patients"},
    **{"protocol": "protocol", "output_dir": "--output-dir", "cache_dir": "--cache-dir"},
    **dict.fromkeys(("bundle_root", "resume", "overwrite"), "nothing: the program sets it"),
}
"""Settings of a recipe that are no override, and what says them."""


def read_task_plan(
    path: Path, places: Mapping[str, str | Path], only: Sequence[str] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The plan with ``seeds``, ``protocol``, ``overrides``, ``baselines`` and ``compare`` filled in, and its recipes.

    Args:
        path: of the plan.
        places: see `read_plan`.
        only: run these encoders; None for all.

    Raises:
        InputError: the plan cannot be read, or says something that cannot be run; nothing is run then.
    """
    plan = read_plan(path, places)
    if isinstance(plan.get("encoders"), str):
        plan["encoders"] = read_plan(path.parent / plan["encoders"], places)
    check_keys(plan, KEYS, str(path))
    for key, kind in (("config", str | list), ("encoders", dict)):
        if not isinstance(plan.get(key), kind) or not plan[key]:
            raise InputError(f"{path}: no {key!r}: expected a plan with a config and encoders, as in configs/plans")
    plan = {"overrides": {}, "seeds": [0], "protocol": PROTOCOLS[0], "compare": [], **plan}
    plan.setdefault("baselines", [name for name, files in plan["encoders"].items() if files is None])
    _check_values(path, plan)
    _check_encoders(path, plan)
    configs = recipes(plan["config"], str(path))
    _check_recipe(path, plan, recipe_of(configs, {}))
    if missing := [name for name in only or [] if name not in plan["encoders"]]:
        raise InputError(f"--only: no encoder {missing[0]!r} in {path}, expected some of {', '.join(plan['encoders'])}")
    if only:
        left_out = set(plan["encoders"]) - set(only)
        plan["encoders"] = {name: plan["encoders"][name] for name in plan["encoders"] if name in only}
        plan["compare"] = [pair for pair in plan["compare"] if not left_out & set(pair)]
    return plan, configs


def _check_values(path: Path, plan: Mapping[str, Any]) -> None:
    if unnamed := [name for name in plan["encoders"] if not isinstance(name, str)]:
        raise InputError(f"{path}: encoders: {unnamed[0]!r} is no name: expected text, put it in quotes")
    names = {*plan["encoders"], *BASELINES.values()}

    def list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
        return lambda value: isinstance(value, list) and all(map(fits, value))

    def named(value: Any) -> bool:
        return isinstance(value, str) and value in names

    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "title": (lambda value: isinstance(value, str), "text"),
        "overrides": (lambda value: isinstance(value, dict), "settings of the recipe by name"),
        "folds": (
            lambda value: value == ALL or value and list_of(lambda one: isinstance(one, int | str))(value),
            f"{ALL!r} or a list, as [0, 1]",
        ),
        "seeds": (lambda value: value and list_of(is_whole)(value), "a list of whole numbers from 0 up"),
        "protocol": (lambda value: value in PROTOCOLS, f"one of {', '.join(PROTOCOLS)}"),
        "labelled_patients": (
            lambda value: value and list_of(_amount)(value),
            f"a list of whole numbers, shares below 1, or {ALL!r}",
        ),
        "baselines": (list_of(named), f"a list of some of {', '.join(sorted(names))}"),
        "compare": (
            list_of(lambda pair: list_of(named)(pair) and len(pair) == 2),
            f"a list of pairs of {', '.join(sorted(names))}",
        ),
    }
    for key, (fits, expected) in checks.items():
        if plan.get(key) is not None and not fits(plan[key]):
            raise InputError(f"{path}: {key} is {plan[key]!r}: expected {expected}; see docs/evaluation.md")


def _check_encoders(path: Path, plan: Mapping[str, Any]) -> None:
    for name, files in plan["encoders"].items():
        if not isinstance(files, str | list | None) or (isinstance(files, list) and len(files) < len(plan["seeds"])):
            raise InputError(
                f"{path}: encoders {name!r} is {files!r}: expected null for random weights, a file, or one a seed"
            )


def _check_recipe(path: Path, plan: Mapping[str, Any], recipe: ConfigParser) -> None:
    """A setting that the recipe does not have would be passed over in silence by MONAI."""
    for name in plan["overrides"]:
        if name in SAID_ELSEWHERE:
            raise InputError(f"{path}: overrides: {name!r} is set by {SAID_ELSEWHERE[name]}: take it out")
        check_known(recipe.get(), str(name), f"{path}: overrides", str(plan["config"]))
    if recipe.get("protocol") != plan["protocol"]:
        raise InputError(
            f"{path}: protocol is {plan['protocol']!r}, that of the recipe {recipe.get('protocol')!r}: name the recipe "
            "of that protocol, or the protocol of that recipe"
        )


def _amount(value: Any) -> bool:
    share = isinstance(value, float) and 0 < value < 1
    return value == ALL or share or (is_whole(value) and value > 0)
