# SPDX-License-Identifier: Apache-2.0
"""Filling a frame cache: bounds, several processes, full disks, and what is told."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import resource
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform

import bundle.data.digests
from bundle.data import FrameCache
from bundle.errors import InputError
from bundle.keys import Keys


class ReadBytesd(MapTransform):
    """A stand-in for decoding: the bytes of a file as frames of 4 x 4; says in a file what it decodes.

    Warns of files called odd, as readers do, and of other things; cannot read files called bad.
    """

    def __init__(self, log: Path) -> None:
        super().__init__(Keys.IMAGE)
        self._log = log

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        path = Path(data[Keys.IMAGE])
        with self._log.open("a") as file:
            file.write(f"{path.name}\n")
        if path.name.startswith("odd"):
            for _ in range(2):
                warnings.warn(f"{path}: says 3 frames,\n holds 5", stacklevel=2)
            warnings.warn("about nothing in particular", stacklevel=2)
        if path.name.startswith("bad"):
            raise InputError(f"{path}: found rubbish, expected a clip")
        frames = np.frombuffer(path.read_bytes(), np.uint8).reshape(1, -1, 4, 4)
        return {Keys.IMAGE: MetaTensor(torch.from_numpy(frames.copy()), meta={"spacing": (0.5, 0.25)})}


def clip(path: Path, seed: int = 0, frames: int = 3) -> dict[str, Any]:
    path.write_bytes(np.random.default_rng(seed).integers(1, 90, 16 * frames, dtype=np.uint8).tobytes())
    return {Keys.IMAGE: str(path)}


def decoded(tmp_path: Path) -> list[str]:
    """The names of the files decoded so far, in any process."""
    return (tmp_path / "log").read_text().split()


def cached(tmp_path: Path, kilobytes: float = 50e6) -> FrameCache:
    return FrameCache(tmp_path / "cache", ReadBytesd(tmp_path / "log"), max_gb=kilobytes / 1e6)


def right(cache: FrameCache, record: dict[str, Any]) -> bool:
    return cache.frames(record).tobytes() == Path(record[Keys.IMAGE]).read_bytes()


def entries(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "cache").rglob("*.npy"))


def test_old_entries_make_room_for_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle.data.digests, "_SETTLED_NS", -(10**12))  # every file counts as settled
    records = [clip(tmp_path / f"clip{i}", seed=i, frames=1000) for i in range(4)]  # 16 kB each
    cache = cached(tmp_path, 68)
    cache.fill(records[:2], progress=False)
    for path in entries(tmp_path):
        os.utime(path, (1000, 1000))
    cache.fill(records[1:], progress=False)
    assert len(decoded(tmp_path)) == 4 and len(entries(tmp_path)) == 3
    for record in records:  # the one that went is decoded, but not kept, since the others are in use
        assert right(cache, record)
    assert len(decoded(tmp_path)) == 5 and len(entries(tmp_path)) == 3


def test_a_set_larger_than_the_cache_is_refused(tmp_path: Path) -> None:
    small = clip(tmp_path / "small")
    cache = cached(tmp_path, 400)
    cache.fill([small], progress=False)
    records = [clip(tmp_path / f"clip{i}", seed=i, frames=500) for i in range(300)]  # 8 kB each
    with pytest.raises(InputError, match=f"{tmp_path / 'cache'}: no room: the first 32 of 300 files took") as error:
        cache.fill(records, progress=False)
    assert "cache_gb" in str(error.value) and "\n" not in str(error.value)
    assert len(decoded(tmp_path)) < 60
    assert right(cache, small) and len(decoded(tmp_path)) < 60
    assert not list((tmp_path / "cache").rglob(".*"))


def test_what_cannot_be_kept_is_decoded_each_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    record = clip(tmp_path / "a", frames=1000)
    cache = cached(tmp_path, 10)
    with pytest.raises(InputError, match="no room for 2.01e-05 GB"):
        cache.fill([record], progress=False)
    for _ in range(2):
        assert right(cache, record)
        assert cache.meta(record)["spacing"] == [0.5, 0.25]
    with pytest.raises(ValueError, match="read-only"):
        cache.frames(record)[:] = 0
    assert len([text for text in caplog.messages if "decoded at each access" in text]) == 1


def _fill(tmp_path: Path, records: list[dict[str, Any]], largest_file: int, results: Any) -> None:
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    cache = cached(tmp_path)
    try:
        report = cache.fill(records, progress=False)
        results.put((report.ok, all(right(cache, record) for record in records)))
    except InputError as error:
        results.put(str(error))


def filled_by_processes(tmp_path: Path, *sets: list[dict[str, Any]], largest_file: int = 0) -> list[Any]:
    """How many files each of several processes has ready at the same time, and whether all hold what they should."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_fill, args=(tmp_path, records, largest_file, results)) for records in sets]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    return found


