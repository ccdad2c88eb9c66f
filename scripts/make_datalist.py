# SPDX-License-Identifier: Apache-2.0
"""Make the datalist of a data folder: which items are for training, validation and testing, split by patient."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bundle.data import (
    by_fold,
    check_disjoint,
    datalist_content,
    records_from_folder,
    records_from_table,
    split_folds,
    split_parts,
    write_datalist,
)
from bundle.data.prefixes import records_by_prefix
from bundle.data.presets import PRESETS, Preset, find_preset
from bundle.errors import InputError, show_input_errors_plainly
from bundle.keys import PARTS, Keys

NO_PRESET = Preset("", "", "")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, write the datalist and show what is in it."""
    args = _parse(arguments)
    if args.list_presets:
        print(presets_table())
        return
    preset = find_preset(args.preset) if args.preset else NO_PRESET
    folder = Path(args.dataset_dir)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder: expected the data folder")
    otherwise = args.parts or args.folds or args.split_column
    fold_column = args.fold_column or (None if otherwise else preset.fold_column)
    records = _read(folder, args, preset, fold_column)
    try:
        parts, seed = _split(records, args, preset, fold_column)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    description = f"{preset.about}; licence: {preset.licence}" if args.preset else None
    content = datalist_content(
        parts, name=folder.resolve().name, description=description, seed=seed, classes=preset.classes
    )
    output = Path(args.output) if args.output else folder / "datalist.json"
    write_datalist(output, content, overwrite=args.overwrite)
    if description:
        print(f"{preset.name}: {description}")
    print(summary(by_fold(parts["training"]) if args.folds or fold_column else parts, content["labels"]))
    print(f"written to {output}")


def presets_table() -> str:
    """A table of the known data sets: where the class stands, and how they are split."""
    rows = [["preset", "class", "split", "what it is"]]
    for preset in PRESETS.values():
        label = " ".join(preset.prefixes) if preset.prefixes else " or ".join(preset.label_columns)
        shares = " ".join(f"{share:g}" for share in preset.parts or ()) or "usual parts"
        split = f"column {preset.fold_column}" if preset.fold_column else shares
        rows.append([preset.name, label, split, f"{preset.about} ({preset.licence})"])
    return _aligned(rows, str.ljust)


def summary(parts: dict[str, list[dict[str, Any]]], labels: list[str]) -> str:
    """A table of patients and clips by part, and clips by part and class."""
    rows = [["part", "patients", "clips", *labels, "unlabelled"]]
    for name, records in {**parts, "all": [record for part in parts.values() for record in part]}.items():
        classes = [record.get(Keys.LABEL) for record in records]
        patients = len({record[Keys.PATIENT_ID] for record in records})
        rows.append([name, *(str(n) for n in (patients, len(records), *map(classes.count, [*labels, None])))])
    return _aligned(rows, str.rjust)


def _aligned(rows: list[list[str]], justify: Callable[[str, int], str]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(justify, row, widths)).rstrip() for row in rows)


def _read(folder: Path, args: argparse.Namespace, preset: Preset, fold_column: str | None) -> list[dict[str, Any]]:
    table = folder / "labels.csv"
    from_folder = args.patient_from_folder or args.label_from_folder
    if not table.exists():
        if args.where or args.fold_column or args.split_column or args.patient_column or args.label_column:
            raise InputError(
                f"{table}: not there: --where, --label-column, --patient-column, --fold-column and --split-column "
                "choose from a table"
            )
        if args.preset and (from_folder or not preset.prefixes):
            reads = "the names of the videos alone" if preset.prefixes else "this table"
            raise InputError(f"{table}: not there: the preset {preset.name} goes by {reads}")
        if preset.prefixes:
            return records_by_prefix(folder, preset.prefixes)
        return records_from_folder(
            folder, patient_from_folder=args.patient_from_folder, label_from_folder=args.label_from_folder
        )
    if from_folder or preset.prefixes:
        given = f"--preset {preset.name} is" if preset.prefixes else "--patient-from-folder and --label-from-folder are"
        raise InputError(f"{table}: is there: {given} for folders without it")
    label_column = preset.label_columns[0] if args.label_column is None else args.label_column
    return records_from_table(
        table,
        label_column=label_column or None,
        patient_column=args.patient_column or preset.patient_column,
        fold_column=fold_column,
        where={**preset.where, **dict(args.where)},
    )


