# SPDX-License-Identifier: Apache-2.0
"""An exported bundle in processes of its own: its configs run on a small phantom, and what MONAI says of it."""

from __future__ import annotations

import csv
import importlib.util
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from bundle_inside import MONAI, NotRunError, WrongError, read_json
from bundle_tasks import ROOT

from bundle.data import make_phantom
from bundle.files import sha256_of

INSIDE = Path(__file__).with_name("bundle_inside.py")
OUTCOMES = {
    "inference": ("results.json",),
    "evaluate": ("predictions.json", "probe.json"),
    "train": ("last.pt",),
    "multi_gpu_train": ("last.pt",),
}
"""What each config leaves in its output folder, one of these."""


@dataclass(frozen=True)
class Subject:
    """A scratch copy of the bundle that is looked at.

    Attributes:
        root: of the copy; it is called as the bundle is.
        scratch: where everything else goes.
        schema: of metadata, if given.
    """

    root: Path
    scratch: Path
    schema: Path | None = None

    @cached_property
    def phantom(self) -> Path:
        """A small phantom where the configs look for it; of a classification, with its classes in place of its own."""
        names = read_json(self.root / "models" / "model.json")["class_names"] if self.classifies else []
        per_class = max(6, math.ceil(4 * len(names) / 5))
        folder = make_phantom(
            self.root / "data" / "phantom", patients_per_class=per_class, clips_per_patient=1, n_frames=4
        )
        if names:
            _relabel(folder / "labels.csv", names)
        return folder

    @property
    def classifies(self) -> bool:
        return read_json(self.root / "models" / "model.json")["task"] == "classification"


def schema(subject: Subject) -> str:
    """The metadata follow the schema they name, by `monai.bundle verify_metadata`."""
    if importlib.util.find_spec("jsonschema") is None:
        raise NotRunError("jsonschema is not installed; install the extra export")
    path = subject.scratch / "schema" / "schema.json"
    path.parent.mkdir(exist_ok=True)
    if subject.schema is not None:
        shutil.copy(subject.schema, path)
    said = subject.root / "configs" / "metadata.json"
    try:
        run_inside(subject, MONAI, "verify_metadata", "--meta_file", str(said), "--filepath", str(path), limit=600)
    except (WrongError, NotRunError) as error:
        if path.is_file():
            raise
        raise NotRunError(f"the schema {read_json(said)['schema']} cannot be fetched; give it with --schema") from error
    return read_json(said)["schema"].rpartition("/")[2]


def net_in_out(subject: Subject) -> str:
    """`monai.bundle verify_net_in_out` agrees."""
    said, config = (str(subject.root / "configs" / name) for name in ("metadata.json", "inference.json"))
    given = ("--net_id", "network_def", "--meta_file", said, "--config_file", config)
    run_inside(subject, MONAI, "verify_net_in_out", *given)
    return "by monai.bundle verify_net_in_out"


def run_config(subject: Subject, job: str) -> str:
    """A config is run from `/` on a small phantom, for one epoch where it trains, and leaves what it should."""
    files = ["train", job] if job == "multi_gpu_train" else [job]
    paths = [subject.root / "configs" / f"{name}.json" for name in files]
    config = read_json(paths[0])
    output, phantom = subject.scratch / "out" / job, subject.phantom
    small = {"output_dir": output, "cache_dir": subject.scratch / "cache"}
    small |= {"max_epochs": 1, "val_interval": 1, "batch_size": 4, "frames_per_clip": 2, "test_frames_per_clip": 2}
    small |= {"publish": True, "allow_leakage": True}  # a phantom of another size has the same patients
    small |= {"where": None, "label_column": "label", "fold": None}  # were of another table
    if job == "inference":
        small |= {"input": min((phantom / "clips").iterdir()), "frames_per_clip": 2}
    given = {name: value for name, value in small.items() if name in config} | {"bundle_root": subject.root}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    processes = 2 if job == "multi_gpu_train" else 1
    if processes > 1 and not torch.distributed.is_gloo_available():
        raise NotRunError("this build of torch has no gloo, by which two processes talk on CPUs")
    before = sha256_of(subject.root / "models" / "model.pt")
    run_inside(subject, MONAI, "run", "--config_file", str([str(path) for path in paths]), *words, processes=processes)
    if not any((output / name).is_file() for name in OUTCOMES[job]):
        raise WrongError(f"ran, but left no {' or '.join(OUTCOMES[job])} in its output folder")
    weights = subject.root / "models" / "model.pt"
    if job in ("train", "multi_gpu_train"):
        digest = sha256_of(weights)
        if digest == before or digest != read_json(weights.with_suffix(".json"))["sha256"]:
            raise WrongError("ran, but models/model.pt and model.json are not those of the new model")
    return f"{sum(path.is_file() for path in output.rglob('*'))} files in its output folder"


def run_inside(subject: Subject, *words: str, processes: int = 1, limit: float = 1800) -> str:
    """Runs `bundle_inside.py` from `/` and gives what it printed.

    Raises:
        WrongError: it failed; with its last words.
        NotRunError: it took longer than ``limit`` seconds.
    """
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    places = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place and Path(place) != ROOT]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, *torchrun, str(INSIDE), str(subject.root), *words],
            cwd="/",
            env=env,
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired as error:
        raise NotRunError(f"not done after {limit:.0f} s") from error
    if done.returncode:
        said = [line for line in re.split(r"[\r\n]+", f"{done.stdout}\n{done.stderr}") if line.strip()]
        plain = [line for line in said if line.startswith("error: ")]
        causes = [line for line in said if re.match(r"[\w.]+Error: ", line)]  # of a chain the first is the cause
        raise WrongError((plain or causes or said[-1:] or ["no word"])[0].strip()[:300])
    return done.stdout


def _relabel(table: Path, names: list[str]) -> None:
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    patients = {patient: k for k, patient in enumerate(sorted({row["patient_id"] for row in rows}))}
    for row in rows:
        row["label"] = names[patients[row["patient_id"]] % len(names)]
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
