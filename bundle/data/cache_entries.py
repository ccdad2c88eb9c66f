# SPDX-License-Identifier: Apache-2.0
"""The files of a frame cache: how they are called, written, read and removed.

An entry is ``<first two of content>/<content>-<settings>.npy`` with the frames, ``.json`` with the meta and, where they
were asked for, ``.npz`` with the hashes of the frames; content is the digest of the file they come from, settings that
of the preprocessing, which ``settings/<settings>.json`` spells out. The time of writing of the ``.npy`` is the time of
its last use. Nothing else in the folder is ever touched, and links are not followed.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..files import replacing
from .near_duplicates import HASH_VERSION, ClipHashes

try:
    import fcntl
except ImportError:  # not a POSIX system: two processes may then decode the same file
    fcntl = None  # type: ignore[assignment]

LEFT_BEHIND_S = 3600
"""Temporary files older than this are of a process that is gone: writing an entry takes seconds."""

_FOLDER = re.compile(r"[0-9a-f]{2}")
_ENTRY = re.compile(r"([0-9a-f]{64}(?:-([0-9a-f]{12}))?)\.(?:npy|json|npz)")
_TEMPORARY = re.compile(r"\.[0-9a-f]{64}.*\.part\.(?:npy|json|npz)|[0-9a-f]{64}-[0-9a-f]{12}\.lock")
_SETTINGS = re.compile(r"([0-9a-f]{12})\.json")
_SHAPE = re.compile(rb"'shape': \((\d+), (\d+), (\d+), (\d+)\)")


@dataclass(frozen=True)
class Entry:
    """An entry as it lies on the disk.

    Attributes:
        path: its files without the suffix.
        settings: which preprocessing made it; empty for an entry of an older version.
        n_bytes: size of its files.
        last_used: seconds since the epoch.
    """

    path: str
    settings: str
    n_bytes: int
    last_used: float


def entry_path(cache_dir: Path, content: str, settings: str) -> str:
    """Where the entry of a content (SHA-256) lies, without the suffix."""
    return str(cache_dir / content[:2] / f"{content}-{settings}")


def write_entry(entry: str, frames: np.ndarray, meta: Mapping[str, Any]) -> None:
    """Write uint8 ``frames`` (C, T, H, W) and ``meta``; the frames come last, so where they are the entry is whole.

    Raises:
        OSError: with ``errno``; nothing of the entry is left behind then.
    """
    with replacing(f"{entry}.npy") as beside_frames, replacing(f"{entry}.json") as beside_meta:
        beside_meta.write_text(json.dumps(meta, sort_keys=True), encoding="utf-8")
        with beside_frames.open("wb") as file:
            # numpy's own writing loses the errno of a full disk
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(frames))
            file.write(frames.data)


def open_frames(entry: str) -> np.ndarray:
    """The frames of an entry, uint8 (C, T, H, W), read-only and memory-mapped; ten times as fast as `numpy.load`.

    Raises:
        OSError, ValueError: there is no such entry, or it is not whole.
    """
    file = os.open(f"{entry}.npy", os.O_RDONLY)
    try:
        content = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(file)
    start = 10 + int.from_bytes(content[8:10], "little")
    shape = _SHAPE.search(content[10:start])
    if shape is None:
        raise ValueError(f"{entry}.npy holds no frames")
    return np.frombuffer(content, np.uint8, offset=start).reshape([int(length) for length in shape.groups()])


@lru_cache(maxsize=1024)
def read_meta(entry: str) -> dict[str, Any]:
    """The meta of an entry, not to be changed; remembered, since an entry's name says what is in it.

    Raises:
        OSError, ValueError: there is no such entry, or it is not whole.
    """
    with open(f"{entry}.json", encoding="utf-8") as file:
        return json.load(file)


def write_hashes(entry: str, hashes: ClipHashes) -> None:
    """Keep the hashes of an entry's frames beside them.

    Raises:
        OSError: they cannot be written.
    """
    with replacing(f"{entry}.npz") as beside:
        np.savez(beside, version=HASH_VERSION, frames=hashes.frames, hashes=hashes.hashes, views=hashes.views)


def read_hashes(entry: str) -> ClipHashes:
    """The hashes of an entry's frames.

    Raises:
        OSError, ValueError, KeyError, zipfile.BadZipFile: there are none, or not whole, or of another version.
    """
    with np.load(f"{entry}.npz") as kept:
        if kept["version"] != HASH_VERSION:
            raise ValueError(f"{entry}.npz: hashes of version {kept['version']}, expected {HASH_VERSION}")
        return ClipHashes(kept["frames"], kept["hashes"], kept["views"])


def touch(entry: str) -> bool:
    """Say that an entry is in use; whether it is there."""
    try:
        os.utime(f"{entry}.npy")
    except FileNotFoundError:
        return False
    except OSError:  # somebody else's cache can be used, and has its own times
        return os.path.exists(f"{entry}.npy")
    return True


@contextmanager
def sole_maker(entry: str, wait: bool) -> Iterator[bool]:
    """Whether this thread alone makes the entry; if another is at it, waits for its end or gives False at once.

    The operating system lets go of the lock when a process dies. Where there are no locks everybody may make it.

    Raises:
        OSError: the cache cannot be written.
    """
    lock = f"{entry}.lock"
    os.makedirs(os.path.dirname(lock), exist_ok=True)
    file = os.open(lock, os.O_CREAT | os.O_RDWR)
    mine = False
    try:
        mine = _locked(file, wait)
        yield mine
    finally:
        if mine:
            with suppress(OSError):
                os.unlink(lock)
        os.close(file)


def _locked(file: int, wait: bool) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a network disk without locks
        return True
    return True


def read_entries(cache_dir: Path) -> list[Entry]:
    """All entries of a cache, those longest unused first; none where there is no cache."""
    found: dict[str, list[os.stat_result]] = {}
    settings: dict[str, str] = {}
    for file, stat in _files_of_entries(cache_dir):
        if named := _ENTRY.fullmatch(file.name):
            path = os.path.join(os.path.dirname(file.path), named[1])
            settings[path] = named[2] or ""
            # the frames say when the entry was used, and come first
            found.setdefault(path, []).insert(0 if file.name.endswith(".npy") else 1, stat)
    entries = [
        Entry(path, settings[path], sum(stat.st_size for stat in stats), stats[0].st_mtime)
        for path, stats in found.items()
    ]
    return sorted(entries, key=lambda entry: (entry.last_used, entry.path))


def remove_entry(entry: Entry) -> bool:
    """Remove an entry; whether that was possible. What is memory-mapped at the moment stays readable (POSIX)."""
    try:
        for suffix in (".npy", ".json", ".npz"):  # without frames there is no entry
            with suppress(FileNotFoundError):
                os.unlink(entry.path + suffix)
    except OSError:
        return False
    return True


def remove_left_behind(cache_dir: Path) -> int:
    """Remove what killed processes left behind, temporary files and locks; how many bytes that were."""
    n_bytes = 0
    for file, stat in _files_of_entries(cache_dir):
        if _TEMPORARY.fullmatch(file.name) and stat.st_mtime < time.time() - LEFT_BEHIND_S:
            with suppress(OSError):
                os.unlink(file.path)
                n_bytes += stat.st_size
    return n_bytes


def note_settings(cache_dir: Path, settings: str, description: str) -> None:
    """Keep what a digest of settings stands for.

    Raises:
        OSError: the cache cannot be written.
    """
    path = cache_dir / "settings" / f"{settings}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            beside.write_text(description, encoding="utf-8")


def read_settings(cache_dir: Path) -> dict[str, Any]:
    """What the digests of settings stand for; those that cannot be read are left out."""
    found = {}
    for settings, path in _noted(cache_dir):
        with suppress(OSError, ValueError):
            found[settings] = json.loads(path.read_text(encoding="utf-8"))
    return found


def forget_settings(cache_dir: Path, used: Container[str]) -> None:
    """Remove the notes of settings that no entry has any more."""
    for settings, path in _noted(cache_dir):
        if settings not in used:
            with suppress(OSError):
                path.unlink()


def _noted(cache_dir: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted((cache_dir / "settings").glob("*.json")):
        if (named := _SETTINGS.fullmatch(path.name)) and not path.is_symlink():
            yield named[1], path


def _files_of_entries(cache_dir: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """The plain files in the folders that hold entries; others may come and go meanwhile."""
    for folder in _listed(cache_dir):
        if _FOLDER.fullmatch(folder.name) and folder.is_dir(follow_symlinks=False):
            for file in _listed(folder.path):
                with suppress(FileNotFoundError):
                    if file.is_file(follow_symlinks=False):
                        yield file, file.stat(follow_symlinks=False)


def _listed(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listing:
            return list(listing)
    except (FileNotFoundError, NotADirectoryError):
        return []
