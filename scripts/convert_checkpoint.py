# SPDX-License-Identifier: Apache-2.0
"""Bring an encoder from one project's layout to another's: ours, torchvision, timm, MONAI, or USCL as released.

Without --to it only says what the file is and what fits. Nothing is written unless enough fits.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bundle.data.fingerprints import clips_beside
from bundle.errors import InputError, show_input_errors_plainly
from bundle.files import sha256_of, written_beside
from bundle.networks.conversion import Checkpoint, carried, converted, read_checkpoint
from bundle.networks.encoder import ENCODERS
from bundle.networks.layouts import LAYOUTS
from bundle.networks.pretrained import for_channels
from bundle.networks.trained_model import DESCRIPTION_FILE, WEIGHTS_FILE, read_description
from bundle.networks.weights import (
    FILE_NAME,
    described,
    empty_encoder,
    read_state_dict,
    save_encoder,
    save_state_dict,
)

ENCODER = "encoder"
_RELEASED = {"uscl": {"normalisation": {"mean": 0.5, "std": 0.25}, "image_size": 224}}  # of its data loaders
_GIVEN = {"normalisation": "--mean and --std", "image_size": "--image-size"}  # what a state dict does not say


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, say what the file is, write it in the other layout."""
    args = _parse(arguments)
    weights, info = _source(args.source)
    architecture = args.architecture or info.get("architecture")
    checkpoint = read_checkpoint(read_state_dict(weights), architecture, args.source_layout, args.prefix)
    print(described_checkpoint(weights, checkpoint))
    if args.to is None:
        return
    if checkpoint.matched < args.min_matched or not checkpoint.encoder:
        raise InputError(
            f"{weights}: {checkpoint.matched:.1%} of the tensors match {checkpoint.architecture} in the layout "
            f"{checkpoint.layout} and {args.min_matched:.0%} must ({checkpoint.report}); name what it is with "
            "--architecture, --from or --prefix, or lower --min-matched"
        )
    if args.to == ENCODER:
        print(_write_encoder(args, weights, info, checkpoint))
    else:
        print(_write_state_dict(args, checkpoint))


def _source(path: Path) -> tuple[Path, dict[str, Any]]:
    """The weights, and what lies beside them about them: of an encoder, or of the whole network of a task."""
    folder = path if path.is_dir() else path.parent
    whole = not (path / FILE_NAME).is_file() if path.is_dir() else path.name == WEIGHTS_FILE
    if not whole or not (folder / DESCRIPTION_FILE).is_file():
        return described(path)
    said = read_description(folder)
    trained = {**said.get("trained", {}), **({"data": said["data"]} if said.get("data") else {})}
    return folder / WEIGHTS_FILE, {**said, "trained": trained}


def described_checkpoint(weights: Path, checkpoint: Checkpoint) -> str:
    """What a file is, with every name that does not fit."""
    report = checkpoint.report
    heads = ", ".join(_heads(checkpoint.heads)) or "none"
    where = f", behind {checkpoint.prefix}" if checkpoint.prefix else ""
    lines = [
        f"{weights}: {checkpoint.architecture} in the layout {checkpoint.layout}{where}, channels "
        f"{checkpoint.in_channels}, heads {heads}",
        f"matched {len(report.loaded)} ({checkpoint.matched:.1%} of what counts)",
    ]
    for word in ("missing", "unexpected", "mismatched"):
        found = getattr(report, word)
        lines.append(f"{word} {len(found)}{': ' if found else ''}{', '.join(found)}")
    return "\n".join(lines)


def _write_encoder(args: argparse.Namespace, weights: Path, info: dict[str, Any], checkpoint: Checkpoint) -> str:
    """Our own file, with the JSON beside it and the fingerprints of the clips it was trained on where there are any."""
    path = args.output if args.output.suffix == ".safetensors" else args.output / FILE_NAME
    about = _about(args, info, checkpoint)
    missing = [key for key in checkpoint.report.missing if not key.endswith("num_batches_tracked")]
    if missing or checkpoint.report.mismatched:
        raise InputError(
            f"{weights}: found not all of {checkpoint.architecture} ({checkpoint.report}), expected a whole encoder; "
            "give the file of this architecture, or choose another layout with --to"
        )
    clips = clips_beside(path)
    _refuse_existing(args, path, path.with_suffix(".json"), clips)
    trained = {**info.get("trained", {}), "converted_from": _origin(weights, checkpoint)}
    channels = args.channels or checkpoint.in_channels
    encoder = empty_encoder(checkpoint.architecture, channels)
    encoder.load_state_dict(converted(checkpoint, "monai", channels, heads=False))
    normalisation = {key: for_channels(value, channels) for key, value in about["normalisation"].items()}
    save_encoder(encoder, path, normalisation=normalisation, image_size=about["image_size"], trained=trained)
    if clips_beside(weights).resolve() != clips.resolve():
        clips.unlink(missing_ok=True)
        if info and clips_beside(weights).is_file():
            with written_beside(clips) as beside:
                shutil.copyfile(clips_beside(weights), beside)
    return _written(path, ENCODER, channels, checkpoint.heads) + (
        "\nnormalisation was a number a channel, their mean takes its place: the output is nearly the same"
        if normalisation != about["normalisation"]
        else ""
    )