def test_several_processes_fill_one_cache(tmp_path: Path) -> None:
    records = [clip(tmp_path / f"clip{i}", seed=i, frames=2000) for i in range(40)]
    found = filled_by_processes(tmp_path, *(records[first : first + 30] for first in (0, 5, 10)))
    assert found == [(30, True)] * 3
    assert sorted(decoded(tmp_path)) == sorted(f"clip{i}" for i in range(40))  # each once
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len([path for path in files if path.suffix == ".npy"]) == 40
    assert not [path for path in files if path.name.startswith(".") or path.suffix == ".lock"]


def test_a_full_disk_ends_in_one_line(tmp_path: Path) -> None:
    small, large = (clip(tmp_path / f"clip{n}", frames=n) for n in (10, 1000))
    assert filled_by_processes(tmp_path, [small]) == [(1, True)]
    (error,) = filled_by_processes(tmp_path, [small, large], largest_file=4000)
    assert f"{tmp_path / 'cache'}: cannot be written (File too large: 0.016 MB to write, " in error
    assert "\n" not in error
    files = [path.name for path in (tmp_path / "cache").rglob("*.*") if path.name != "digests.json"]
    assert sorted(Path(name).suffix for name in files) == [".json", ".json", ".npy"]  # settings, and the small one
    assert filled_by_processes(tmp_path, [small, large]) == [(2, True)]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    record = clip(tmp_path / "a")
    cache = cached(tmp_path)

    def refuse(path: Path, *more: Any, **named: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(InputError) as error:
        cache.fill([record], progress=False)
    assert f"{tmp_path / 'cache'}: cannot be written ({os.strerror(code)}" in str(error.value)
    assert ("MB free" in str(error.value)) == (code != errno.EROFS)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_what_readers_warn_of_is_told_once_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(2):
        (tmp_path / f"bad{i}").write_bytes(b"bad" + bytes([i]))
    records = [{Keys.IMAGE: str(tmp_path / f"bad{i}")} for i in range(2)]
    records += [clip(tmp_path / f"{'odd' if i < 3 else 'good'}{i}", seed=i) for i in range(18)]
    cache = cached(tmp_path)
    with caplog.at_level(logging.INFO), pytest.warns(UserWarning, match="nothing in particular") as others:
        cache.fill(records, progress=False)
        cache.fill(records[2:], progress=False)
    assert all("in particular" in str(warning.message) for warning in others)
    assert caplog.messages == [
        *(f"{tmp_path / f'odd{i}'}: says 3 frames, holds 5" for i in range(3)),
        *(f"left out: {tmp_path / f'bad{i}'}: found rubbish, expected a clip" for i in range(2)),
        f"frame cache {tmp_path / 'cache'}: 18 of 20 files ready, 18 decoded now (0.000864 MB), 3 with warnings, "
        "2 left out",
        f"frame cache {tmp_path / 'cache'}: 18 of 18 files ready",
    ]
