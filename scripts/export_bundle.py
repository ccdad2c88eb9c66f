# SPDX-License-Identifier: Apache-2.0
"""Make of a finished run a bundle that works without this repository: for the model zoo, MONAI Label, other people.

    python scripts/export_bundle.py us_lesion_segmentation --weights runs/segmentation --output_dir bundles
    python scripts/export_bundle.py --all --output_dir bundles

The folder DIR/TASK holds code, configs, weights and what is to be known of them; the zip beside it is what
`python -m monai.bundle download --url file:///...` takes. Without weights every task is trained small on the phantom,
and the bundles say so. Nothing is written under its final name before it is whole.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from bundle_configs import PACKAGE, exported_configs, own_package
from bundle_metadata import metadata
from bundle_page import data_license, readme
from bundle_tasks import LARGE, ROOT, TASKS, ExportTask

import bundle
from bundle.errors import InputError, show_input_errors_plainly
from bundle.files import made_folder, sha256_of
from bundle.networks import EMBEDDING, description_of, only_simulated, open_model, write_model
from bundle.networks.trained_model import WEIGHTS_FILE, TrainedModel

logger = logging.getLogger("export_bundle")


def main() -> None:
    """Export one bundle of given weights, or all of small runs."""
    show_input_errors_plainly()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = _parse()
    output = Path(args.output_dir)
    tasks = list(TASKS.values()) if args.all else [TASKS[args.task]]
    for task in tasks:
        if (output / task.name).exists() or archive(output, task).exists():
            raise InputError(
                f"{output / task.name}: already there, or its zip; remove it or choose another --output_dir"
            )
    models = {} if args.all else {task.name: _trained_for(task, args.weights) for task in tasks}
    license_text = _text(args.data_license) if args.data_license else None
    for task in tasks:
        with tempfile.TemporaryDirectory() as scratch:
            model = models.get(task.name) or _trained_quickly(task, Path(scratch) / "run")
            export(task, model, output, small=args.all, license_text=license_text, weights_url=args.weights_url)
        print(f"{output / task.name}\n{archive(output, task)}")


def export(
    task: ExportTask,
    model: TrainedModel,
    output: Path,
    *,
    small: bool = False,
    license_text: str | None = None,
    weights_url: str | None = None,
) -> Path:
    """Writes the bundle and its zip; the folder is returned.

    Args:
        task: which bundle.
        model: of a run; what the run tells of itself lies beside ``model.file``.
        output: the folder of bundles.
        small: whether the weights are of a small run on the phantom that only shows that it works.
        license_text: of the data; needed unless they are simulated alone.
        weights_url: where files too large for the zoo's repository can be fetched; None: nowhere yet.

    Raises:
        InputError: see `data_license`, `metadata`; nothing is written then.
    """
    description = description_of(model)
    terms = data_license(model, description, license_text)
    with tempfile.TemporaryDirectory(dir=made_folder(output), prefix=f".{task.name}.") as scratch:
        folder = Path(scratch) / task.name
        _copy_code(folder / PACKAGE)
        shutil.copy(ROOT / "LICENSE", folder / "LICENSE")
        write_model(folder / "models", model)
        configs = made_folder(folder / "configs")
        for job, content in exported_configs(ROOT / "configs", task.recipes, description).items():
            (configs / f"{job}.json").write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
        shutil.copy(ROOT / "configs" / "logging.conf", configs / "logging.conf")
        about = metadata(task, model, description, small)
        (configs / "metadata.json").write_text(json.dumps(about, indent=4) + "\n", encoding="utf-8")
        docs = made_folder(folder / "docs")
        (docs / "README.md").write_text(readme(task, model, description, about, small), encoding="utf-8")
        (docs / "data_license.txt").write_text(terms, encoding="utf-8")
        if listed := large_files(folder, weights_url):
            (folder / "large_files.yml").write_text(listed, encoding="utf-8")
        packed = shutil.make_archive(str(Path(scratch) / "packed"), "zip", scratch, task.name)
        made = folder.rename(output / task.name)
        try:
            Path(packed).rename(archive(output, task))
        except BaseException:  # one without the other would block the next try
            shutil.rmtree(made)
            raise
        return made


def archive(output: Path, task: ExportTask) -> Path:
    """Where the bundle's zip lies."""
    return output / f"{task.name}_v{bundle.__version__}.zip"


