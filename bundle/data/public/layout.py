# SPDX-License-Identifier: Apache-2.0
"""Finding one's way in a publisher's folders: the file that marks the place, its tables, its pictures."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from ..records import read_rows, require_columns

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)


def the_one(folder: Path, name: str) -> Path:
    """The file or folder called ``name`` that lies highest below ``folder``: archives add folders of their own.

    Raises:
        InputError: there is none, or several lie equally high.
    """
    found = [path for path in files_below(folder, folders=True) if path.name == name]
    depth = min((len(path.parts) for path in found), default=0)
    highest = [path for path in found if len(path.parts) == depth]
    if not highest:
        raise InputError(f"{folder}: no {name!r} below it: expected the files as their publisher orders them")
    if len(highest) > 1:
        raise InputError(f"{folder}: {highest[0]} and {highest[1]}: expected one {name!r}; take one away")
    return highest[0]


def files_below(folder: Path, *, folders: bool = False) -> list[Path]:
    """The files below ``folder``, and the folders too if asked for, in order; hidden ones are left out."""
    found = []
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith(".") and name != "__MACOSX")
        found += [Path(place, name) for name in (*(below if folders else ()), *names) if not name.startswith(".")]
    return sorted(found)


def table(path: Path, columns: Sequence[str], delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a publisher's table, which has at least these columns.

    Raises:
        InputError: it cannot be read, or lacks a column.
    """
    there, rows = read_rows(path, delimiter)
    require_columns(path, there, columns)
    return [row for _, row in rows]


def below(folder: Path, path: Path) -> str:
    """``path`` as it is written in a table that lies in ``folder``."""
    return path.relative_to(folder).as_posix()


def open_picture(path: Path) -> Image:
    """A picture, of which only the head is read until its pixels are asked for.

    Raises:
        InputError: it is none.
    """
    from PIL import Image

    try:
        return Image.open(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a picture ({error}): fetch it again") from error


def mask_beside(image: Path, mask: Path) -> bool:
    """Whether there is a mask of its image's size; the log says so where it is there and has another."""
    if not mask.is_file():
        logger.warning("%s: its mask %s is not there; the image is kept without one", image, mask.name)
        return False
    with open_picture(image) as picture, open_picture(mask) as other:
        if picture.size != other.size:
            logger.warning(
                "%s: its mask is %d x %d, the image %d x %d; the image is kept without one",
                *(image, *other.size, *picture.size),
            )
            return False
    return True


def tell(folder: Path, what: str, names: Iterable[object]) -> None:
    """Say in the log what holds for these files: how many they are, and the name of the first."""
    names = sorted(map(str, names))
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        logger.warning("%s: %s: %s%s", folder, what, names[0], more)
