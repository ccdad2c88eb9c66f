# SPDX-License-Identifier: Apache-2.0
"""Fine-tune several encoders on a task, over all its folds and seeds, and say what each is worth: one command.

The plan is a YAML file: the recipe with its overrides, the encoders (a file, or null for random weights), folds and
seeds, and for a label-efficiency curve how many labelled patients. Every run is a folder of its own; what is done is
not done again, what was interrupted is resumed. The output folder then has results.json, table.md, report.html and
pictures.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from cells import Cell, folder_name, recipe_of, run_cells
from task_plan import ALL, read_task_plan

from bundle.data import by_fold
from bundle.errors import InputError, show_input_errors_plainly
from bundle.files import made_folder, sha256_of
from bundle.keys import Keys
from bundle.networks.weights import FILE_NAME
from bundle.reports import Entry, pool_folds, read_predictions, task_results, with_baselines
from bundle.reports.examples import examples_figure
from bundle.reports.task_report import TaskReport


@dataclass(frozen=True, kw_only=True)
class TaskCell(Cell):
    """One fine-tuning: an encoder, a seed, a fold (None: parts), labels of so many patients a class (None: all)."""

    fold: int | str | None
    labelled_patients: float | None


def main() -> None:
    """Run the cells that are not done, then write what they say."""
    show_input_errors_plainly()
    args = _parse()
    places = {"data": args.data_root, "encoders": args.encoders}
    plan, configs = read_task_plan(Path(args.plan), places, args.only)
    output = made_folder(args.output_dir)
    cells = list(_cells(plan, configs, output, args))
    run_cells(cells, args.jobs)
    entries = with_baselines(list(_entries(cells)))
    title = plan.get("title", Path(args.plan).stem)
    results = {
        **task_results(entries, title, plan["baselines"], plan["compare"]),
        "encoders": plan["encoders"],
        "command": shlex.join(["python", *sys.argv]),
        "releases": {name: version(name) for name in ("torch", "monai", "numpy", "scikit-learn")},
    }
    first = {(cell.method, cell.labelled_patients): cell for cell in reversed(cells)}
    commands = [results["command"], *(shlex.join(["python", *cell.command()]) for cell in cells)]
    report = TaskReport(output, results, entries, partial(_examples, first=first, results=results), commands)
    report.write()
    print(report.path("table.md").read_text(encoding="utf-8"))
    print(f"the page is {report.path('report.html')}")


def _cells(plan: dict[str, Any], configs: list[str], output: Path, args: argparse.Namespace) -> Iterator[TaskCell]:
    given = {"cache_dir": args.cache_dir, **plan["overrides"]}
    folds = _folds(plan, configs, given, args.plan)
    digests: dict[Path, str] = {}
    for amount in plan.get("labelled_patients", [ALL]):
        for encoder, files in plan["encoders"].items():
            for place, seed in enumerate(plan["seeds"]):
                file = _encoder_file(files, place, seed, f"{args.plan}: encoders {encoder!r}")
                if file is not None and file not in digests:
                    digests[file] = sha256_of(file)
                for fold in folds:
                    words = [encoder, f"{amount}_patients" if amount != ALL else "", f"fold{fold}", f"seed{seed}"]
                    words = [word for word in words if word and word != "foldNone"]
                    overrides = dict(given)
                    overrides |= {} if file is None else {"encoder_file": str(file)}
                    overrides |= {} if fold is None else {"fold": fold}
                    overrides |= {} if amount == ALL else {"labelled_patients": amount}
                    yield TaskCell(
                        encoder,
                        seed,
                        output / folder_name(*words),
                        configs,
                        overrides,
                        result="predictions.json",
                        inputs={} if file is None else {"encoder_sha256": digests[file]},
                        fold=fold,
                        labelled_patients=None if amount == ALL else amount,
                    )


def _encoder_file(files: str | list[str] | None, place: int, seed: int, where: str) -> Path | None:
    """The encoder's file for the seed at ``place``: one a seed, or one for all, ``{seed}`` filled in."""
    if files is None:
        return None
    path = Path(files[place] if isinstance(files, list) else files.replace("{seed}", str(seed)))
    path = path / FILE_NAME if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"{where}: {path} is not there: name the folder with --encoders, or leave it out with --only")
    return path