def large_files(folder: Path, url: str | None) -> str:
    """``large_files.yml`` for what is above the zoo's limit, with checksums; empty where nothing is."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size > LARGE]
    listed = [
        {
            "path": path.relative_to(folder).as_posix(),
            "url": url or "",
            "hash_val": sha256_of(path),
            "hash_type": "sha256",
        }
        for path in paths
    ]
    return yaml.safe_dump({"large_files": listed}, sort_keys=False) if listed else ""


def _text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error}); expected the data's licence as UTF-8 text") from error


def _copy_code(target: Path) -> None:
    shutil.copytree(ROOT / "bundle", target, ignore=shutil.ignore_patterns("__pycache__"))
    for path in target.rglob("*.py"):
        path.write_text(own_package(path.read_text(encoding="utf-8")), encoding="utf-8")


def _trained_for(task: ExportTask, weights: str) -> TrainedModel:
    path = Path(weights)
    if path.is_file() and path.suffix != ".safetensors" and path.name != WEIGHTS_FILE:
        raise InputError(
            f"{weights}: found another file than {WEIGHTS_FILE}, expected the run's folder or {WEIGHTS_FILE} in it: no "
            "other weights are described by its model.json"
        )
    if not path.exists():
        raise InputError(f"{weights}: no such file or folder; expected the run's folder or {WEIGHTS_FILE} in it")
    folder = path.parent if path.name == WEIGHTS_FILE else path
    wanted = EMBEDDING if task.task == EMBEDDING and not (folder / "model.json").is_file() else None
    model = open_model(folder, wanted)
    if model.task != task.task:
        fitting = ", ".join(one.name for one in TASKS.values() if one.task == model.task)
        raise InputError(
            f"{weights}: was trained for {model.task}, {task.name} needs {task.task}; export it as {fitting}"
        )
    _check_classes(task, model, weights)
    return model


def _check_classes(task: ExportTask, model: TrainedModel, weights: str) -> None:
    """Refuses classes that are known to be another bundle's; the phantom's are of both kinds, and marked simulated."""
    others = task.others
    found = [name for name in model.class_names if others.name_of(name) in others.classes]
    if found and not only_simulated(model.file.parent, description_of(model)):
        raise InputError(
            f"{weights}: found the classes {', '.join(found)} ({others.about}), expected those of {task.name}; "
            f"export it as {' or '.join(one.name for one in TASKS.values() if one.task == task.task and one != task)}"
        )


def _trained_quickly(task: ExportTask, run_dir: Path) -> TrainedModel:
    """A small run of the task's recipe on the phantom, in a process of its own as a user would start it."""
    files = [str(ROOT / "configs" / name) for name in task.recipes]
    settings = {"bundle_root": str(ROOT), "output_dir": str(run_dir), **task.quick}
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    logger.info("%s: a small run on the phantom", task.name)
    done = subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(files), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        lines = [line for line in re.split(r"[\r\n]+", done.stderr) if line.strip()]
        raise InputError(f"{task.name}: the small run on the phantom failed: {lines[-1] if lines else done.returncode}")
    return open_model(run_dir)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=sorted(TASKS), metavar="TASK", help=f"one of {', '.join(TASKS)}")
    parser.add_argument("--all", action="store_true", help="all tasks, of small runs on the phantom")
    parser.add_argument("--weights", metavar="RUN", help="folder of the finished run, or its model.pt")
    parser.add_argument("--output_dir", required=True, metavar="DIR", help="where the bundle's folder is made")
    parser.add_argument(
        "--data_license",
        metavar="FILE",
        help="text of the data's licence, for docs/data_license.txt; needed unless all is simulated",
    )
    parser.add_argument("--weights_url", metavar="URL", help="where the weights will be fetched from (large_files.yml)")
    args = parser.parse_args()
    if args.all and (args.task or args.weights):
        raise InputError("--all: found a task or weights beside it; expected neither, or leave out --all")
    if not args.all and not args.task:
        raise InputError(f"found neither a task nor --all; expected one of {', '.join(TASKS)}")
    if not args.all and not args.weights:
        raise InputError(
            f"{args.task}: found no weights; name the run's folder with --weights, or export small with --all"
        )
    return args


if __name__ == "__main__":
    main()
