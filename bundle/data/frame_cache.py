# SPDX-License-Identifier: Apache-2.0
"""Decoded and cropped frames on disk, decoded once and shared by all processes as memory-mapped uint8."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..files import cannot_write
from ..keys import Keys
from .cache_entries import (
    entry_path,
    note_settings,
    open_frames,
    read_hashes,
    read_meta,
    remove_left_behind,
    sole_maker,
    touch,
    write_entry,
    write_hashes,
)
from .cache_fill import CacheReport, Made, WarningsByFile, make_all, reason_in_one_line, tell
from .cache_limits import CacheLimits
from .cache_meta import plain_meta
from .digests import ContentDigests, describe_transform
from .near_duplicates import ClipHashes, hash_clip

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
"""Goes up when what lies in the cache changes its meaning."""

_TOUCH_EVERY_S = 600  # well within the hour for which an entry counts as in use


class FrameCache:
    """Frames of cines after a deterministic preprocessing, kept as ``.npy`` files that are memory-mapped.

    The preprocessing is given a record with nothing but ``image`` and turns it into a uint8 tensor (C, T, H, W) with
    its ``meta``. An entry is keyed by the content of the file (of a folder of frames: its names and contents), the
    public settings of the preprocessing and `FORMAT_VERSION`, so a changed file or setting is decoded anew and the
    same file under two paths only once.

    Several processes, as the ranks of one run, can fill a cache: what one is decoding the others leave to it and go on
    with the next file. After `fill` the files are taken to stay as they are until the next one; a file that was not
    part of it is looked at on each access.

    Args:
        cache_dir: where the entries lie (see :mod:`bundle.data.cache_entries`); made when first needed.
        preprocessing: a `monai.transforms.Compose` of dictionary transforms, or anything called the same way.
        max_gb: how large the whole folder may grow, in units of 10^9 bytes. When it is full the entries unused for
            longest go first; those of this run, and all used within the last hour, stay. See `CacheLimits`.

    Raises:
        InputError: ``max_gb`` is not a number above 0.
    """

    def __init__(
        self,
        cache_dir: str | os.PathLike[str],
        preprocessing: Callable[[dict[str, Any]], Any],
        max_gb: float = 50.0,
    ) -> None:
        self.cache_dir = Path(cache_dir)
        self.preprocessing = preprocessing
        self.max_gb = max_gb
        settings = {"version": FORMAT_VERSION, "preprocessing": describe_transform(preprocessing)}
        self._description = json.dumps(settings, sort_keys=True)
        self._settings = hashlib.sha256(self._description.encode()).hexdigest()[:12]
        self._digests = ContentDigests(self.cache_dir / "digests.json")
        self._limits = CacheLimits(self.cache_dir, max_gb)
        self._entries: dict[str, str] = {}  # of the files of the last filling
        self._touch_due: dict[str, float] = {}
        self._told = False

    def __getstate__(self) -> dict[str, Any]:
        # locks stay in their process, and a worker's first use of an entry counts
        return {**self.__dict__, "_limits": None, "_touch_due": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _limits=CacheLimits(state["cache_dir"], state["max_gb"]))

    def fill(self, records: Sequence[Mapping[str, Any]], progress: bool = True) -> CacheReport:
        """Decode what is not there yet, several files at a time; a file that cannot be read is reported and left out.

        Args:
            records: records with absolute paths in ``image``.
            progress: show a bar (on the first rank of a run of several).

        Raises:
            InputError: none of the files can be read, or the cache cannot be written or has no room for them.
        """
        paths = list(dict.fromkeys(str(record[Keys.IMAGE]) for record in records))
        self._entries = {}
        missing = [path for path in paths if not self._is_known(path)]
        said = WarningsByFile()
        try:
            with said.collected():
                made = self._fill_missing(missing, said, progress) if missing else {}
        finally:
            with self._writing():
                self._digests.save()
        return tell(f"frame cache {self.cache_dir}", paths, made, said)

    def frames(self, record: Mapping[str, Any]) -> np.ndarray:
        """The frames of a record, uint8 (C, T, H, W), read-only and memory-mapped; decoded now if not there.

        Raises:
            InputError: the file cannot be read.
        """
        with suppress(OSError, ValueError):
            return open_frames(self._entry_in_use(record))
        return self._decode_again(record)[0]

    def meta(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """What the reader and the preprocessing said of a record's frames, as plain values; without the person.

        Raises:
            InputError: the file cannot be read.
        """
        with suppress(OSError, ValueError):
            return dict(read_meta(self._entry_in_use(record)))
        return self._decode_again(record)[1]

    def content(self, record: Mapping[str, Any]) -> str:
        """The SHA-256 of a record's file (see `ContentDigests.digest`).

        Raises:
            InputError: the file cannot be read.
        """
        return os.path.basename(self._entry_in_use(record)).partition("-")[0]

    def hashes(self, record: Mapping[str, Any]) -> ClipHashes:
        """The perceptual hashes of a record's frames, made once and kept with them if there is room.

        Raises:
            InputError: the file cannot be read.
        """
        entry = self._entry_in_use(record)
        with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
            return read_hashes(entry)
        hashes = hash_clip(self.frames(record))
        with suppress(OSError):
            write_hashes(entry, hashes)
        return hashes

    def _is_known(self, path: str) -> bool:
        """Whether a file's entry is there, as far as can be told without reading the file."""
        content = self._digests.remembered(path)
        entry = None if content is None else entry_path(self.cache_dir, content, self._settings)
        if entry is None or not touch(entry):
            return False
        self._entries[path] = entry
        return True

    def _fill_missing(self, paths: Sequence[str], said: WarningsByFile, progress: bool) -> dict[str, Made]:
        sizes: list[int] = []

        def note(path: str, made: Made) -> None:
            sizes.append(made.n_bytes)
            if made.entry is not None:
                self._entries[path] = made.entry
            self._limits.check_forecast(sizes, len(paths) - len(sizes), self._needed)

        with self._writing():
            remove_left_behind(self.cache_dir)
        return make_all(paths, lambda path, wait: self._make(path, said, wait), note, progress)

    def _needed(self) -> set[str]:
        return set(self._entries.copy().values())  # other threads may add to it

    def _make(self, path: str, said: WarningsByFile, wait: bool) -> Made:
        """Make the entry of a file, unless it is there or another thread or process is at it."""
        try:
            entry = self._entry(path)
        except InputError as error:
            return Made(reason=str(error))
        with self._writing(), sole_maker(entry, wait) as mine:
            if touch(entry):
                return Made(entry)
            if not mine:
                return Made()
            try:
                with said.of(path):
                    frames, meta = self._decode(path)
            except Exception as error:  # any decoder may fail in its own way, and the others shall go on
                return Made(reason=reason_in_one_line(path, error))
            self._store(entry, frames, meta)
            return Made(entry, n_bytes=frames.nbytes)

    def _entry(self, path: str) -> str:
        """Where the entry of a file lies, without suffix."""
        try:
            content = self._digests.digest(path)
        except OSError as error:
            where = error.filename or path  # one frame of a folder
            raise InputError(f"{where}: cannot be read ({error.strerror}): expected a clip") from error
        return entry_path(self.cache_dir, content, self._settings)

    def _entry_in_use(self, record: Mapping[str, Any]) -> str:
        path = str(record[Keys.IMAGE])
        entry = self._entries.get(path) or self._entry(path)
        now = time.monotonic()
        if self._touch_due.get(path, 0.0) <= now:
            touch(entry)
            self._touch_due[path] = now + _TOUCH_EVERY_S
        return entry

    def _decode_again(self, record: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """Frames and meta of a file whose entry is not there or not whole, kept if there is room."""
        path = str(record[Keys.IMAGE])
        entry = self._entry(path)
        if path in self._entries:
            self._entries[path] = entry  # the file may have changed since the filling
        frames, meta = self._decode(path)
        try:
            self._store(entry, frames, meta)
        except InputError as error:
            # a long run goes on without its cache, and says so once
            if not self._told:
                logger.warning("%s and others are decoded at each access, since they cannot be kept: %s", path, error)
            self._told = True
        frames.flags.writeable = False
        return frames, meta

    def _decode(self, path: str) -> tuple[np.ndarray, dict[str, Any]]:
        # nothing but the file: whatever else a record holds is not part of the key
        image = self.preprocessing({Keys.IMAGE: path})[Keys.IMAGE]
        if not isinstance(image, torch.Tensor) or image.ndim != 4 or image.dtype != torch.uint8 or not image.numel():
            found = f"{getattr(image, 'dtype', type(image).__name__)} {tuple(getattr(image, 'shape', ()))}"
            raise TypeError(f"the preprocessing gave {found}: expected uint8 (C, T, H, W)")
        return np.ascontiguousarray(image.detach().cpu().numpy()), plain_meta(getattr(image, "meta", {}))

    def _store(self, entry: str, frames: np.ndarray, meta: Mapping[str, Any]) -> None:
        with self._writing(frames.nbytes), self._limits.room_for(entry, frames.nbytes, self._needed):
            note_settings(self.cache_dir, self._settings, self._description)
            os.makedirs(os.path.dirname(entry), exist_ok=True)
            write_entry(entry, frames, meta)

    @contextmanager
    def _writing(self, n_bytes: int = 0) -> Iterator[None]:
        """Within this, a cache that cannot be written is told in one line."""
        try:
            yield
        except OSError as error:
            raise cannot_write(self.cache_dir, error, n_bytes, "another cache_dir") from error