def _split(
    records: list[dict[str, Any]], args: argparse.Namespace, preset: Preset, fold_column: str | None
) -> tuple[dict[str, list[dict[str, Any]]], int | None]:
    """The records of each part and the seed if one was used; folds are all in training."""
    if args.folds or fold_column:
        folded = split_folds(records, args.folds, args.seed) if args.folds else _with_fold(records, fold_column)
        check_disjoint(by_fold(folded))
        return {"training": folded}, args.seed if args.folds else None
    if args.split_column:
        parts = _parts_of_column(records, args.split_column)
        check_disjoint(parts)
        return parts, None
    shares = args.parts or preset.parts
    parts = split_parts(records, dict(zip(PARTS, shares, strict=True)) if shares else None, args.seed)
    check_disjoint(parts)
    return parts, args.seed


def _with_fold(records: list[dict[str, Any]], column: str | None) -> list[dict[str, Any]]:
    kept = [record for record in records if Keys.FOLD in record]
    if not kept:
        raise InputError(f"labels.csv: column {column!r} is blank throughout: expected folds")
    if len(kept) < len(records):
        logging.warning("%d of %d items have no fold and are left out", len(records) - len(kept), len(records))
    return kept


def _parts_of_column(records: list[dict[str, Any]], column: str) -> dict[str, list[dict[str, Any]]]:
    """The parts that the table's own column names."""
    if column not in records[0]:
        raise InputError(f"labels.csv: no column {column!r}: expected one with {', '.join(PARTS)}")
    parts: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
    for record in records:
        if (part := record[column]) in parts:
            parts[part].append(record)
        elif part:
            raise InputError(f"labels.csv: column {column!r}: found {part!r}, expected {', '.join(PARTS)} or nothing")
    if left := len(records) - sum(map(len, parts.values())):
        logging.warning("%d of %d items are of no part and are left out", left, len(records))
    return parts


def _where(text: str) -> tuple[str, list[str]]:
    column, equals, values = text.partition("=")
    if not equals or not column.strip():
        raise argparse.ArgumentTypeError(f"{text!r}: expected column=value or column=value,value")
    return column.strip(), [value.strip() for value in values.split(",")]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f"{__doc__} Reads labels.csv of the folder (columns: file, and label, video_id, patient_id or "
        "group_id where known), or takes all clips below the folder if there is no such table.",
        epilog="examples: python scripts/make_datalist.py data/pocus_lung --preset pocus_lung; python "
        "scripts/make_datalist.py data/mine --where probe=convex --where label=covid,regular --folds 5",
    )
    add = parser.add_argument
    add("dataset_dir", nargs="?", help="the data folder")
    add("--preset", metavar="NAME", help="read the folder as this known data set; the options below count before it")
    add("--list-presets", action="store_true", help="show the known data sets")
    add("--output", help="the datalist to write (default: datalist.json in the data folder)")
    add("--label-column", help="column with the class names; '' for none (default: label)")
    add("--patient-column", help="column that must never be in two parts (default: group_id, else patient_id)")
    add(
        "--where",
        type=_where,
        action="append",
        default=[],
        metavar="COLUMN=VALUE[,VALUE]",
        help="keep only rows with one of these values; may be given for several columns",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--parts",
        nargs=3,
        type=float,
        metavar="SHARE",
        help="training, validation, testing (default: 0.6 0.2 0.2, without labels 0.9 0.1 0)",
    )
    kind.add_argument("--folds", type=int, metavar="K", help="make K folds instead; all items are in training")
    kind.add_argument("--fold-column", metavar="NAME", help="take the folds of this column; items without are left out")
    kind.add_argument(
        "--split-column",
        metavar="NAME",
        help="take the parts of this column (training, validation, testing); items without are left out",
    )
    add("--seed", type=int, default=0, help="another seed gives another split (default: 0)")
    add("--patient-from-folder", action="store_true", help="without a table: first folder level is the patient")
    add("--label-from-folder", action="store_true", help="without a table: first folder level is the class")
    add("--overwrite", action="store_true", help="replace a datalist that is there")
    args = parser.parse_args(arguments)
    if not args.dataset_dir and not args.list_presets:
        parser.error("name the data folder, or ask for --list-presets")
    return args


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    show_input_errors_plainly()
    main()