def _folds(plan: dict[str, Any], configs: list[str], given: dict[str, Any], where: str) -> list[Any]:
    folds = plan.get("folds")
    if folds is None:
        return [None]
    if folds != ALL:
        return list(folds)
    recipe = recipe_of(configs, given)
    datalist = recipe.get_parsed_content("datalist")
    records = [record for part in datalist.parts.values() for record in part]
    found = list(by_fold(records))
    if len(found) < 2:
        raise InputError(f"{where}: folds: the items of {datalist.name} have no fold; list some, as [0, 1, 2, 3, 4]")
    numbers = {f"fold {record[Keys.FOLD]}": record[Keys.FOLD] for record in records if Keys.FOLD in record}
    return [numbers[name] for name in found]


def _entries(cells: list[TaskCell]) -> Iterator[Entry]:
    """What the cells predicted: an entry an encoder and number of labelled patients, folds pooled by seed."""
    groups: dict[tuple[str, float | None], dict[int, list[TaskCell]]] = {}
    for cell in cells:
        groups.setdefault((cell.method, cell.labelled_patients), {}).setdefault(cell.seed, []).append(cell)
    for (encoder, amount), seeds in groups.items():
        runs = []
        for of_seed in seeds.values():
            read = {
                cell.folder.name: read_predictions(cell.outcome, "" if cell.fold is None else str(cell.fold))
                for cell in of_seed
            }
            runs.append(pool_folds(read))
        folders = [cell.folder for of_seed in seeds.values() for cell in of_seed]
        yield Entry(encoder, list(seeds), runs, amount, folders)


def _examples(entry: Entry, first: dict[tuple[str, float | None], TaskCell], results: dict[str, Any]) -> Any:
    """Frames that the entry's first run told rightly and wrongly, with Grad-CAM."""
    cell = first[entry.encoder, entry.labelled_patients]
    weights = cell.folder / "model.pt"
    if not weights.is_file():
        return None
    recipe = recipe_of(
        cell.configs, {**cell.overrides, "seed": cell.seed, "output_dir": str(cell.folder), "device": "cpu"}
    )
    content = recipe.get_parsed_content
    network = content("network_def")
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    dataset = content("test#dataset")
    places: dict[str, list[int]] = {}
    for index, record in enumerate(dataset.data):
        places.setdefault(record[Keys.VIDEO_ID], []).append(index)

    def picture_of(item: dict[str, Any]) -> torch.Tensor:
        for index in places[item[Keys.VIDEO_ID]]:
            sample = dataset[index]
            frames = [int(frame) for frame in sample[Keys.FRAME_INDEX]]
            if item["frame"] in frames:
                return sample[Keys.FRAMES][frames.index(item["frame"])]
        raise InputError(f"{cell.folder}: frame {item['frame']} of {item[Keys.VIDEO_ID]} is not in the data any more")

    run = read_predictions(cell.outcome)
    fold = "" if cell.fold is None else f", fold {cell.fold}"
    title = f"{entry.encoder}{fold}, seed {cell.seed}: frames told rightly and wrongly"
    return examples_figure(results, title, run, network, picture_of, content("mean"), content("std"))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("plan", help="the plan, for example configs/plans/phantom_classification.yaml")
    add("--output-dir", required=True, help="a folder for all runs, tables and the page")
    add("--data-root", default="data", help="the folder the plan calls {data} (default: data)")
    add("--encoders", default="runs", metavar="DIR", help="the folder the plan calls {encoders} (default: runs)")
    add("--only", nargs="+", metavar="NAME", help="run these encoders of the plan only")
    add("--cache-dir", default=".cache/frames", help="decoded frames (default: .cache/frames)")
    add("--jobs", type=int, default=1, help="runs at a time, which share the cores (default: 1)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
