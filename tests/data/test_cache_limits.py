# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import time
from collections import namedtuple
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest

import bundle.data.cache_limits
from bundle.data.cache_entries import entry_path, read_entries, write_entry
from bundle.data.cache_limits import CacheLimits, remove_unused
from bundle.errors import InputError

HOUR = 3600
Usage = namedtuple("Usage", "total used free")


def write(cache_dir: Path, i: int, kilobytes: int = 100) -> str:
    path = entry_path(cache_dir, f"{i:064x}", "0123456789ab")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write_entry(path, np.zeros((1, kilobytes, 10, 100), np.uint8), {})
    return path


def entries(cache_dir: Path, *ages_in_hours: float, kilobytes: int = 100) -> list[str]:
    """Entries of so many kilobytes, used so many hours ago."""
    paths = [write(cache_dir, i, kilobytes) for i in range(len(ages_in_hours))]
    for path, age in zip(paths, ages_in_hours, strict=True):
        os.utime(f"{path}.npy", (time.time() - age * HOUR,) * 2)
    return paths


def add(limits: CacheLimits, i: int, kilobytes: int = 100, needed: Collection[str] = ()) -> str:
    with limits.room_for(entry_path(limits.cache_dir, f"{i:064x}", "0123456789ab"), kilobytes * 1000, lambda: needed):
        return write(limits.cache_dir, i, kilobytes)


def left(cache_dir: Path) -> set[str]:
    return {entry.path for entry in read_entries(cache_dir)}


def disk(monkeypatch: pytest.MonkeyPatch, **kilobytes: float) -> None:
    usage = Usage(**{"total": 10**9, "used": 0, **{name: value * 1000 for name, value in kilobytes.items()}})
    monkeypatch.setattr(bundle.data.cache_limits.shutil, "disk_usage", lambda path: usage)


def test_what_was_unused_for_longest_goes_first(tmp_path: Path) -> None:
    a, b, c, d = entries(tmp_path, 5, 9, 3, 0.5)
    limits = CacheLimits(tmp_path, 0.00055)  # five entries of 0.1 MB
    e = add(limits, 10)
    assert left(tmp_path) == {a, b, c, d, e}
    f = add(limits, 11)
    assert left(tmp_path) == {a, c, d, e, f}
    g = add(limits, 12, kilobytes=200)
    assert left(tmp_path) == {d, e, f, g}
    # all that is left was used within the hour
    with pytest.raises(InputError, match="no room for 0.000104 GB of frames; it holds 0.0005") as error:
        add(limits, 13)
    assert str(error.value).startswith(str(tmp_path)) and "cache_gb" in str(error.value)
    assert "\n" not in str(error.value) and left(tmp_path) == {d, e, f, g}


def test_what_is_needed_stays(tmp_path: Path) -> None:
    a, b = entries(tmp_path, 5, 9)
    limits = CacheLimits(tmp_path, 0.00025)
    c = add(limits, 10, needed={b})
    assert left(tmp_path) == {b, c}
    with pytest.raises(InputError, match="no room"):
        add(limits, 11, needed={b})


def test_other_processes_count(tmp_path: Path) -> None:
    one, other = CacheLimits(tmp_path, 0.0005), CacheLimits(tmp_path, 0.0005)
    old = entries(tmp_path, 5, 6)
    mine = [add(one, 10, kilobytes=20), add(other, 11), add(other, 12)]
    mine += [add(one, 13, kilobytes=20), add(one, 14, kilobytes=20)]
    assert left(tmp_path) == {*old, *mine}
    mine.append(add(one, 15))
    assert left(tmp_path) == {old[0], *mine}


def test_what_is_being_written_counts(tmp_path: Path) -> None:
    limits = CacheLimits(tmp_path, 0.00025)
    with limits.room_for("a", 100_000), limits.room_for("b", 100_000):
        with pytest.raises(InputError, match="no room"):
            add(limits, 0)
        write(tmp_path, 1)
    with pytest.raises(InputError, match="no room"):
        add(limits, 0, kilobytes=200)
    add(limits, 0)


def test_what_is_written_and_on_the_disk_already_counts_once(tmp_path: Path) -> None:
    limits = CacheLimits(tmp_path, 0.00025)
    with limits.room_for(entry_path(tmp_path, f"{1:064x}", "0123456789ab"), 100_000):
        write(tmp_path, 1)
        add(limits, 0)


@pytest.mark.parametrize(("free", "fits"), [(700, True), (520, False)])
def test_the_disk_is_never_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, fits: bool) -> None:
    (path,) = entries(tmp_path / "not yet there", 0)
    disk(monkeypatch, total=10_000, free=free)  # a twentieth, 500 kB, stays free
    limits = CacheLimits(tmp_path / "not yet there", 50)
    if fits:
        assert add(limits, 10) in left(limits.cache_dir)
        return
    with pytest.raises(InputError, match=r"the disk has 0.00052 GB free, of which 0.0005 stay so"):
        add(limits, 10)


def test_a_large_disk_keeps_two_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, total=10**9, free=2_100_000)
    limits = CacheLimits(tmp_path, 50)
    with limits.room_for("a", 90_000_000):
        pass
    with pytest.raises(InputError, match="of which 2 stay so"), limits.room_for("b", 110_000_000):
        pass


@pytest.mark.parametrize(
    ("sizes", "n_left", "fails"),
    [
        ([100_000] * 32, 5, False),
        ([100_000] * 32, 60, True),  # 6 MB for 5
        ([100_000] * 31, 60, False),  # looked at every 32 files
        ([0, 200_000] * 16, 55, False),  # the same mean, but less sure
        ([0, 200_000] * 320, 100, True),
        ([0] * 64, 10**6, False),
    ],
)
def test_a_set_that_is_too_large_is_told_early(tmp_path: Path, sizes: list[int], n_left: int, fails: bool) -> None:
    limits = CacheLimits(tmp_path, 0.005)
    add(limits, 0, kilobytes=1)
    if not fails:
        return limits.check_forecast(sizes, n_left)
    with pytest.raises(InputError) as error:
        limits.check_forecast(sizes, n_left)
    assert f"the first {len(sizes)} of {len(sizes) + n_left} files took" in str(error.value)


def test_the_forecast_counts_on_what_may_go(tmp_path: Path) -> None:
    old = entries(tmp_path, *[5] * 4, kilobytes=500)
    limits = CacheLimits(tmp_path, 0.003)
    add(limits, 10, kilobytes=1)
    limits.check_forecast([50_000] * 32, 50)  # 2.5 MB, where 1 is free and 2 may go
    with pytest.raises(InputError, match="the others need about 0.0025 GB"):
        limits.check_forecast([50_000] * 32, 50, lambda: set(old))
    assert left(tmp_path) > set(old)


@pytest.mark.parametrize("max_gb", [0, -1, float("nan"), "50", None, True])
def test_a_bound_is_a_number_above_0(tmp_path: Path, max_gb: object) -> None:
    with pytest.raises(InputError, match="cache_gb"):
        CacheLimits(tmp_path, max_gb)


def test_removal_goes_by_last_use(tmp_path: Path) -> None:
    a, b, c = entries(tmp_path, 0, 30, 50)
    found = read_entries(tmp_path)
    assert [entry.path for entry in remove_unused(found, float("inf"), before=time.time() - 40 * HOUR)] == [c]
    assert [entry.path for entry in remove_unused(found[1:], 1)] == [b]
    assert left(tmp_path) == {a}
