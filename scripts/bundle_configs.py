# SPDX-License-Identifier: Apache-2.0
"""The recipes as an exported bundle has them: a JSON file a job, of the bundle's own code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

import bundle
from bundle.errors import InputError
from bundle.networks import EMBEDDING
from bundle.networks.trained_model import NETWORKS
from bundle.settings import PRETEXT_TASKS

PACKAGE = "scripts"
"""What the library is called in an exported bundle: the one package that MONAI Label loads anew for each bundle."""

ROOMS = "|".join(sorted(path.stem for path in Path(bundle.__file__).parent.glob("[a-z]*")))
SETTINGS = (
    *("label_column", "where", "tuned", "learning_rate", "head_learning_rate", "seed", "split_seed", "fold"),
    *("label_fraction", "fixations"),
)
"""Of what ``trained`` of a description holds, these are the recipe's own settings."""

SPREAD = "multi_gpu_train.yaml"
"""The recipe that is laid over one of training for several devices."""

Config = dict[str, Any]


def exported_configs(configs: Path, recipes: Sequence[str], description: Mapping[str, Any]) -> dict[str, Config]:
    """The contents of ``train.json``, ``evaluate.json``, ``multi_gpu_train.json`` and ``inference.json``.

    Each is whole but ``multi_gpu_train.json``, which is laid over ``train.json``: MONAI Label puts its items into that.

    Args:
        configs: the folder of the recipes; its ``export`` holds what is laid over them.
        recipes: file names, each laid over those before; of an encoder those of its own `pretraining`.
        description: ``model.json`` of the weights.

    Raises:
        InputError: a recipe is not there.
    """
    embedding = description["task"] == EMBEDDING
    if embedding:
        recipes, _ = pretraining(description.get("trained", {}))
    overlays = ["export/pretraining.yaml" if embedding else "export/downstream.yaml"]
    overlays += ["export/classification.yaml"] if description["task"] == "classification" else []
    evaluate = [*overlays, "export/evaluate_encoder.yaml" if embedding else "export/evaluate.yaml"]
    prepared = None if embedding else _samples_apart
    made = {}
    for job, files in {"train": overlays, "evaluate": evaluate}.items():
        made[job] = _renamed(_without_idle(_with_settings(_merged(configs, recipes, files, prepared), description)))
    spread = _merged(configs, [*recipes, SPREAD], overlays, prepared)
    made["multi_gpu_train"] = _renamed(_laid_over(configs / SPREAD, spread, embedding))
    served = ["export/label.yaml", f"export/label_{description['task']}.yaml"]
    inference = _merged(configs, ["inference.yaml"], ["export/inference.yaml", *served])
    made["inference"] = _renamed(_without_idle(_with_network(inference, description)))
    return made


def pretraining(trained: Mapping[str, Any]) -> tuple[list[str], Config]:
    """The recipes by which an encoder was pretrained and their settings, by the ``method`` its run recorded.

    Of an encoder that was made elsewhere, that of contrast.
    """
    method = str(trained.get("method", ""))
    if found := re.fullmatch(r"contrastive pretraining, pairs (\S+)", method):
        return ["train.yaml"], {"pair_preset": found[1]}
    tasks, _, combination = method.partition(", ")
    asked = tasks.split(" + ")
    if not set(asked) <= set(PRETEXT_TASKS):
        return ["train.yaml"], {}
    more = ["pretrain_joint.yaml"] if "contrast" in asked else []
    return ["train.yaml", "pretrain_order_geometry.yaml", *more], {"tasks": asked, "combination": combination}


def _merged(
    configs: Path, recipes: Sequence[str], overlays: Sequence[str], prepared: Callable[[Config], Config] | None = None
) -> Config:
    paths = [configs / name for name in (*recipes, *overlays)]
    if missing := [path for path in paths if not path.is_file()]:
        raise InputError(f"{missing[0]}: no such recipe; run from a checkout of the project that has it")
    recipe = ConfigParser.load_config_files([str(path) for path in paths[: len(recipes)]])
    if prepared is not None:
        recipe = prepared(recipe)
    parser = ConfigParser(recipe)
    for path in paths[len(recipes) :]:
        for key, value in ConfigParser.load_config_file(str(path)).items():
            merge_kv(parser, key, value)
    config: Config = parser.get()
    # from another folder MONAI finds a bundle's own code in `run` only
    return {name: value for name, value in config.items() if name != "initialize"} | {
        "run": [*config["initialize"], *config["run"]]
    }


def _laid_over(overlay: Path, whole: Config, embedding: bool) -> Config:
    """What of an overlay goes over an exported recipe, ``whole`` being both: a list is there as it is in the end."""
    entries: Config = ConfigParser.load_config_file(str(overlay))
    entries = {name: value for name, value in entries.items() if not name.startswith("+")} | {"run": whole["run"]}
    return entries if embedding else _of_samples(entries)


def _samples_apart(config: Config) -> Config:
    """The data sets the network sees, under ``samples``, and the recipe's datalist, ``listed``.

    ``dataset`` is then free for the plain items, ``datalist`` for what is made of them: MONAI Label replaces the items
    of ``train#dataset`` and ``validate#dataset``, and all else is derived from these, by
    `bundle.data.datalist_of_items`.
    """
    config["listed"] = config.pop("datalist")
    for part in ("train", "validate"):
        config[part]["samples"] = config[part].pop("dataset")
    return _of_samples(config)


