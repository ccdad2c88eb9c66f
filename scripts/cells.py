# SPDX-License-Identifier: Apache-2.0
"""The cells of a plan: runs of recipes, each in a folder of its own, done once, resumed where they were interrupted.

Shared by the programs that run a plan (`compare_pretraining.py`, `evaluate_task.py`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import yaml
from monai.bundle import ConfigParser

from bundle.errors import InputError
from bundle.files import sha256_of, written_beside
from bundle.handlers.run_folder import LAST_CHECKPOINT

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cell:
    """One run: a method of the plan with one seed.

    Args:
        method: what the plan calls it.
        seed: of the run.
        folder: where it goes; its log and its settings lie beside it.
        configs: the recipe, or the recipes that are laid over each other.
        overrides: settings by name.
        result: the file in the folder that the run is made for.
        inputs: what else the run depends on, as the digest of a file: noted with the settings.
    """

    method: str
    seed: int
    folder: Path
    configs: list[str]
    overrides: dict[str, Any] = field(default_factory=dict)
    result: str = "encoder.safetensors"
    inputs: dict[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> Path:
        """The file that the run is made for."""
        return self.folder / self.result

    def command(self, **further: Any) -> list[str]:
        """What runs it, after the name of the Python program; with further settings."""
        overrides = {"bundle_root": ROOT, **self.overrides, "seed": self.seed, "output_dir": self.folder, **further}
        given = [part for name, value in overrides.items() for part in (f"--{name}", str(value))]
        files = [str(ROOT / name) for name in self.configs]
        return ["-m", "monai.bundle", "run", "--config_file", str(files), *given]


def run_cells(cells: Sequence[Cell], jobs: int) -> None:
    """Runs the cells that are not done, ``jobs`` at a time, which share the cores.

    Raises:
        InputError: a run failed (it says why), a cell was run with other settings, two cells have one folder, or
            ``jobs`` is below 1.
    """
    if jobs < 1:
        raise InputError(f"--jobs: found {jobs}, expected 1 or more")
    folders = [cell.folder for cell in cells]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice:
        raise InputError(f"{twice}: two cells of the plan get this folder; give them names that differ in letters")
    for cell in cells:
        _check_settings(cell)
    failed = Event()

    def run(cell: Cell) -> None:
        try:
            if not failed.is_set():  # what runs beside it is finished, nothing more is begun
                _run_cell(cell, jobs)
        except InputError:
            failed.set()
            raise

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run, cells))


def run_step(command: Sequence[str], **how: Any) -> None:
    """Runs a command; an `InputError` when it fails."""
    if subprocess.run([sys.executable, *command], check=False, **how).returncode != 0:
        raise InputError(f"a step failed; mend it and start again, what is done is kept: {' '.join(command)}")


def folder_name(*parts: str) -> str:
    """A name for a folder made of words of a plan: ``("order + geometry", "seed0")`` -> ``order_geometry_seed0``."""
    return "_".join(re.sub(r"[^A-Za-z0-9]+", "_", part).strip("_") for part in parts)


def read_plan(path: str | Path, places: Mapping[str, str | Path]) -> dict[str, Any]:
    """A plan (YAML) with ``{root}`` and the ``places`` in its text filled in: name -> folder.

    Raises:
        InputError: it cannot be read or is no mapping.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): expected a plan, as in configs/plans") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8: expected a plan, as in configs/plans") from error
    for name, place in {"root": ROOT, **places}.items():
        text = text.replace(f"{{{name}}}", str(place))
    try:
        plan = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())}): mend the plan") from error
    if not isinstance(plan, dict):
        raise InputError(f"{path}: found {type(plan).__name__}, expected a plan, as in configs/plans")
    return plan


def check_keys(given: Mapping[Any, Any], known: Collection[str], where: str) -> None:
    """Refuse a key of a plan that nothing reads.

    Raises:
        InputError: names it, and those that are known.
    """
    if unknown := sorted(set(given) - set(known), key=str):
        raise InputError(f"{where}: {unknown[0]!r} is not known: expected {', '.join(sorted(known))}")


def is_whole(value: Any) -> bool:
    """Whether a value of a plan is a whole number, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def recipes(given: str | Sequence[str], where: str) -> list[str]:
    """The recipe, or the recipes that are laid over each other, as a list.

    Raises:
        InputError: one of them is not there; ``where`` is named.
    """
    names = [str(name) for name in given] if isinstance(given, list | tuple) else [str(given)]
    for name in names:
        if not (ROOT / name).is_file():
            raise InputError(f"{where}: no such recipe: {name}: expected one of configs")
    return names


def recipe_of(configs: Sequence[str], overrides: Mapping[str, Any]) -> ConfigParser:
    """The recipe as a run has it."""
    recipe = ConfigParser()
    recipe.read_config([str(ROOT / name) for name in configs])
    recipe.update({"bundle_root": str(ROOT), **overrides})
    return recipe


def _run_cell(cell: Cell, jobs: int) -> None:
    if cell.outcome.exists() and _noted(cell).get("done"):
        print(f"{cell.folder.name}: done before", flush=True)
        return
    _note(cell, done=False)
    path = Path(f"{cell.folder}.log")
    print(f"{cell.folder.name}: its log is {path}", flush=True)
    resume = (cell.folder / LAST_CHECKPOINT).exists()
    command = cell.command(resume=resume, overwrite=not resume)  # what is not done and cannot go on is begun again
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    with path.open("a", encoding="utf-8") as log:
        try:
            run_step(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": threads})
        except InputError as error:
            said = path.read_text(encoding="utf-8", errors="replace").splitlines()
            why = next((line for line in reversed(said) if line.startswith("error: ")), f"see {path} why")
            raise InputError(f"{cell.folder.name}: {why.removeprefix('error: ')}; {error}") from error
    if not cell.outcome.exists():
        raise InputError(f"{cell.folder.name}: the run ended without {cell.result}; see {path} why")
    _note(cell, done=True)  # the result is not the last that a run writes
    _drop_checkpoint(cell)
    print(f"{cell.folder.name}: done", flush=True)


def _drop_checkpoint(cell: Cell) -> None:
    """A run that is done does not go on: what it would need for that is two thirds of its folder."""
    (cell.folder / LAST_CHECKPOINT).unlink(missing_ok=True)


def _settings(cell: Cell) -> dict[str, Any]:
    """All that the cell's result depends on, as JSON keeps it."""
    configs = {name: sha256_of(ROOT / name) for name in cell.configs}
    overrides = {name: value for name, value in cell.overrides.items() if name != "cache_dir"}
    settings: dict[str, Any] = json.loads(json.dumps({"configs": configs, **overrides, **cell.inputs}, default=str))
    return settings


def _check_settings(cell: Cell) -> None:
    """A cell that was run with something else is not taken for done."""
    if (noted := _noted(cell)) and noted.get("settings") != _settings(cell):
        raise InputError(
            f"{cell.folder} was run with other settings or another version of its recipe, see {cell.folder.name}.json; "
            "choose another --output-dir or remove it"
        )


def _noted(cell: Cell) -> dict[str, Any]:
    """The note beside the cell's folder: its settings and whether it is done; nothing before it is begun."""
    path = Path(f"{cell.folder}.json")
    try:
        noted = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}): remove it and the folder beside it") from error
    return noted if isinstance(noted, dict) else {"settings": None}


def _note(cell: Cell, done: bool) -> None:
    with written_beside(f"{cell.folder}.json") as beside:
        beside.write_text(json.dumps({"done": done, "settings": _settings(cell)}, indent=1) + "\n", encoding="utf-8")
