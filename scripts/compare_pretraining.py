# SPDX-License-Identifier: Apache-2.0
"""Pretrain several ways and seeds, then judge every encoder by the frozen probes: one command, one table.

The plan is a YAML file: which recipes to run with which overrides and seeds, and on which labelled clips to judge what
they learned. Every run is a folder of its own; what is done is not done again, what was interrupted is resumed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bundle.errors import InputError, show_input_errors_plainly
from bundle.files import made_folder, written_beside

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cell:
    """One pretraining run: a method of the plan with one seed."""

    method: str
    seed: int
    folder: Path
    configs: list[str]
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def encoder(self) -> Path:
        """The file that says that the run is over."""
        return self.folder / "encoder.safetensors"


def main() -> None:
    """Run the cells that are not done, then the probes."""
    show_input_errors_plainly()
    args = _parse()
    plan = _read_plan(Path(args.plan), Path(args.data_root))
    output = made_folder(args.output_dir)
    cells = list(_cells(plan, output, args.cache_dir))
    if len({cell.folder for cell in cells}) < len(cells):
        raise InputError(f"{args.plan}: two methods get the same folder; give them names that differ in letters")
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda cell: _pretrain(cell, args.jobs), cells))
    tables = [pretext_table(cells)]
    for name, target in plan["targets"].items():
        chosen = [cell for cell in cells if cell.method in target.get("methods", plan["methods"])]
        _run(_probe_command(chosen, name, target, output, args.cache_dir))
        tables.append(f"## {name}\n\n{(output / name / 'table.md').read_text(encoding='utf-8')}")
    with written_beside(output / "tables.md") as path:
        path.write_text("\n\n".join(table for table in tables if table), encoding="utf-8")
    print(f"all tables are in {output / 'tables.md'}")


def _cells(plan: dict[str, Any], output: Path, cache_dir: str) -> Iterator[Cell]:
    for name, method in plan["methods"].items():
        for seed in method.get("seeds", [0]):
            overrides = {"cache_dir": cache_dir, **plan.get("overrides", {}), **method.get("overrides", {})}
            folder = output / f"{re.sub(r'[^A-Za-z0-9]+', '_', name).strip('_')}_seed{seed}"
            yield Cell(name, seed, folder, _configs(method), overrides)


def _configs(method: dict[str, Any]) -> list[str]:
    """The recipe, or the recipes that are laid over each other."""
    given = method["config"]
    return [str(name) for name in given] if isinstance(given, list) else [str(given)]


def _pretrain(cell: Cell, jobs: int) -> None:
    overrides = {"bundle_root": ROOT, **cell.overrides, "seed": cell.seed, "output_dir": cell.folder}
    _keep_settings(cell)
    if cell.encoder.exists():
        print(f"{cell.folder.name}: done before", flush=True)
        return
    print(f"{cell.folder.name}: its log is {cell.folder}.log", flush=True)
    overrides["resume"] = (cell.folder / "last.pt").exists()
    given = [part for name, value in overrides.items() for part in (f"--{name}", str(value))]
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    files = [str(ROOT / name) for name in cell.configs]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(files), *given]
    path = Path(f"{cell.folder}.log")
    with path.open("a", encoding="utf-8") as log:
        try:
            _run(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": threads})
        except InputError as error:
            said = path.read_text(encoding="utf-8", errors="replace").splitlines()
            why = next((line for line in reversed(said) if line.startswith("error: ")), f"see {path} why")
            raise InputError(f"{cell.folder.name}: {why.removeprefix('error: ')}; {error}") from error
    print(f"{cell.folder.name}: done", flush=True)


def _keep_settings(cell: Cell) -> None:
    """Notes beside the cell what it is run with; a cell that was run with something else is not taken for done."""
    path = Path(f"{cell.folder}.json")
    settings = json.dumps({"configs": cell.configs, **cell.overrides}, sort_keys=True, default=str)
    if path.exists() and path.read_text(encoding="utf-8") != settings:
        raise InputError(
            f"{cell.folder} was run with other settings, see {path.name}; choose another --output-dir or remove it"
        )
    with written_beside(path) as beside:
        beside.write_text(settings, encoding="utf-8")


def _probe_command(cells: list[Cell], name: str, target: dict[str, Any], output: Path, cache_dir: str) -> list[str]:
    command = [sys.executable, str(ROOT / "scripts" / "probe_encoders.py")]
    command += [f"{cell.method}={cell.encoder}" for cell in cells]
    command += ["--dataset-dir", str(target["dataset_dir"]), "--output-dir", str(output / name)]
    command += ["--untrained", target.get("untrained", "resnet18"), "--cache-dir", cache_dir]
    for column, values in target.get("where", {}).items():
        command += ["--where", f"{column}={','.join(map(str, values))}"]
    if target.get("own_split"):  # the testing part of the split that the encoders were pretrained with
        command += ["--datalist", str(cells[0].folder / "datalist.json")]
    command += ["--allow-leakage"] if target.get("allow_leakage") else []
    return command


def pretext_table(cells: list[Cell]) -> str:
    """What the runs say of the order and geometry of clips held back from them (``pretext.json``), as Markdown.

    A line a method: the means over its seeds; "" if no run has such a report.
    """
    reports: dict[str, list[dict[str, Any]]] = {}
    for cell in cells:
        path = cell.folder / "pretext.json"
        if path.exists():
            reports.setdefault(cell.method, []).append(json.loads(path.read_text(encoding="utf-8")))
    if not reports:
        return ""
    parameters = (one for runs in reports.values() for run in runs for one in run.get("geometry", {}).items())
    units = {name: one["unit"] for name, one in parameters}
    lines = [
        "## Order and geometry of held-back patients",
        "",
        "Order: share of moving clips told rightly, mean of the seeds, with the outermost bounds of their intervals "
        "(95 %, over patients). Geometry: mean absolute error (of predicting the mean).",
        "",
        "| method | seeds | clips | order | chance | "
        + " | ".join(f"{name}, {unit}" for name, unit in units.items())
        + " |",
        "|---" * (5 + len(units)) + "|",
    ]
    for method, runs in reports.items():
        row = [method, str(len(runs)), _clips(runs), *_order(runs), *(_geometry(runs, name) for name in units)]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _clips(runs: list[dict[str, Any]]) -> str:
    part = runs[0]["part"]
    return f"{runs[0]['order']['moving']} moving of {runs[0]['order']['clips']}, {part}" if "order" in runs[0] else part


def _order(runs: list[dict[str, Any]]) -> list[str]:
    orders = [run["order"] for run in runs if run.get("order") and run["order"]["accuracy"] is not None]
    if not orders:
        return ["", ""]
    told = [order["accuracy"] for order in orders]
    mean = sum(one["value"] for one in told) / len(told)
    low, high = min(one["low"] for one in told), max(one["high"] for one in told)
    return [f"{mean:.2f} ({low:.2f} to {high:.2f})", f"{orders[0]['chance']:.2f}"]


def _geometry(runs: list[dict[str, Any]], name: str) -> str:
    errors = [run["geometry"][name] for run in runs if name in run.get("geometry", {})]
    if not errors:
        return ""
    error, of_mean = (sum(one[key] for one in errors) / len(errors) for key in ("error", "of_mean"))
    return f"{error:.2g} ({of_mean:.2g})"


def _run(command: list[str], **how: Any) -> None:
    if subprocess.run(command, check=False, **how).returncode != 0:
        raise InputError(f"a step failed; mend it and start again, what is done is kept: {' '.join(command)}")


def _read_plan(path: Path, data_root: Path) -> dict[str, Any]:
    """The plan, with ``{data}`` and ``{root}`` in its paths filled in."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): expected a plan, as in configs/plans") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8: expected a plan, as in configs/plans") from error
    try:
        plan = yaml.safe_load(text.replace("{data}", str(data_root)).replace("{root}", str(ROOT)))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())}): mend the plan") from error
    for key, needed in (("methods", "config"), ("targets", "dataset_dir")):
        if not isinstance(plan, dict) or not isinstance(plan.get(key), dict) or not plan[key]:
            raise InputError(f"{path}: no {key!r}: expected a plan with methods and targets, as in configs/plans")
        for name, one in plan[key].items():
            if not isinstance(one, dict) or needed not in one:
                raise InputError(f"{path}: {key} {name!r} is {one!r}: expected at least {needed!r}")
    for name, method in plan["methods"].items():
        for config in _configs(method):
            if not (ROOT / config).is_file():
                raise InputError(f"{path}: methods {name!r}: no such recipe: {config}: expected one of configs")
    return plan


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", help="the plan, for example configs/plans/contrast.yaml")
    parser.add_argument("--data-root", default="data", help="the folder the plan calls {data} (default: data)")
    parser.add_argument("--output-dir", required=True, help="a folder for all runs and tables")
    parser.add_argument("--cache-dir", default=".cache/frames", help="decoded frames (default: .cache/frames)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, which share the cores (default: 1)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
