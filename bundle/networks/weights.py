# SPDX-License-Identifier: Apache-2.0
"""An encoder as a plain file that says what it is: architecture, input, how and on what it was trained."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from ..errors import InputError
from ..files import made_folder, sha256_of, written_beside
from .encoder import ENCODERS, Encoder
from .state_dict import load_weights, unwrapped

FILE_NAME = "encoder.safetensors"
"""Name of the weights in a folder; the description lies beside it as ``encoder.json``."""

_TYPES = {"architecture": str, "in_channels": int, "feature_dim": int, "normalisation": dict, "trained": dict}


def save_encoder(
    encoder: Encoder,
    path: str | os.PathLike[str],
    *,
    normalisation: Mapping[str, float | Sequence[float]],
    image_size: int | Sequence[int],
    trained: Mapping[str, Any],
) -> Path:
    """Write an encoder as ``encoder.safetensors`` and the JSON beside it that says what it is.

    Both are written under another name and then renamed, the JSON last; it holds the SHA-256 of the weights, so a
    pair that does not belong together is noticed on loading. An encoder that lies there already is replaced.

    Args:
        encoder: its weights are copied to the CPU as they are.
        path: a folder, made when missing, or a file name that ends in ``.safetensors``.
        normalisation: ``{"mean": m, "std": s}`` of the input after scaling grey values to 0 to 1, numbers or one
            number per channel: the encoder expects ``(x - mean) / std``.
        image_size: side in pixels, or (H, W), of the frames it was trained on.
        trained: how and on what: method, data sets, steps, seed, ...; anything JSON can hold.

    Returns:
        The path of the weights.

    Raises:
        InputError: for a normalisation of another form or a description that JSON cannot hold.
    """
    from safetensors.torch import save

    path = Path(path)
    weights = path if path.suffix == ".safetensors" else path / FILE_NAME
    _check_normalisation(normalisation, encoder.in_channels, str(weights))
    tensors = {key: value.detach().cpu().contiguous() for key, value in encoder.state_dict().items()}
    data = save(tensors, metadata={"format": "pt"})
    info = {
        "architecture": encoder.name,
        "in_channels": encoder.in_channels,
        "feature_dim": encoder.feature_dim,
        "normalisation": dict(normalisation),
        "image_size": image_size,
        "trained": dict(trained),
        "version": _version(),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    try:
        text = json.dumps(info, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{weights}: its description cannot be written as JSON ({error}); use plain values") from error
    made_folder(weights.parent)
    with written_beside(weights) as beside:
        beside.write_bytes(data)
    with written_beside(weights.with_suffix(".json")) as beside:
        beside.write_text(text + "\n", encoding="utf-8")
    return weights


def load_encoder(
    path: str | os.PathLike[str],
    *,
    architecture: str | None = None,
    in_channels: int | None = None,
    min_matched: float = 1.0,
) -> tuple[Encoder, dict[str, Any]]:
    """An encoder from a file, in evaluation mode on the CPU, and what the file says about it.

    Reads what `save_encoder` wrote (the ``.safetensors`` file or the folder that holds it), or a plain state dict
    with torchvision's names (``.pt``, ``.pth`` or ``.safetensors``; also under ``"state_dict"`` or ``"model"``).
    The latter says nothing about itself: ``architecture`` must be given, and the description holds only
    architecture, in_channels and feature_dim.

    With another number of channels than in the file, the description still names the file's normalisation.

    Args:
        path: file or folder.
        architecture: one of `ENCODERS`; for our own files only checked.
        in_channels: 1 or 3 to adapt the first convolution (see `load_weights`); as in the file when not given.
        min_matched: least share of the tensors that must fit, see `load_weights`; the others keep random weights.

    Raises:
        InputError: for a missing or damaged file, a description that does not belong to it, another architecture, or
            weights that are not finite.
    """
    weights, info = described(path)
    if info and architecture not in (None, info["architecture"]):
        raise InputError(f"{weights}: found {info['architecture']}, expected {architecture}; choose the other one")
    if not info and architecture is None:
        raise InputError(
            f"{weights}: found no {weights.stem}.json beside it that says which network this is, expected one or the "
            f"setting architecture (one of {', '.join(ENCODERS)}); put the file there or give the setting"
        )
    info = info or {"architecture": architecture}
    state_dict = unwrapped(read_state_dict(weights))
    info["in_channels"] = in_channels or info.get("in_channels") or _channels_of(state_dict)
    make = empty_encoder if min_matched >= 1 else Encoder
    encoder = make(info["architecture"], info["in_channels"])
    info["feature_dim"] = encoder.feature_dim
    try:
        load_weights(encoder, state_dict, min_matched=min_matched)
    except InputError as error:
        raise InputError(f"{weights}: {error}") from error
    if broken := [name for name, value in encoder.state_dict().items() if not value.isfinite().all()]:
        raise InputError(
            f"{weights}: found values that are no numbers in {len(broken)} tensors, {broken[0]} among them; expected "
            "finite weights: the training that made it went wrong, take another"
        )
    return encoder.eval(), info


def described(path: str | os.PathLike[str]) -> tuple[Path, dict[str, Any]]:
    """The file of weights that is meant by a file or folder, and what lies beside it about it (`save_encoder`), if any.

    Raises:
        InputError: see `load_encoder`.
    """
    path = Path(path)
    weights = path / FILE_NAME if path.is_dir() else path
    if not weights.is_file():
        raise InputError(f"{weights}: found no such file, expected encoder weights; export an encoder there first")
    description = weights.with_suffix(".json")
    known = weights.suffix == ".safetensors" and description.is_file()
    return weights, _read_description(description, weights) if known else {}


def empty_encoder(architecture: str, in_channels: int) -> Encoder:
    """An encoder whose weights are still to come: no time and no random numbers are spent on drawing them."""
    with torch.device("meta"):
        encoder = Encoder(architecture, in_channels)
    encoder.to_empty(device="cpu")
    for name, buffer in encoder.named_buffers():
        if name.endswith("num_batches_tracked"):  # the one thing that a file may leave out
            buffer.zero_()
    return encoder


def _read_description(description: Path, weights: Path) -> dict[str, Any]:
    try:
        info = json.loads(description.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{description}: found no readable JSON ({error}); export the encoder again") from error
    bad = [key for key, kind in _TYPES.items() if not isinstance(info, dict) or not isinstance(info.get(key), kind)]
    if bad:
        raise InputError(f"{description}: found no usable {', '.join(bad)}, expected an encoder's description")
    _check_normalisation(info["normalisation"], info["in_channels"], str(description))
    if info.get("sha256") not in (None, sha256_of(weights)):
        raise InputError(f"{description}: describes other weights than {weights.name} (SHA-256 differs); copy both")
    return info


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The tensors of a ``.safetensors`` file or of a state dict (``.pt``, ``.pth``); no code in it is run.

    Raises:
        InputError: for a damaged file or one that holds other things than tensors.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            loaded: Any = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format and each kind of damage raises another type
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        # torch's words advise to run what is in the file, or are of the parts of its reader
        if isinstance(error, UnpicklingError | EOFError | LookupError | struct.error):
            reason = "damaged, no file of PyTorch, or one with more than tensors in it"
        raise InputError(f"{path}: found no readable weights ({reason}), expected tensors only") from error
    for wrapper in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(v, torch.Tensor) for v in loaded.values()):
        raise InputError(f"{path}: found no state dict, expected tensors by name; save module.state_dict()")
    return loaded


def save_state_dict(tensors: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> Path:
    """Write tensors by name, as safetensors or for ``torch.load``, by the ending of the name.

    Written under another name and then renamed. A file that lies there already is replaced.

    Raises:
        InputError: for another ending, or a file that cannot be written.
    """
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise InputError(f"{path}: found the ending {path.suffix!r}, expected .safetensors, .pt or .pth; choose one")
    made_folder(path.parent)
    with written_beside(path) as beside:
        if path.suffix == ".safetensors":
            save_file(dict(tensors), beside, metadata={"format": "pt"})
        else:
            torch.save(dict(tensors), beside)
    return path


def _channels_of(state_dict: Mapping[str, torch.Tensor]) -> int:
    first = next((value for value in state_dict.values() if value.ndim == 4), None)
    return 1 if first is None else first.shape[1]


def _check_normalisation(normalisation: Mapping[str, Any], in_channels: int, where: str) -> None:
    def numbers(value: Any) -> list[Any]:
        return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value] * in_channels

    values = {key: numbers(normalisation.get(key)) for key in ("mean", "std")}
    usable = set(normalisation) == set(values) and all(
        len(value) == in_channels and all(isinstance(number, int | float) for number in value)
        for value in values.values()
    )
    if not usable or min(values["std"]) <= 0:
        raise InputError(
            f"{where}: found normalisation {dict(normalisation)}, expected mean and std (above 0), numbers or one "
            f"number for each of {in_channels} channels"
        )


def _version() -> str:
    try:
        return version("ultrasound-video-ssl")
    except PackageNotFoundError:  # the code of an exported bundle is not installed as a package
        return "not installed"