def _write_state_dict(args: argparse.Namespace, checkpoint: Checkpoint) -> str:
    tensors = converted(checkpoint, args.to, args.channels, not args.without_heads, args.add_prefix)
    _refuse_existing(args, args.output)
    save_state_dict(tensors, args.output)
    kept = [] if args.without_heads else carried(checkpoint, args.to)
    left_out = [key for key in checkpoint.heads if key not in kept]
    return _written(args.output, args.to, args.channels or checkpoint.in_channels, left_out)


def _written(path: Path, layout: str, channels: int, left_out: Sequence[str]) -> str:
    left = f", left out {', '.join(_heads(left_out))}" if left_out else ""
    return f"written {path}: layout {layout}, channels {channels}{left}"


def _heads(keys: Sequence[str] | dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(key.rpartition(".")[0] for key in keys))


def _about(args: argparse.Namespace, info: dict[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """Normalisation and image size: as told, else as the file says, else as the released code of the layout has it."""
    about = {**_RELEASED.get(checkpoint.layout, {}), **{key: info[key] for key in info if key in _GIVEN}}
    if args.mean is not None:
        channels = checkpoint.in_channels
        about["normalisation"] = {key: _one_or_all(getattr(args, key), channels) for key in ("mean", "std")}
    if args.image_size is not None:
        about["image_size"] = args.image_size
    for key, option in _GIVEN.items():
        if key not in about:
            raise InputError(
                f"{args.source}: says nothing of its {key}, expected by who loads the encoder: add {option}"
            )
    return about


def _one_or_all(values: Sequence[float], channels: int) -> float | list[float]:
    if len(values) not in (1, channels):
        raise InputError(f"--mean, --std: found {len(values)} numbers, expected 1 or {channels}, one a channel")
    return values[0] if len(values) == 1 else list(values)


def _origin(weights: Path, checkpoint: Checkpoint) -> dict[str, str]:
    digest = sha256_of(weights)
    return {"file": weights.name, "layout": checkpoint.layout, "sha256": digest}


def _refuse_existing(args: argparse.Namespace, *files: Path) -> None:
    there = next((file for file in files if file.exists()), None)
    if there is not None and not args.overwrite:
        raise InputError(f"{there}: is there already; choose another --output, or add --overwrite to replace it")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  python scripts/convert_checkpoint.py best_model.pth\n"
        "  python scripts/convert_checkpoint.py best_model.pth --to encoder --channels 1 --output runs/uscl\n"
        "  python scripts/convert_checkpoint.py runs/train --to timm --channels 3 --output resnet18.safetensors",
    )
    add = parser.add_argument
    add("source", type=Path, help="weights (.safetensors, .pt, .pth), or the folder of a run or of a bundle's models")
    add("--to", choices=[ENCODER, *LAYOUTS], help="encoder: ours with its JSON; else a state dict of this layout")
    add("--output", type=Path, help="file; for encoder a folder or .safetensors file")
    add("--from", dest="source_layout", choices=list(LAYOUTS), help="the file's layout (default: recognised)")
    add("--architecture", choices=ENCODERS, help="the file's network (default: recognised)")
    add("--prefix", help="what stands before the encoder's names, as 'encoder_q.' (default: recognised)")
    add("--add-prefix", default="", metavar="PREFIX", help="put this before every name of a state dict")
    add("--channels", type=int, choices=(1, 3), help="of the first convolution (default: as it is)")
    add("--without-heads", action="store_true", help="the encoder only: no projector, no classifier")
    add("--min-matched", type=_share, default=1.0, help="least share of the tensors that must fit (default: 1)")
    add("--mean", type=float, nargs="+", help="of the input in 0 to 1, one number or one a channel; for --to encoder")
    add("--std", type=float, nargs="+", help="with --mean")
    add("--image-size", type=int, help="side in pixels of the frames it was trained on; for --to encoder")
    add("--overwrite", action="store_true", help="replace what lies at --output")
    args = parser.parse_args(arguments)
    if (args.to is None) != (args.output is None):
        parser.error("--to and --output go together")
    if (args.mean is None) != (args.std is None):
        parser.error("--mean and --std go together")
    if args.to == ENCODER and args.add_prefix:
        parser.error("--add-prefix is for state dicts, not for --to encoder")
    return args


def _share(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a number above 0 and at most 1")
    return number


if __name__ == "__main__":
    show_input_errors_plainly()
    main()
