# SPDX-License-Identifier: Apache-2.0
"""How large a frame cache may grow, and what goes when it is full."""

from __future__ import annotations

import math
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError
from .cache_entries import Entry, read_entries, remove_entry

GB = 10**9

KEPT_FREE_GB = 2.0
"""Free space the cache leaves on its disk, or a twentieth of the disk where that is less."""

IN_USE_S = 3600
"""An entry used within the last hour is taken to be in use, here or by another process, and stays."""

_META_BYTES = 4096
_FORECAST_EVERY = 32
_SLACK = 0.02  # a little more goes at a time than is needed, since looking for it reads the whole folder
_LOOK_AGAIN = 0.05  # other processes write too: look after this share of the bound


class CacheLimits:
    """The bound of one cache: makes room by removing what was not used for longest, or says that there is none.

    Several processes that fill one cache look at the whole of it, but not at every file: each may go past the bound
    by a twentieth of it.

    Args:
        cache_dir: where the entries lie.
        max_gb: what they may take, in units of 10^9 bytes. `KEPT_FREE_GB` of the disk stay free in any case.

    Raises:
        InputError: ``max_gb`` is not a number above 0.
    """

    def __init__(self, cache_dir: Path, max_gb: float) -> None:
        if isinstance(max_gb, bool) or not isinstance(max_gb, int | float) or not max_gb > 0:
            raise InputError(f"size of the frame cache (cache_gb): found {max_gb!r}, expected GB above 0")
        self.cache_dir = cache_dir
        self.max_bytes = max_gb * GB
        self._used = 0
        self._written = math.inf  # since the last look; there was none yet
        self._reserved = 0
        self._writing: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def room_for(self, entry: str, n_bytes: int, needed: Callable[[], Collection[str]] = tuple) -> Iterator[None]:
        """Within this, ``entry`` can be written, frames of ``n_bytes``; entries that are ``needed()`` or in use stay.

        Raises:
            InputError: there is no room for them.
        """
        n_bytes += _META_BYTES
        with self._lock:
            self._make_room(n_bytes, needed)
            self._reserved += n_bytes
            self._writing.add(entry)
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= n_bytes
                self._writing.discard(entry)
                self._used += n_bytes
                self._written += n_bytes

    def _make_room(self, n_bytes: int, needed: Callable[[], Collection[str]]) -> None:
        if self._written > _LOOK_AGAIN * self.max_bytes:
            self._look(read_entries(self.cache_dir))
        if self._room() >= n_bytes:
            return
        entries = read_entries(self.cache_dir)
        self._look(entries)
        missing = n_bytes - self._room()
        if missing > 0:
            removed = remove_unused(entries, missing + _SLACK * self._limit(), needed())
            self._used -= sum(entry.n_bytes for entry in removed)
        if self._room() < n_bytes:
            raise InputError(f"{self.cache_dir}: no room for {n_bytes / GB:.3g} GB of frames; {self._state()}")

    def check_forecast(self, sizes: Sequence[int], n_left: int, needed: Callable[[], Collection[str]] = tuple) -> None:
        """Stop early when a set is too large, before hours of decoding.

        Args:
            sizes: bytes written for each of the files done so far, a random draw of all.
            n_left: how many files are left.
            needed: gives the entries that cannot be removed to make room.

        Raises:
            InputError: the rest does not fit, by the mean of the sizes less three standard errors.
        """
        if len(sizes) < 2 or len(sizes) % _FORECAST_EVERY:
            return
        mean, error = statistics.fmean(sizes), statistics.stdev(sizes) / math.sqrt(len(sizes))
        least = n_left * (mean - 3 * error)
        with self._lock:
            if least <= self._room():
                return
            entries = read_entries(self.cache_dir)
            self._look(entries)
            stay = needed()
            room = self._room() + sum(entry.n_bytes for entry in entries if _may_go(entry, stay))
        if least > room:
            raise InputError(
                f"{self.cache_dir}: no room: the first {len(sizes)} of {len(sizes) + n_left} files took "
                f"{sum(sizes) / GB:.3g} GB, the others need about {n_left * mean / GB:.3g} GB; {self._state()}"
            )

    def _look(self, entries: Iterable[Entry]) -> None:
        # what is being written is reserved, and must not count twice when it is on the disk already
        self._used = sum(entry.n_bytes for entry in entries if entry.path not in self._writing)
        self._written = 0.0

    def _limit(self) -> float:
        disk = shutil.disk_usage(_existing(self.cache_dir))
        kept_free = min(KEPT_FREE_GB * GB, disk.total / 20)
        return max(0.0, min(self.max_bytes, self._used + disk.free - kept_free))

    def _room(self) -> float:
        return self._limit() - self._used - self._reserved

    def _state(self) -> str:
        disk = shutil.disk_usage(_existing(self.cache_dir))
        kept_free = min(KEPT_FREE_GB * GB, disk.total / 20)
        return (
            f"it holds {self._used / GB:.3g} of {self.max_bytes / GB:.3g} GB, all needed by this run or used "
            f"within the last hour, and the disk has {disk.free / GB:.3g} GB free, of which {kept_free / GB:.2g} stay "
            "so: allow more (cache_gb), free some of the disk, or take another cache_dir or smaller frames"
        )


def remove_unused(
    entries: Iterable[Entry], n_bytes: float, needed: Collection[str] = (), before: float | None = None
) -> list[Entry]:
    """Remove entries, the first given first, until ``n_bytes`` are free; those needed or in use stay.

    Args:
        entries: as `read_entries` gives them, those longest unused first.
        n_bytes: how much is to be freed.
        needed: paths of entries that stay.
        before: seconds since the epoch; what was used after stays. By default an hour ago.

    Returns:
        what was removed.
    """
    removed, freed = [], 0
    for entry in entries:
        if freed >= n_bytes:
            break
        if _may_go(entry, needed, before) and remove_entry(entry):
            removed.append(entry)
            freed += entry.n_bytes
    return removed


def _may_go(entry: Entry, needed: Collection[str], before: float | None = None) -> bool:
    return entry.path not in needed and entry.last_used < (time.time() - IN_USE_S if before is None else before)


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
