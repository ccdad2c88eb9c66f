# SPDX-License-Identifier: Apache-2.0
"""Decoded and cropped frames on disk, decoded once and shared by all processes as memory-mapped uint8."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError, input_error_in
from ..files import written_beside
from ..keys import Keys
from .digests import ContentDigests, describe_transform

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
"""Goes up when what lies in the cache changes its meaning."""

# paths, and what DICOM and ITK readers know of the person, have no place in a cache
_PRIVATE = re.compile(r"patient|birth|0010\||filename|path", re.IGNORECASE)
_MAX_WORKERS = 8


@dataclass(frozen=True)
class CacheReport:
    """How a filling went: how many files can be had from the cache, and which cannot, with the reason."""

    ok: int
    skipped: list[tuple[str, str]] = field(default_factory=list)


class FrameCache:
    """Frames of cines after a deterministic preprocessing, kept as ``.npy`` files that are memory-mapped.

    The preprocessing is given a record with nothing but ``image`` and turns it into a uint8 tensor (C, T, H, W) with
    its ``meta``. An entry is keyed by the content of the file (of a folder of frames: its names and contents), the
    public settings of the preprocessing and `FORMAT_VERSION`, so a changed file or setting is decoded anew and the
    same file under two paths only once. Files are written beside and renamed: several processes can fill one cache.

    Args:
        cache_dir: where the entries lie, as ``<first two of key>/<key>.npy`` and ``.json``; made when first needed.
        preprocessing: a `monai.transforms.Compose` of dictionary transforms, or anything called the same way.
    """

    def __init__(self, cache_dir: str | os.PathLike[str], preprocessing: Callable[[dict[str, Any]], Any]) -> None:
        self.cache_dir = Path(cache_dir)
        self.preprocessing = preprocessing
        settings = {"version": FORMAT_VERSION, "preprocessing": describe_transform(preprocessing)}
        self._settings = json.dumps(settings, sort_keys=True)
        self._digests = ContentDigests(self.cache_dir / "digests.json")

    def fill(self, records: Sequence[Mapping[str, Any]], progress: bool = True) -> CacheReport:
        """Decode what is not there yet, several files at a time; a file that cannot be read is reported and left out.

        Args:
            records: records with absolute paths in ``image``.
            progress: show a bar.

        Raises:
            InputError: none of the files can be read, or the cache cannot be written.
        """
        paths = list(dict.fromkeys(str(record[Keys.IMAGE]) for record in records))
        try:
            reasons = self._fill_all(paths, progress)
        finally:
            self._save_digests()
        # in the order of the records, not of the threads
        skipped = [(path, reasons[path]) for path in paths if path in reasons]
        for path, reason in skipped:
            logger.warning("left out: %s", reason if path in reason else f"{path}: {reason}")
        if paths and len(skipped) == len(paths):
            raise InputError(f"none of {len(paths)} files can be read; the first: {skipped[0][1]}")
        logger.info(
            "frame cache %s: %d files ready, %d left out", self.cache_dir, len(paths) - len(skipped), len(skipped)
        )
        return CacheReport(ok=len(paths) - len(skipped), skipped=skipped)

    def frames(self, record: Mapping[str, Any]) -> np.ndarray:
        """The frames of a record, uint8 (C, T, H, W), read-only and memory-mapped; decoded now if not there yet.

        Raises:
            InputError: the file cannot be read.
        """
        return np.load(self._filled_entry(record).with_suffix(".npy"), mmap_mode="r")

    def meta(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """What the reader and the preprocessing said of a record's frames, as plain values; without the person.

        Raises:
            InputError: the file cannot be read.
        """
        return json.loads(self._filled_entry(record).with_suffix(".json").read_text(encoding="utf-8"))

    def _fill_all(self, paths: Sequence[str], progress: bool) -> dict[str, str]:
        """Fill the entries of these files; the reasons of those that cannot be read."""
        from tqdm import tqdm

        reasons = {}
        # a forked process sets up torch's threads anew at first use, which goes wrong in several threads at once
        torch.set_num_threads(torch.get_num_threads())
        # decoders let go of the interpreter lock while they work, so threads are enough
        executor = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, _MAX_WORKERS))
        try:
            jobs = {executor.submit(self._reason_unreadable, path): path for path in paths}
            for job in tqdm(as_completed(jobs), total=len(jobs), desc="frame cache", unit="file", disable=not progress):
                reason = job.result()
                if reason is not None:
                    reasons[jobs[job]] = reason
        finally:
            executor.shutdown(cancel_futures=True)
        return reasons

    def _reason_unreadable(self, path: str) -> str | None:
        """Fill the entry of a file; one line on why that is not possible, if it isn't."""
        try:
            entry = self._entry(path)
            if self._is_filled(entry):
                return None
            image = self._preprocess(path)
        except Exception as error:  # any decoder may fail in its own way, and the others shall go on
            return _one_line(path, error)
        self._store(entry, image)
        return None

    def _entry(self, path: str) -> Path:
        """Where the entry of a file lies, without suffix."""
        try:
            content = self._digests.digest(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}): expected a clip") from error
        key = hashlib.sha256(f"{content} {self._settings}".encode()).hexdigest()
        return self.cache_dir / key[:2] / key

    def _filled_entry(self, record: Mapping[str, Any]) -> Path:
        path = str(record[Keys.IMAGE])
        entry = self._entry(path)
        if not self._is_filled(entry):
            self._store(entry, self._preprocess(path))
        return entry

    @staticmethod
    def _is_filled(entry: Path) -> bool:
        return entry.with_suffix(".npy").exists()

    def _preprocess(self, path: str) -> torch.Tensor:
        # nothing but the file: whatever else a record holds is not part of the key
        image = self.preprocessing({Keys.IMAGE: path})[Keys.IMAGE]
        if not isinstance(image, torch.Tensor) or image.ndim != 4 or image.dtype != torch.uint8:
            found = f"{getattr(image, 'dtype', type(image).__name__)} {tuple(getattr(image, 'shape', ()))}"
            raise TypeError(f"the preprocessing gave {found}: expected uint8 (C, T, H, W)")
        return image

    def _store(self, entry: Path, image: torch.Tensor) -> None:
        # the frames come last: where they are, the entry is whole
        meta = json.dumps(plain_meta(getattr(image, "meta", {})), sort_keys=True)
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            with written_beside(entry.with_suffix(".json")) as beside:
                beside.write_text(meta, encoding="utf-8")
            with written_beside(entry.with_suffix(".npy")) as beside, beside.open("wb") as file:
                np.save(file, np.ascontiguousarray(image.detach().cpu().numpy()))
        except OSError as error:
            raise InputError(
                f"{self.cache_dir}: cannot be written ({error.strerror or error}): choose another cache"
            ) from error

    def _save_digests(self) -> None:
        try:
            self._digests.save()
        except OSError as error:
            raise InputError(
                f"{self.cache_dir}: cannot be written ({error.strerror or error}): choose another cache"
            ) from error


def _one_line(path: str, error: BaseException) -> str:
    found = input_error_in(error)
    if found:
        return str(found)
    while error.__cause__ is not None:  # MONAI wraps what a transform raises
        error = error.__cause__
    return f"{path}: {type(error).__name__}: {' '.join(str(error).split())}"


def plain_meta(meta: Mapping[Any, Any]) -> dict[str, Any]:
    """What of a tensor's ``meta`` can be written as JSON; paths and what may name a person are left out."""
    plain = {}
    for key, value in meta.items():
        if not isinstance(key, str) or _PRIVATE.search(key):
            continue
        try:
            plain[key] = _plain(value)
        except TypeError:
            continue
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return plain_meta(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form")
