# SPDX-License-Identifier: Apache-2.0
"""A data folder of a public set: what its publisher gives, and our table of it."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ...errors import InputError
from ...files import cannot_write, made_folder, written_beside
from ..archives import unpack
from ..downloads import NotFetched, RemoteFile, digest, fetch
from .layout import files_below
from .public_set import PublicSet, Row

TABLE = "labels.csv"
RECORD = "downloads.json"


def make_set(
    known: PublicSet,
    folder: str | os.PathLike[str],
    source: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    wait_seconds: float = 2.0,
) -> list[Row]:
    """Fill ``folder`` with a public set and write its ``labels.csv``; what was done by an earlier start is not redone.

    Beside the publisher's files lie ``licence_NAME.txt`` and ``downloads.json``, which says where each file came from,
    with its SHA-256, and against what it was checked.

    Args:
        known: the set.
        folder: the data folder.
        source: what was fetched by hand, an archive or a folder in the publisher's layout; None to fetch it. The
            files of a folder are linked, or copied where that cannot be.
        overwrite: replace a table that is there with other content.
        wait_seconds: see `fetch`.

    Returns:
        The rows of the table.

    Raises:
        InputError: what is needed cannot be fetched, read or written; or the table is there with other content.
    """
    folder = made_folder(Path(folder))
    with written_beside(folder / f"licence_{known.name}.txt") as beside:
        beside.write_text(known.licence_text(), encoding="utf-8")
    if source is not None:
        _take(Path(source), folder)
    else:
        try:
            _fetch_all(known, folder, wait_seconds)
        except NotFetched as error:
            raise InputError(
                f"{error}; or fetch it by hand ({known.by_hand}, at {known.page}) and go on with --from"
            ) from error
    rows = known.rows(folder)
    if not rows:
        raise InputError(f"{folder}: nothing of {known.name} in it: expected the files as their publisher orders them")
    _write_table(folder / TABLE, rows, overwrite)
    return rows


def _take(source: Path, folder: Path) -> None:
    """Bring what was fetched by hand into the data folder."""
    if not source.is_dir():
        if not source.is_file():
            raise InputError(f"{source}: no such file or folder: expected what was fetched by hand")
        unpack(source, folder)
        return
    for path in files_below(source):
        if path in (source / TABLE, source / RECORD):
            continue  # of another data folder of ours
        if path.parent == source and path.suffix.lower() == ".zip":
            unpack(path, folder)
        elif source.resolve() != folder.resolve():
            _link(path, folder / path.relative_to(source))


def _link(path: Path, to: Path) -> None:
    if to.exists() and to.stat().st_size == path.stat().st_size:
        return
    made_folder(to.parent)
    try:
        os.link(path, to)
    except FileExistsError as error:
        raise InputError(f"{to}: there already, and not as {path}: take it away, or choose another folder") from error
    except OSError:  # another disk, or one without links
        with written_beside(to) as beside:
            shutil.copyfile(path, beside)


def _fetch_all(known: PublicSet, folder: Path, wait_seconds: float) -> None:
    """Fetch what is missing; the list of files is asked once, so that a later start goes on with the same state."""
    record = _read_record(folder / RECORD, known)
    entries = record["files"]
    for entry in tqdm(entries, desc=known.name, unit="file", disable=len(entries) < 10):
        file = RemoteFile(entry["url"], entry["name"], entry["size"], entry["checksum"])
        archive = file.name.endswith(".zip")
        if archive and "sha256" in entry:
            continue  # unpacked by an earlier start
        path = fetch(file, folder, wait_seconds=wait_seconds, progress=len(entries) < 10)
        if "sha256" not in entry:
            found = digest(path)
            if archive:
                unpack(path, folder)
            entry.update(size=path.stat().st_size, sha256=found)
            _write_record(folder / RECORD, record)
            if archive:
                path.unlink()


def _read_record(path: Path, known: PublicSet) -> dict[str, Any]:
    if not path.exists():
        files = [
            {"name": file.name, "url": file.url, "size": file.size, "checksum": file.checksum}
            for file in known.remote_files()
        ]
        record = {"set": known.name, "files": files}
        _write_record(path, record)
        return record
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        fits = record["set"] == known.name and all(
            {"url", "name", "size", "checksum"} <= set(e) for e in record["files"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error}): take it away to begin anew") from error
    if not fits:
        raise InputError(f"{path}: not of {known.name}: choose a folder of its own for each set")
    return record


def _write_record(path: Path, record: dict[str, Any]) -> None:
    with written_beside(path) as beside:
        beside.write_text(json.dumps(record, indent=1), encoding="utf-8")


def _write_table(path: Path, rows: Sequence[Row], overwrite: bool) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    try:
        there = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
    except OSError as error:
        raise cannot_write(path, error) from error
    if there == text.getvalue():
        return
    if there is not None and not overwrite:
        raise InputError(f"{path}: there already with other content: choose another folder, or ask to overwrite it")
    with written_beside(path) as beside:
        beside.write_text(text.getvalue(), encoding="utf-8", newline="\n")
