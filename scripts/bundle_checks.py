# SPDX-License-Identifier: Apache-2.0
"""What is checked of the files of an exported bundle."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from bundle_inside import WrongError, read_json
from bundle_runs import Subject
from bundle_tasks import LARGE, ROOT

from bundle.files import sha256_of
from bundle.networks import sources

FILES = (
    *("LICENSE", "configs/metadata.json", "configs/train.json", "configs/evaluate.json", "configs/inference.json"),
    *("configs/multi_gpu_train.json", "configs/logging.conf", "docs/README.md", "docs/data_license.txt"),
    *("models/model.pt", "models/model.json", "scripts/__init__.py"),
)
KEYS = {
    "inference": "bundle_root device dataset_dir dataset output_dir network_def inferer evaluator preprocessing "
    "postprocessing run",
    "train": "bundle_root device dataset_dir output_dir network network_def run val_interval train#trainer "
    "train#trainer#max_epochs train#dataset train#dataset#data train#handlers train#inferer validate#evaluator "
    "validate#handlers validate#dataset validate#dataset#data",
    "evaluate": "bundle_root device dataset_dir output_dir run",
    "multi_gpu_train": "device network parallel run finalize",
}
"""What each config has: what the zoo, MONAI Label and MONAI's workflows look for, and what runs it. That of several
devices is laid over ``train.json`` and has nothing of the data: it would take the place of MONAI Label's."""
DATA = ("bundle_root", "dataset_dir", "train", "validate", "datalist")

SECTIONS = (
    *("# Model Overview", "## Data", "## Training configuration", "### Input", "### Output", "## Performance"),
    *("## MONAI Bundle Commands", "## MONAI Label", "# References", "# License"),
)
_RELEASE = re.compile(r"\d+(\.\d+)*((a|b|rc|\.post)\d+)?")
_MACHINE = re.compile(rf"/home/\w|/root/\w|/Users/\w|\b[A-Z]:\\\w|{re.escape(str(ROOT))}")


def files(subject: Subject) -> str:
    """All files are there, none is left over, what is large is listed, and the weights are those that are described."""
    root = subject.root
    if missing := [name for name in FILES if not (root / name).is_file()]:
        raise WrongError(f"not there: {', '.join(missing)}")
    there = [path for path in root.rglob("*") if path.is_file()]
    if left := [path for path in there if path.name.startswith(".") or path.suffix in (".pyc", ".part")]:
        raise WrongError(f"left over: {left[0].relative_to(root)}")
    if shorter := [path.name for path in (root / "models").glob("*.pt") if len(path.name) < len("model.pt")]:
        raise WrongError(f"models/{shorter[0]}: MONAI Label would load it in place of model.pt, its name is shorter")
    if read_json(root / "models" / "model.json")["sha256"] != sha256_of(root / "models" / "model.pt"):
        raise WrongError("models/model.json describes other weights than model.pt (SHA-256)")
    listed = root / "large_files.yml"
    entries = yaml.safe_load(listed.read_text(encoding="utf-8"))["large_files"] if listed.is_file() else []
    digests = {one["path"]: one["hash_val"] for one in entries if one.get("hash_type") == "sha256"}
    large = [path.relative_to(root).as_posix() for path in there if path.stat().st_size > LARGE]
    if wrong := [name for name in large if digests.get(name) != sha256_of(root / name)]:
        raise WrongError(f"{wrong[0]} is above 25 MB and not in large_files.yml with its SHA-256")
    size = sum(path.stat().st_size for path in there)
    return f"{len(there)} files, {size / 2**20:.1f} MiB, {len(large)} of them large"


def configs(subject: Subject) -> str:
    """Each config has its keys and is found whichever loader looks for it."""
    folder = subject.root / "configs"
    if other := [path.name for path in folder.iterdir() if path.suffix in (".yaml", ".yml")]:
        raise WrongError(f"configs/{other[0]}: monai.bundle.load does not read it; expected JSON only")
    for job, keys in KEYS.items():
        config = read_json(folder / f"{job}.json")
        if missing := [key for key in keys.split() if not _has(config, key)]:
            raise WrongError(f"{job}.json has no {', '.join(missing)}")
        if job == "multi_gpu_train" and (own := [key for key in DATA if key in config]):
            raise WrongError(f"{job}.json has {own[0]}, which would take the place of that of train.json")
        if macros := [text for text in _strings(config) if re.match(r"%(?!#|::)", text)]:
            raise WrongError(f"{job}.json: {macros[0]} is looked for where Python was started; expected it filled in")
    return f"{', '.join(KEYS)}: {sum(len(keys.split()) for keys in KEYS.values())} keys"


def metadata(subject: Subject) -> str:
    """Its version has a changelog, its releases can be installed, its names are those that others look for."""
    said = read_json(subject.root / "configs" / "metadata.json")
    if said["version"] not in said.get("changelog", {}):
        raise WrongError(f"version {said['version']} has no entry in the changelog")
    wanted = ("name", "data_source", "eval_metrics", "intended_use", "weights_origin")
    if missing := [key for key in wanted if key not in said]:
        raise WrongError(f"no {', '.join(missing)}")
    releases = {name: said[f"{name}_version"] for name in ("monai", "pytorch", "numpy")}
    releases |= said["required_packages_version"]
    if odd := [f"{name} {number}" for name, number in releases.items() if not _RELEASE.fullmatch(number)]:
        raise WrongError(f"{odd[0]}: expected a release that others can install")
    form = said["network_data_format"]
    if next(iter(form["inputs"])) != "image" or next(iter(form["outputs"])) != "pred":
        raise WrongError("network_data_format: expected the input image and the output pred")
    names = form["outputs"]["pred"].get("channel_def", {})
    hidden = subject.classifies and "background" in (name.lower() for name in names.values())
    if hidden or not all(key.isdigit() for key in names):
        raise WrongError(f"channel_def {names}: expected channel numbers, and no class called background")
    model = read_json(subject.root / "models" / "model.json")
    if said["weights_origin"]["data"] != sources(model):
        raise WrongError(f"weights_origin {said['weights_origin']['data']}: models/model.json says {sources(model)}")
    if subject.classifies and list(names.values()) != model["class_names"]:
        raise WrongError(f"channel_def {names}: the classes of the weights are {model['class_names']}")
    return f"{said['name']} {said['version']}, {len(releases)} releases"


def texts(subject: Subject) -> str:
    """The README has its parts, the data a licence, and no file names this repository or a machine."""
    root = subject.root
    lines = (root / "docs" / "README.md").read_text(encoding="utf-8").splitlines()
    if missing := [heading for heading in SECTIONS if heading not in lines]:
        raise WrongError(f"docs/README.md: no part {missing[0]!r}")
    if not (root / "docs" / "data_license.txt").read_text(encoding="utf-8").strip():
        raise WrongError("docs/data_license.txt is empty")
    rooms = "|".join(path.stem for path in (root / "scripts").iterdir() if path.stem != "__init__")
    repository = re.compile(rf"(?<![\w.])bundle\.(?:{rooms})\b|\b(?:from|import)\s+bundle\b")
    read = 0
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".json", ".yml", ".md", ".txt", ".conf") or path.name == "LICENSE":
            read += 1
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if found := repository.search(line) or _MACHINE.search(line):
                    raise WrongError(f"{path.relative_to(root)}, line {number}: {found[0]!r} is of where it was made")
    return f"{read} files read"


def _has(config: Any, key: str) -> bool:
    for part in key.split("#"):
        if not isinstance(config, Mapping) or part not in config:
            return False
        config = config[part]
    return True


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from _strings(one)
    elif isinstance(node, str):
        yield node
