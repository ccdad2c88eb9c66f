# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there, and what is said where they cannot be written."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file's content in hex.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path to write to; what was written takes the name ``path`` only when the block ends well.

    For those who tell themselves what cannot be written; all others use `written_beside`.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        with suppress(OSError):
            beside.unlink()


@contextmanager
def written_beside(path: str | Path) -> Iterator[Path]:
    """As `replacing`, for a block that does nothing but write.

    Raises:
        InputError: the file cannot be written (no permission, a full disk, ...); one that was there is as it was.
    """
    try:
        with replacing(path) as beside:
            yield beside
    except OSError as error:
        raise cannot_write(path, error) from error


def made_folder(path: str | Path) -> Path:
    """The folder, made with those above it where it was missing.

    Raises:
        InputError: it cannot be made.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def cannot_write(path: str | Path, error: OSError, n_bytes: int = 0, instead: str = "another place") -> InputError:
    """The error to raise where something cannot be written, ``n_bytes`` if that is known."""
    path = Path(path)
    if isinstance(error, FileExistsError | NotADirectoryError) and os.path.isfile(path):
        return InputError(f"{path}: is a file, expected a folder: choose {instead}")
    found = error.strerror or str(error).splitlines()[0]
    if error.errno in (None, *_FULL):  # libraries that raise anew may lose the number
        there = next((folder for folder in (path, *path.absolute().parents) if os.path.exists(folder)), ".")
        wanted = f"{n_bytes / 1e6:.3g} MB to write, " if n_bytes else ""
        found += f": {wanted}{shutil.disk_usage(there).free / 1e6:.3g} MB free"
    return InputError(
        f"{path}: cannot be written ({found}): make it writable, free some of its disk, or choose {instead}"
    )
