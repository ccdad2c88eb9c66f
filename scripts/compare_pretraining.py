# SPDX-License-Identifier: Apache-2.0
"""Pretrain several ways and seeds, then judge every encoder by the frozen probes: one command, one table.

The plan is a YAML file: which recipes to run with which overrides and seeds, and on which labelled clips to judge what
they learned. Every run is a folder of its own; what is done is not done again, what was interrupted is resumed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cells import ROOT, Cell, check_keys, folder_name, is_whole, read_plan, recipe_of, recipes, run_cells, run_step

from bundle.errors import InputError, show_input_errors_plainly
from bundle.files import made_folder, written_beside
from bundle.settings import check_known

KEYS = ("methods", "targets", "overrides")
METHOD_KEYS = ("config", "overrides", "seeds")
TARGET_KEYS = ("dataset_dir", "label_column", "where", "own_split", "untrained", "methods", "allow_leakage")


def main() -> None:
    """Run the cells that are not done, then the probes."""
    show_input_errors_plainly()
    args = _parse()
    plan = _read_plan(Path(args.plan), Path(args.data_root))
    output = made_folder(args.output_dir)
    cells = list(_cells(plan, output, args))
    run_cells(cells, args.jobs)
    tables = [pretext_table(cells)]
    for name, target in plan["targets"].items():
        chosen = [cell for cell in cells if cell.method in target.get("methods", plan["methods"])]
        run_step(_probe_command(chosen, name, target, output, args.cache_dir))
        tables.append(f"## {name}\n\n{(output / name / 'table.md').read_text(encoding='utf-8')}")
    with written_beside(output / "tables.md") as path:
        path.write_text("\n\n".join(table for table in tables if table), encoding="utf-8")
    print(f"all tables are in {output / 'tables.md'}")


def _cells(plan: dict[str, Any], output: Path, args: argparse.Namespace) -> Iterator[Cell]:
    for name, method in plan["methods"].items():
        configs = recipes(method["config"], f"{args.plan}: methods {name!r}")
        for seed in method.get("seeds", [0]):
            overrides = {"cache_dir": args.cache_dir, **plan.get("overrides", {}), **method.get("overrides", {})}
            yield Cell(name, seed, output / folder_name(name, f"seed{seed}"), configs, overrides)


def _probe_command(cells: list[Cell], name: str, target: dict[str, Any], output: Path, cache_dir: str) -> list[str]:
    command = [str(ROOT / "scripts" / "probe_encoders.py")]
    command += [f"{cell.method}={cell.outcome}" for cell in cells]
    command += ["--dataset-dir", str(target["dataset_dir"]), "--output-dir", str(output / name)]
    command += ["--untrained", target.get("untrained", "resnet18"), "--cache-dir", cache_dir]
    command += ["--label-column", target["label_column"]] if "label_column" in target else []
    for column, values in target.get("where", {}).items():
        command += ["--where", f"{column}={','.join(map(str, values if isinstance(values, list) else [values]))}"]
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


def _read_plan(path: Path, data_root: Path) -> dict[str, Any]:
    """The plan, with ``{data}`` and ``{root}`` in its paths filled in."""
    plan = read_plan(path, {"data": data_root})
    check_keys(plan, KEYS, str(path))
    for key, needed in (("methods", "config"), ("targets", "dataset_dir")):
        if not isinstance(plan.get(key), dict) or not plan[key]:
            raise InputError(f"{path}: no {key!r}: expected a plan with methods and targets, as in configs/plans")
        for name, one in plan[key].items():
            if not isinstance(one, dict) or needed not in one:
                raise InputError(f"{path}: {key} {name!r} is {one!r}: expected at least {needed!r}")
            check_keys(one, METHOD_KEYS if key == "methods" else TARGET_KEYS, f"{path}: {key} {name!r}")
    for name, method in plan["methods"].items():
        where, seeds = f"{path}: methods {name!r}", method.get("seeds", [0])
        if not isinstance(seeds, list) or not seeds or not all(map(is_whole, seeds)):
            raise InputError(f"{where}: seeds is {seeds!r}: expected a list of whole numbers from 0 up")
        recipe = recipe_of(recipes(method["config"], where), {}).get()
        for setting in {**plan.get("overrides", {}), **method.get("overrides", {})}:
            check_known(recipe, str(setting), f"{where}: overrides", str(method["config"]))
    for name, target in plan["targets"].items():
        known = list(plan["methods"])
        judged = target.get("methods", known)
        if not isinstance(judged, list) or not judged or set(judged) - set(known):
            raise InputError(f"{path}: targets {name!r}: methods is {judged!r}: expected some of {known}")
    return plan


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", help="the plan, for example configs/plans/contrast_phantom.yaml")
    parser.add_argument("--data-root", default="data", help="the folder the plan calls {data} (default: data)")
    parser.add_argument("--output-dir", required=True, help="a folder for all runs and tables")
    parser.add_argument("--cache-dir", default=".cache/frames", help="decoded frames (default: .cache/frames)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, which share the cores (default: 1)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