def _of_samples(config: Config) -> Config:
    return _everywhere(
        config, lambda text: re.sub(r"@(train|validate)#dataset\b(?!#)", r"@\1#samples", _expression(text))
    )


def _expression(text: str) -> str:
    """A plain reference to a data set as an expression: MONAI's check of properties takes those for renamed ones."""
    return f"${text}" if re.fullmatch(r"@(train|validate)#dataset", text) else text


def _with_settings(config: Config, description: Mapping[str, Any]) -> Config:
    """The recipe with what the weights were made with."""
    trained = {name: value for name, value in description.get("trained", {}).items() if name in SETTINGS}
    fixations = trained.pop("fixations", {})
    values = {
        **trained,
        **({"fixation_frames": fixations["frames"], **fixations} if fixations else {}),
        **{name: description[name] for name in ("architecture", "in_channels", "image_size")},
        **description["normalisation"],
        **description["settings"],
        **{name: value for name, value in description["network"].items() if name in config},
    }
    if description["task"] == "classification":
        values["class_names"] = description["class_names"]
    if description["task"] == EMBEDDING:
        values |= pretraining(description.get("trained", {}))[1]
    if description["task"] in ("segmentation", "detection"):
        [values["structure"]] = description["class_names"]
    return config | {name: value for name, value in values.items() if name in config}


def _with_network(config: Config, description: Mapping[str, Any]) -> Config:
    """The recipe of inference for one network, without what is for others."""
    task = description["task"]
    network: Config = {"_target_": "bundle.networks.Encoder", "name": description["architecture"],
                       "in_channels": description["in_channels"]}  # fmt: skip
    if task != EMBEDDING:
        network = {"_target_": f"bundle.networks.{NETWORKS[task].__name__}", "encoder": network}
        network |= description["network"]
    known = {
        "in_channels": description["in_channels"],
        "image_size": description["image_size"],
        **description["normalisation"],
        "class_names": description["class_names"],
        "settings": description["settings"],
    }
    model = {
        "_target_": "bundle.networks.TrainedModel",
        "task": task,
        "network": "@network_def",
        **{name: f"@{name}" for name in known},
        "file": "$pathlib.Path(@bundle_root) / 'models/model.pt'",
        "sha256": "$files.sha256_of(@model#file)",
    }
    config = _for_task(config, task) | {"inferer": config["boxes_inferer" if task == "detection" else "frames_inferer"]}
    config |= {name: value for name, value in description["settings"].items() if name in config}
    config |= {"model": model, "network_def": network}
    imports = ["$import pathlib", *config.pop("imports"), "$import bundle.files as files"]
    for name in ("run_dir", "task", "boxes_inferer", "frames_inferer"):
        del config[name]
    return {
        "imports": imports,
        "bundle_root": config.pop("bundle_root"),
        **known,
        **{k: v for k, v in config.items() if k not in known},
    }


def _without_idle(config: Config) -> Config:
    """The recipe without the plain settings that nothing of it asks for: they would be options that do nothing."""
    text = json.dumps(config)
    plain = [name for name, value in config.items() if not isinstance(value, Mapping | list)]
    idle = [name for name in plain if not re.search(rf"@{name}\b", text)]
    return _without_idle({k: v for k, v in config.items() if k not in idle}) if idle else config


def _for_task(node: Any, task: str) -> Any:
    """``node`` without the components that are switched off for every model of the task."""
    if isinstance(node, list):
        return [_for_task(one, task) for one in node if not _is_off(one, task)]
    if not isinstance(node, Mapping):
        return node
    kept = {key: _for_task(value, task) for key, value in node.items() if not _is_off(value, task)}
    if "_disabled_" in kept and _decided(kept["_disabled_"], task) is False:
        del kept["_disabled_"]
    return kept


def _is_off(node: Any, task: str) -> bool:
    return isinstance(node, Mapping) and _decided(node.get("_disabled_"), task) is True


def _decided(switch: Any, task: str) -> bool | None:
    """Whether a component is off, where that depends on the task alone."""
    if not isinstance(switch, str) or "@model.task" not in switch:
        return None
    text = switch.removeprefix("$").replace("@model.task", repr(task)).replace("networks.EMBEDDING", repr(EMBEDDING))
    first, *rest = re.split(r"\s+or\s+", text)
    if "@" in first:
        return None
    decided = bool(eval(first, {"__builtins__": {}}))  # noqa: S307 - of our own recipes
    return decided if decided or not rest else None


def _renamed(config: Config) -> Config:
    return _everywhere(config, own_package)


def own_package(text: str) -> str:
    """``text`` with the library called as it is in an exported bundle."""
    return re.sub(rf"\bbundle\.(?=({ROOMS})\b)", f"{PACKAGE}.", text)


def _everywhere(node: Any, change: Callable[[str], str]) -> Any:
    if isinstance(node, Mapping):
        return {key: _everywhere(value, change) for key, value in node.items()}
    if isinstance(node, list):
        return [_everywhere(one, change) for one in node]
    return change(node) if isinstance(node, str) else node
