# SPDX-License-Identifier: Apache-2.0
"""Find what parts of the data share: patients, videos, files, contents, and clips that look alike."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bundle.data import FrameCache, by_fold, find_leaks, fingerprints, load_datalist, records_from_table, write_leaks
from bundle.data.folders import records_from_folder
from bundle.data.leakage import LEAKAGE_FILES, leak_row
from bundle.data.near_duplicates import BITS, THRESHOLD
from bundle.errors import InputError, show_input_errors_plainly
from bundle.keys import Keys
from bundle.transforms import preprocessing

Parts = dict[str, list[dict[str, Any]]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, compare the parts, show and write what they share; 1 if that is anything, else 0."""
    args = _parse(arguments)
    parts = _parts(args)
    cache = FrameCache(args.cache_dir, preprocessing(args.image_size))
    records = [record for part in parts.values() for record in part]
    skipped = {path for path, _ in cache.fill(records).skipped}
    readable = {name: [r for r in part if r[Keys.IMAGE] not in skipped] for name, part in parts.items()}
    readable = _with_clips(readable, args)
    leaks = find_leaks(fingerprints(readable, cache), args.bits)
    write_leaks(leaks, cache, args.output_dir)
    table, picture = (Path(args.output_dir) / name for name in LEAKAGE_FILES)
    compared = f"{len(records) - len(skipped)} clips in {len(readable)} parts"
    if not leaks:
        print(f"{compared}: nothing is shared; {table}")
        return 0
    print(_table([leak_row(leak) for leak in leaks]))
    print(
        f"{compared}: {len(leaks)} leak{'s' if len(leaks) > 1 else ''}; all are in {table}, the most alike in {picture}"
    )
    return 1


def _parts(args: argparse.Namespace) -> Parts:
    """The parts of the one datalist or table that is given; of several each is one part."""
    if len(args.data) == 1:
        parts = _read(Path(args.data[0]), args)
    else:
        parts = {}
        for text in args.data:
            members = _read(Path(text), args).values()
            name = text if Path(text).resolve().name in parts else Path(text).resolve().name
            parts[name] = [record for part in members for record in part]
    return _with_clips(parts, args)


def _with_clips(parts: Parts, args: argparse.Namespace) -> Parts:
    parts = {name: records for name, records in parts.items() if records}
    if len(parts) < 2:
        raise InputError(f"{args.data[0]}: {len(parts)} part with clips: expected at least two to compare")
    return parts


def _read(path: Path, args: argparse.Namespace) -> Parts:
    if path.suffix == ".json":
        datalist = load_datalist(path, args.dataset_dir or path.parent, allow_leakage=True)
        folds = by_fold(datalist.training)
        return folds if folds and not datalist.testing else datalist.parts
    if not path.is_dir():
        raise InputError(f"{path}: no such folder: expected data folders or datalist files (.json)")
    if (table := path / "labels.csv").exists():
        records = records_from_table(
            table, label_column=None, patient_column=args.patient_column, fold_column=args.fold_column
        )
    else:
        records = records_from_folder(path)
    here = [{**record, Keys.IMAGE: str((path / record[Keys.IMAGE]).resolve())} for record in records]
    if args.fold_column:
        return by_fold(here)
    patients = dict.fromkeys(record[Keys.PATIENT_ID] for record in here)
    return {patient: [record for record in here if record[Keys.PATIENT_ID] == patient] for patient in patients}


def _table(rows: Sequence[dict[str, Any]]) -> str:
    cells = [["kind", "bits", "clip", "clip", "part", "part"]]
    for row in rows:
        flipped = " flipped" if row["flipped"] else ""
        cells.append([row["kind"], f"{row['bits_apart']}{flipped}", *row["clips"], *row["parts"]])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f"{__doc__} Ends with status 1 if there is anything.",
        epilog="examples: python scripts/check_leakage.py data/mine; python scripts/check_leakage.py data/mine "
        "--fold-column fold; python scripts/check_leakage.py data/pretraining data/test",
    )
    add = parser.add_argument
    add(
        "data",
        nargs="+",
        help="a datalist (.json), whose parts or folds are compared; a data folder, whose patients are compared, or "
        "its folds; or several of these, each of which is one part",
    )
    add("--fold-column", help="compare the folds of this column of labels.csv instead of the patients")
    add("--patient-column", help="column of labels.csv that says who it is (default: group_id, else patient_id)")
    add("--dataset-dir", help="the folder of a datalist's files (default: where the datalist lies)")
    add(
        "--bits",
        type=int,
        default=THRESHOLD,
        help=f"how many of {BITS} bits two look-alikes may differ in (default: {THRESHOLD}; up to 56 is worth a look)",
    )
    add("--output-dir", default="runs/leakage", help="where leakage.json and leakage.png go (default: runs/leakage)")
    add("--image-size", type=int, default=64, help="of the cached frames, pixels (default: 64)")
    add("--cache-dir", default=".cache/frames", help="decoded frames, shared with training (default: .cache/frames)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    show_input_errors_plainly()
    sys.exit(main())
