# SPDX-License-Identifier: Apache-2.0
"""Whose data weights come from, and what a bundle says of that."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from ..errors import InputError
from ..files import sha256_of, written_beside
from ..keys import PARTS, PHANTOM, Keys
from .trained_model import DESCRIPTION_FILE

SMALL = (
    "FOR DEMONSTRATION ONLY: these weights were trained for moments, at tiny size, on the simulated phantom. They show "
    "that the bundle works and are of no other use."
)
REPLACED = "Weights replaced"
"""How the line begins that says so in the pages of a bundle."""


def sources(description: Mapping[str, Any]) -> list[str]:
    """The names of all data the weights come from, each once: of the run, then of the pretraining of its encoder.

    An encoder whose file says nothing of its training stands there as that.
    """
    names = [str(description.get("data", "")) or "data without a name"]
    names += _before(description.get("trained", {}))
    return list(dict.fromkeys(names))


def origin(models_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """What a training that goes on from the model there tells as its ``encoder``: the `sources` of that, nested.

    ``{"data": name, "encoder": {"data": name, ...}}``, the latest first: weights remember all their data, however often
    they are trained again.

    Raises:
        InputError: there is no model.
    """
    path = Path(models_dir) / DESCRIPTION_FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a model to go on from, or --from_model False")
    told: dict[str, Any] = {}
    for name in reversed(sources(json.loads(path.read_text(encoding="utf-8")))):
        told = {"data": name, **({"encoder": told} if told else {})}
    return told


def _before(trained: Mapping[str, Any]) -> Iterator[str]:
    encoder = trained.get("encoder") or {}
    if "data" in encoder:
        yield str(encoder["data"])
    elif trained.get("encoder_sha256"):
        yield f"an encoder of unknown training (SHA-256 {trained['encoder_sha256']})"
    if encoder:
        yield from _before(encoder)
    if "converted_from" in trained and "data" not in trained:
        yield f"an encoder of unknown training ({trained['converted_from']['file']})"


def only_simulated(folder: str | os.PathLike[str], description: Mapping[str, Any]) -> bool:
    """Whether nothing but simulated clips went into the weights, those of the pretraining included.

    The run's own clips are those of its ``datalist.json``, each of which must say so; where that is not there, and of a
    pretraining, it is known by the name `PHANTOM`, which no datalist has whose clips do not all say so.

    Args:
        folder: of the run.
        description: of its model.

    Raises:
        InputError: the datalist cannot be read.
    """
    own, *others = sources(description)
    listed = Path(folder) / "datalist.json"
    return (_all_simulated(listed) if listed.is_file() else own == PHANTOM) and set(others) <= {PHANTOM}


def _all_simulated(datalist: Path) -> bool:
    try:
        content = json.loads(datalist.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{datalist}: cannot be read ({error}); copy the run's folder anew") from error
    records = [record for part in PARTS for record in content.get(part, [])]
    return bool(records) and all(record.get(Keys.SIMULATED) for record in records)


def origin_in_metadata(names: Sequence[str], simulated: bool, demonstration: bool = False) -> dict[str, Any]:
    """What ``metadata.json`` of a bundle says of the data its weights come from, `sources`."""
    whose = "a simulated ultrasound phantom, made by the bundle itself where its data folder is not there"
    return {
        "data_source": whose if simulated else f"data of those who trained the weights: {', '.join(names)}",
        "weights_origin": {
            "data": list(names),
            "simulated_only": simulated,
            "demonstration_only": demonstration,
        },
    }


def tell_replaced(weights: Path, run_dir: str | os.PathLike[str], description: Mapping[str, Any]) -> None:
    """Makes what a bundle says of itself true of weights that took the place of those it was exported with.

    Its metadata tell where they come from, and no figures; its list of large files, their SHA-256 and no address. In
    its README and the licence of its data the first line says that what follows is of the earlier weights.

    Args:
        weights: ``models/model.pt`` of the bundle; nothing is done where no metadata are beside ``models``.
        run_dir: of the run that made the weights.
        description: of its model.
    """
    bundle_root = weights.parent.parent
    metadata = bundle_root / "configs" / "metadata.json"
    if not metadata.is_file():
        return
    said = json.loads(metadata.read_text(encoding="utf-8"))
    names = sources(description)
    simulated = only_simulated(run_dir, description) and said["weights_origin"]["simulated_only"]
    _tell_in_metadata(metadata, said, names, simulated)
    told = f"{REPLACED} on {datetime.now(UTC):%Y-%m-%d} by ones trained with the data {names[0]}"
    licence = "" if simulated else ", of whose licence nothing is known here"
    _tell_in_page(bundle_root / "docs" / "README.md", told)
    _tell_in_page(bundle_root / "docs" / "data_license.txt", told + licence)
    _tell_in_large_files(bundle_root / "large_files.yml", weights)


def _tell_in_metadata(path: Path, said: dict[str, Any], names: Sequence[str], simulated: bool) -> None:
    said |= origin_in_metadata(names, simulated) | {"eval_metrics": {}}
    for name in ("description", "intended_use"):
        said[name] = said[name].replace(f" {SMALL}", "")
    with written_beside(path) as beside:
        beside.write_text(json.dumps(said, indent=4) + "\n", encoding="utf-8")


def _tell_in_page(path: Path, told: str) -> None:
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines and lines[0].startswith(REPLACED):
        lines = lines[2:]
    with written_beside(path) as beside:
        beside.write_text("\n".join([f"{told}: what follows is of the earlier weights.", "", *lines]) + "\n", "utf-8")


def _tell_in_large_files(path: Path, weights: Path) -> None:
    if not path.is_file():
        return
    content = ConfigParser.load_config_file(str(path))
    for one in content["large_files"]:
        if path.parent / one["path"] == weights:
            one |= {"url": "", "hash_val": sha256_of(weights)}
    with written_beside(path) as beside:
        ConfigParser.export_config_file(content, str(beside), fmt="yaml", sort_keys=False)
