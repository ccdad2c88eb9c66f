# SPDX-License-Identifier: Apache-2.0
"""Fetch a public ultrasound set, or take a copy of it, and write its labels.csv."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bundle.data import records_from_table
from bundle.data.public import PUBLIC_SETS, PublicSet, find_public_set, make_set
from bundle.errors import InputError, show_input_errors_plainly
from bundle.keys import Keys


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, show the licence, make the data folder and say what is in it."""
    args = _parse(arguments)
    if args.list:
        print("\n\n".join(_described(known) for known in PUBLIC_SETS.values()))
        return
    known = find_public_set(args.set)
    print(known.licence_text())
    if known.unverified and args.source is None:
        logging.warning("%s: not verified: %s", known.name, known.unverified)
    if args.source is None and not args.accept_licence:
        raise InputError(f"{known.name}: its licence is above: start again with --accept-licence if you keep to it")
    rows = make_set(known, args.output_dir, args.source, overwrite=args.overwrite)
    print(_summary(known, args.output_dir, len(rows)))


def _described(known: PublicSet) -> str:
    return f"{known.name}\n  {known.title}\n  licence: {known.licence}\n  {known.page}"


def _summary(known: PublicSet, folder: Path, n_rows: int) -> str:
    """What is in the folder, as the table says when it is read again, and how to go on."""
    records = records_from_table(folder / "labels.csv")
    classes = Counter(record.get(Keys.LABEL, "no label") for record in records)
    patients = len({record[Keys.PATIENT_ID] for record in records})
    whole = f" (the whole set has {known.items})" if known.items not in (0, n_rows) else ""
    counts = ", ".join(f"{count} {label}" for label, count in sorted(classes.items()))
    return (
        f"{folder}: {n_rows} items{whole} of {patients} patients or groups: {counts}\n"
        f"next: python scripts/make_datalist.py {folder} {known.datalist}"
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f"{__doc__} The licence is shown first and kept beside the data. A start that was broken off is "
        "gone on from by starting again.",
        epilog="example: python scripts/download_data.py hc18 --output-dir data/hc18 --accept-licence",
    )
    add = parser.add_argument
    add("set", nargs="?", metavar="SET", help=f"one of {', '.join(PUBLIC_SETS)}")
    add("--list", action="store_true", help="show the sets, with licence and address")
    add("--output-dir", type=Path, help="the data folder; each set needs one of its own")
    add(
        "--from",
        dest="source",
        type=Path,
        metavar="PATH",
        help="fetch nothing: an archive or folder that was fetched by hand, as its publisher orders it",
    )
    add("--accept-licence", action="store_true", help="I have read the licence and keep to it: fetch")
    add("--overwrite", action="store_true", help="replace a labels.csv that is there with other content")
    args = parser.parse_args(arguments)
    if not args.list and not (args.set and args.output_dir):
        parser.error("name a set and --output-dir, or ask for --list")
    return args


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    show_input_errors_plainly()
    main()
