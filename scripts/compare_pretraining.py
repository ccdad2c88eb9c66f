# SPDX-License-Identifier: Apache-2.0
"""Pretrain several ways and seeds, then judge every encoder by the frozen probes: one command, one table.

The plan is a YAML file: which recipes to run with which overrides and seeds, and on which labelled clips to judge what
they learned. Every run is a folder of its own; what is done is not done again, what was interrupted is resumed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bundle.errors import InputError, show_input_errors_plainly

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cell:
    """One pretraining run: a method of the plan with one seed."""

    method: str
    seed: int
    folder: Path
    config: str
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def encoder(self) -> Path:
        return self.folder / "encoder.safetensors"


def main() -> None:
    """Run the cells that are not done, then the probes."""
    show_input_errors_plainly()
    args = _parse()
    plan = _read_plan(Path(args.plan), Path(args.data_root))
    output = Path(args.output_dir)
    cells = list(_cells(plan, output))
    for number, cell in enumerate(cells, start=1):
        print(f"[{number}/{len(cells)}] {cell.method}, seed {cell.seed}: ", end="", flush=True)
        if cell.encoder.exists():
            print("done before")
            continue
        print(f"into {cell.folder}", flush=True)
        _run(_pretraining_command(cell))
    for name, target in plan["targets"].items():
        chosen = [cell for cell in cells if cell.method in target.get("methods", plan["methods"])]
        _run(_probe_command(chosen, name, target, output, args.cache_dir))
    tables = [(output / name / "table.md").read_text(encoding="utf-8") for name in plan["targets"]]
    (output / "tables.md").write_text("\n\n".join(tables), encoding="utf-8")
    print(f"all tables are in {output / 'tables.md'}")


def _cells(plan: dict[str, Any], output: Path) -> Iterator[Cell]:
    for name, method in plan["methods"].items():
        for seed in method.get("seeds", [0]):
            overrides = {**plan.get("overrides", {}), **method.get("overrides", {})}
            yield Cell(name, seed, output / f"{name}_seed{seed}".replace(" ", "_"), method["config"], overrides)


def _pretraining_command(cell: Cell) -> list[str]:
    overrides = {
        "bundle_root": ROOT,
        **cell.overrides,
        "seed": cell.seed,
        "output_dir": cell.folder,
        "resume": (cell.folder / "last.pt").exists(),
    }
    given = [part for name, value in overrides.items() for part in (f"--{name}", str(value))]
    return [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(ROOT / cell.config), *given]


def _probe_command(cells: list[Cell], name: str, target: dict[str, Any], output: Path, cache_dir: str) -> list[str]:
    command = [sys.executable, str(ROOT / "scripts" / "probe_encoders.py")]
    command += [f"{cell.method}={cell.encoder}" for cell in cells]
    command += ["--dataset-dir", str(target["dataset_dir"]), "--output-dir", str(output / name)]
    command += ["--untrained", target.get("untrained", "resnet18"), "--cache-dir", cache_dir]
    for column, values in target.get("where", {}).items():
        command += ["--where", f"{column}={','.join(map(str, values))}"]
    if "datalist_of" in target:  # the split the encoders were pretrained with
        command += [
            "--datalist",
            str(next(c for c in cells if c.method == target["datalist_of"]).folder / "datalist.json"),
        ]
    return command


def _run(command: list[str]) -> None:
    if subprocess.run(command, check=False).returncode != 0:
        raise InputError(
            f"this command failed, see above why; after mending start again, what is done is kept: {' '.join(command)}"
        )


def _read_plan(path: Path, data_root: Path) -> dict[str, Any]:
    """The plan, with ``{data}`` and ``{root}`` in its paths filled in."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): expected a plan, as in configs/plans") from error
    plan = yaml.safe_load(text.replace("{data}", str(data_root)).replace("{root}", str(ROOT)))
    for key in ("methods", "targets"):
        if not isinstance(plan, dict) or not isinstance(plan.get(key), dict):
            raise InputError(f"{path}: no {key!r}: expected a plan with methods and targets, as in configs/plans")
    return plan


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", help="the plan, for example configs/plans/contrast.yaml")
    parser.add_argument(
        "--data-root", default="data", help="folder of the data sets the plan calls {data} (default: data)"
    )
    parser.add_argument("--output-dir", required=True, help="a folder for all runs and tables")
    parser.add_argument(
        "--cache-dir", default=".cache/frames", help="decoded frames of the probes (default: .cache/frames)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
