# SPDX-License-Identifier: Apache-2.0
"""Show on your own clip what a preset of pairs does: source frames and the views made of them, without training."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backend_bases import FigureCanvasBase
from monai.bundle import ConfigParser

from bundle.data import CineDataset, FrameCache, keep_readable, open_datalist
from bundle.errors import InputError, show_input_errors_plainly
from bundle.files import made_folder, written_beside
from bundle.handlers.pair_montage import PairRow, pair_row, pairs_figure
from bundle.keys import UNLABELLED, Keys
from bundle.transforms import PAIR_PRESETS, pair_preset, preprocessing

RECIPE = Path(__file__).resolve().parents[1] / "configs" / "train.yaml"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, draw the pairs and write the picture."""
    args = _parse(arguments)
    output = Path(args.output)
    formats = FigureCanvasBase.get_supported_filetypes()
    if output.suffix.lower()[1:] not in formats:
        raise InputError(f"{output}: found no kind of picture in its name, expected one of .{', .'.join(formats)}")
    recipe = ConfigParser(ConfigParser.load_config_file(RECIPE))
    cache = FrameCache(args.cache_dir, preprocessing(args.image_size or recipe.get_parsed_content("image_size")))
    records = _records(Path(args.clips), cache)
    names = list(PAIR_PRESETS) if args.preset == "all" else [args.preset]
    rows = [row for name in names for row in _rows(name, args, records, cache, several=len(names) > 1)]
    made_folder(output.parent)
    with written_beside(output) as path:
        pairs_figure(rows).savefig(path, dpi=100)
    print(f"the picture is {output}")


def _rows(
    name: str, args: argparse.Namespace, records: list[dict[str, Any]], cache: FrameCache, several: bool
) -> Iterator[PairRow]:
    """Pairs of clips spread evenly over the records, drawn and augmented as the training recipe does."""
    recipe = ConfigParser(ConfigParser.load_config_file(RECIPE))
    recipe.update({"pair_preset": name, "pair_gap": args.gap})
    preset = pair_preset(name, args.gap)
    transform = recipe.get_parsed_content("train#random_transforms")
    transform.set_random_state(seed=args.seed)
    partners = preset.same_patient and len({record[Keys.PATIENT_ID] for record in records}) > 1
    dataset = CineDataset(records, cache, transform, partners)
    mean, std = (recipe.get_parsed_content(key) for key in ("mean", "std"))
    for index in np.linspace(0, len(records) - 1, args.rows).astype(int):
        row = pair_row(dataset, int(index), mean, std)
        yield replace(row, told=[name, *row.told]) if several else row


def _records(clips: Path, cache: FrameCache) -> list[dict[str, Any]]:
    """The clips of a folder that can be read, with what a labels.csv says of them; or the one clip."""
    if clips.is_dir():
        return keep_readable(open_datalist(clips, fractions={"training": 1.0}), cache).training
    if not clips.exists():
        raise InputError(f"{clips}: no such file or folder: expected a clip or a folder of clips")
    return [
        {
            Keys.IMAGE: str(clips.resolve()),
            Keys.VIDEO_ID: clips.name,
            Keys.PATIENT_ID: clips.name,
            Keys.LABEL: UNLABELLED,
        }
    ]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f"{__doc__} Views are augmented as in configs/train.yaml. A second row of a clip is a second draw.",
        epilog="example: python scripts/show_pairs.py clip.dcm --preset ivpp --gap 0.5 --output pairs.png",
    )
    add = parser.add_argument
    add(
        "clips", help="a clip, or a folder of clips (with a labels.csv, if pairs of one patient's videos are asked for)"
    )
    add("--preset", default="all", choices=["all", *PAIR_PRESETS], help="how pairs are made (default: all)")
    add("--gap", type=float, help="seconds between the frames of a pair at most (default: the preset's own)")
    add("--output", default="pairs.png", help="the picture (default: pairs.png)")
    add("--rows", type=int, default=2, help="rows a preset (default: 2)")
    add("--image-size", type=int, help="pixels (default: the recipe's)")
    add("--seed", type=int, default=0, help="of the draws (default: 0)")
    add("--cache-dir", default=".cache/frames", help="decoded frames, shared with training (default: .cache/frames)")
    args = parser.parse_args(arguments)
    if args.gap is not None and args.preset == "all":
        parser.error("--gap is of one preset: name it with --preset")
    if args.rows < 1:
        parser.error("--rows: expected 1 or more")
    return args


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    show_input_errors_plainly()
    main()
