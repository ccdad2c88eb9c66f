# SPDX-License-Identifier: Apache-2.0
"""What a trained network is applied to: a file, a folder, the clips of a table or of a datalist."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import InputError
from ..keys import PARTS, Keys
from .datalist import load_datalist
from .folders import records_from_folder
from .records import Record, make_record, records_from_table

TABLE = "labels.csv"


def input_records(
    source: str | os.PathLike[str],
    datalist_file: str | os.PathLike[str] | None = None,
    part: str | None = None,
    any_modality: bool = False,
) -> list[Record]:
    """Records with absolute paths in ``image``; ``name`` is the path below the source, by which results are called.

    Labels do not count. Of a folder the clips are those of its ``labels.csv``, which must be there; without a table all
    that looks like a clip, also what cannot be one (an empty file), since reading it tells why.

    Args:
        source: a file, a folder, or the data folder of the datalist.
        datalist_file: a datalist, as a run leaves it.
        part: of the datalist; None for all.
        any_modality: take DICOM of other modalities than ultrasound from a folder.

    Raises:
        InputError: nothing is there, the table or datalist cannot be used, or two files would be called the same.
    """
    path = Path(source)
    if datalist_file is not None:
        return _named(_listed(datalist_file, path, part), path)
    if not os.path.lexists(path):
        raise InputError(f"{path}: no such file or folder: expected clips; name them with --input")
    if not path.is_dir():
        folder, records = path.parent, [make_record(path.absolute().parent.name, image=path.name)]
    elif (path / TABLE).is_file():
        folder, records = path, records_from_table(path / TABLE, label_column=None)
    else:
        folder, records = path, records_from_folder(path, any_modality=any_modality, keep_unusable=True)
    return _named([{**one, Keys.IMAGE: os.path.abspath(folder / one[Keys.IMAGE])} for one in records], folder)


def _listed(datalist_file: str | os.PathLike[str], folder: Path, part: str | None) -> list[Record]:
    parts = load_datalist(datalist_file, folder, allow_leakage=True).parts
    if part not in (None, *PARTS):
        raise InputError(f"part: found {part!r}, expected one of {', '.join(PARTS)}, or null for all")
    records = parts[part] if part else [record for one in parts.values() for record in one]
    if not records:
        raise InputError(f"{datalist_file}: no clip in the part {part}; choose another part")
    return records


def _named(records: list[Record], folder: Path) -> list[Record]:
    def name(path: str) -> str:
        relative = os.path.relpath(path, os.path.abspath(folder))
        inside = [part for part in Path(relative).parts if part != os.pardir]  # results stay in their folder
        return "/".join(inside) or Path(path).name  # the folder itself is a cine

    files: dict[str, str] = {}
    for record in records:
        path = record[Keys.IMAGE]
        record[Keys.NAME] = name(path)
        if (other := files.setdefault(record[Keys.NAME], path)) != path:
            raise InputError(
                f"{path}: its results would be called {record[Keys.NAME]}, as those of {other}, expected a name for "
                "each; rename one of the two, or leave it out"
            )
    return records
