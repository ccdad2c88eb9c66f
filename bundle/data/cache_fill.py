# SPDX-License-Identifier: Apache-2.0
"""The filling of a frame cache: many files in several threads, and what there is to tell of them."""

from __future__ import annotations

import logging
import os
import random
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import InputError, input_error_in

logger = logging.getLogger(__name__)

_MAX_WORKERS = 8


@dataclass(frozen=True)
class Made:
    """What became of a file: its entry, or the reason why there is none, or neither if another thread is at it.

    ``n_bytes`` is the size of the frames if they were decoded now.
    """

    entry: str | None = None
    reason: str | None = None
    n_bytes: int = 0


@dataclass(frozen=True)
class CacheReport:
    """How a filling went: how many files can be had from the cache, and which cannot, with the reason."""

    ok: int
    skipped: list[tuple[str, str]] = field(default_factory=list)


class WarningsByFile:
    """What readers warn of, kept by file instead of shown between the lines of a progress bar.

    Readers begin a warning with the path of the file; any other warning is shown as usual. `collected` is entered
    once, `of` in each thread for each file, since what warnings do is a matter of the whole process.
    """

    def __init__(self) -> None:
        self.said: dict[str, list[str]] = {}
        self._thread = threading.local()

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Within this, warnings about the files are kept in ``said``."""
        with warnings.catch_warnings():
            show = warnings.showwarning

            def keep(message: Warning | str, *place: Any, **more: Any) -> None:
                path = getattr(self._thread, "path", None)
                text = " ".join(str(message).split())
                if path is None or not text.startswith(path):
                    show(message, *place, **more)
                elif text not in self.said.setdefault(path, []):
                    self.said[path].append(text)

            warnings.showwarning = keep
            yield

    @contextmanager
    def of(self, path: str) -> Iterator[None]:
        """Within this, the thread is at this file."""
        self._thread.path = path
        try:
            yield
        finally:
            self._thread.path = None


def make_all(
    paths: Sequence[str],
    make: Callable[[str, bool], Made],
    after_each: Callable[[str, Made], None],
    progress: bool,
) -> dict[str, Made]:
    """Make the entries of many files in several threads, last those that another process is at.

    The order is a random one, the same in all processes, so that the files done tell of those to come.

    Args:
        paths: the files.
        make: makes the entry of one file, or waits for it when its second argument says so.
        after_each: called in the caller's thread; what it raises stops the rest.
        progress: show a bar, on the first rank of a run of several.
    """
    from tqdm import tqdm

    made: dict[str, Made] = {}
    left = random.Random(0).sample(paths, len(paths))
    # a forked process sets up torch's threads anew at first use, which goes wrong in several threads at once
    torch.set_num_threads(torch.get_num_threads())
    # decoders let go of the interpreter lock while they work, so threads are enough
    executor = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, _MAX_WORKERS))
    show = progress and os.environ.get("RANK", "0") == "0"
    try:
        with tqdm(total=len(left), desc="frame cache", unit="file", disable=not show) as bar:
            for wait in (False, True):
                jobs = {executor.submit(make, path, wait): path for path in left}
                left = []
                for job in as_completed(jobs):
                    path, one = jobs[job], job.result()
                    if one.entry is None and one.reason is None:
                        left.append(path)
                        continue
                    made[path] = one
                    bar.update()
                    after_each(path, one)
    finally:
        executor.shutdown(cancel_futures=True)
    return made


def reason_in_one_line(path: str, error: BaseException) -> str:
    """Why a file cannot be read, with its path."""
    found = input_error_in(error)
    if found:
        return str(found)
    while error.__cause__ is not None:  # MONAI wraps what a transform raises
        error = error.__cause__
    return f"{path}: {type(error).__name__}: {' '.join(str(error).split())}"


def tell(what: str, paths: Sequence[str], made: Mapping[str, Made], said: WarningsByFile) -> CacheReport:
    """Log how a filling went, in the order of the files and not of the threads.

    Args:
        what: what was filled.
        paths: all files.
        made: what became of those that were not there before.
        said: what the readers warned of.

    Raises:
        InputError: none of the files can be read.
    """
    for path in paths:
        for text in said.said.get(path, []):
            logger.warning("%s", text)
    skipped = [(path, made[path].reason or "") for path in paths if path in made and made[path].entry is None]
    for path, reason in skipped:
        logger.warning("left out: %s", reason if path in reason else f"{path}: {reason}")
    if paths and len(skipped) == len(paths):
        raise InputError(f"none of {len(paths)} files can be read; the first: {skipped[0][1]}")
    new = [one.n_bytes for one in made.values() if one.n_bytes]
    counts = [f"{len(paths) - len(skipped)} of {len(paths)} files ready"]
    counts += [f"{len(new)} decoded now ({sum(new) / 1e6:.3g} MB)"] if new else []
    counts += [f"{len(said.said)} with warnings"] if said.said else []
    counts += [f"{len(skipped)} left out"] if skipped else []
    logger.info("%s: %s", what, ", ".join(counts))
    return CacheReport(ok=len(paths) - len(skipped), skipped=skipped)
