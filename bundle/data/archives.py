# SPDX-License-Identifier: Apache-2.0
"""Zip archives, unpacked file by file: what is there is not unpacked again, what is half done is not there."""

from __future__ import annotations

import errno
import os
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ..errors import InputError
from ..files import cannot_write, made_folder, written_beside

_LEFT_OUT = ("__MACOSX", ".DS_Store", "Thumbs.db")
"""What some systems put into archives beside the files."""


def unpack(archive: str | os.PathLike[str], folder: str | os.PathLike[str]) -> None:
    """Unpack a zip archive into ``folder``; a file that is there with the right size is kept.

    Raises:
        InputError: it is no whole zip archive, has a name that leads out of the folder, or cannot be written.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [(member, _place(archive, folder, member.filename)) for member in packed.infolist()]
            missing = [
                (member, path)
                for member, path in members
                if not member.is_dir()
                and not set(path.parts).intersection(_LEFT_OUT)
                and not (path.is_file() and path.stat().st_size == member.file_size)
            ]
            size = sum(member.file_size for member, _ in missing)
            made_folder(folder)
            if size > shutil.disk_usage(folder).free:
                raise cannot_write(folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), size)
            for member, path in missing:
                made_folder(path.parent)
                with packed.open(member) as source, written_beside(path) as beside, beside.open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)  # checks the CRC at the end
    except OSError as error:
        raise InputError(f"{archive}: cannot be read ({error.strerror}): expected a zip archive") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{archive}: no whole zip archive ({error}): fetch it again") from error


def _place(archive: Path, folder: Path, name: str) -> Path:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or PurePosixPath(name).is_absolute() or any(":" in part for part in parts[:1]):
        raise InputError(f"{archive}: the name {name!r} leads out of the folder: not unpacked; fetch it anew")
    return folder.joinpath(*parts)
