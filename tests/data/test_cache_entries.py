# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import mmap
import multiprocessing
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bundle.data.cache_entries import (
    LEFT_BEHIND_S,
    entry_path,
    forget_settings,
    note_settings,
    open_frames,
    read_entries,
    read_meta,
    read_settings,
    remove_entry,
    remove_left_behind,
    sole_maker,
    touch,
    write_entry,
)

CONTENTS = [f"{i:064x}" for i in (0xAB << 248, 1, 2)]


def frames(shape: tuple[int, ...] = (1, 3, 4, 5)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


def entry(cache_dir: Path, content: str = CONTENTS[0], used: float | None = None) -> str:
    path = entry_path(cache_dir, content, "0123456789ab")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write_entry(path, frames(), {"frame_times": [0.0, 0.5, 1.0]})
    if used is not None:
        os.utime(f"{path}.npy", (used, used))
    return path


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (3, 1000, 64, 64), (1, 1, 1, 1)])
def test_frames_are_a_plain_array_file_mapped_into_memory(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = str(tmp_path / "x")
    write_entry(path, frames(shape), {})
    mapped = open_frames(path)
    assert mapped.shape == shape and mapped.dtype == np.uint8
    assert np.array_equal(mapped, np.load(f"{path}.npy")) and np.array_equal(mapped, frames(shape))
    base = mapped
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)
    with pytest.raises(ValueError, match="read-only"):
        mapped[:] = 0
    os.unlink(f"{path}.npy")
    assert np.array_equal(mapped, frames(shape))  # what is in use survives


def test_entries_that_are_not_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    with pytest.raises(OSError):
        open_frames(path)
    with pytest.raises(OSError):
        read_meta(path)
    write_entry(path, frames(), {})
    whole = Path(f"{path}.npy").read_bytes()
    np.save(f"{path}.npy", np.zeros(3))
    other = Path(f"{path}.npy").read_bytes()
    for content in (b"", b"\x93NUMPY", whole[:-1], whole[:60], other):
        Path(f"{path}.npy").write_bytes(content)
        with pytest.raises(ValueError):
            open_frames(path)


def test_only_entries_are_found(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert read_entries(cache) == []
    paths = [entry(cache, content, used) for content, used in zip(CONTENTS, (300, 100, 200), strict=True)]
    older = cache / "00" / f"{CONTENTS[1]}"
    older.with_suffix(".npy").write_bytes(b"123")
    os.utime(older.with_suffix(".npy"), (400, 400))
    # nothing of this is an entry
    for name in ("00/mine.npy", "ab/notes.json", "zz/" + CONTENTS[1] + ".npy", "digests.json", CONTENTS[1] + ".npy"):
        (cache / name).parent.mkdir(exist_ok=True)
        (cache / name).touch()
    (cache / "00" / f"{CONTENTS[2]}.npy").mkdir()
    elsewhere = tmp_path / "elsewhere"
    outside = entry(elsewhere, CONTENTS[0])
    (cache / "cd").symlink_to(elsewhere / "ab")
    (cache / "00" / f"{CONTENTS[0]}.npy").symlink_to(f"{outside}.npy")

    entries = read_entries(cache)
    assert [one.path for one in entries] == [paths[1], paths[2], paths[0], str(older)]  # longest unused first
    assert [one.settings for one in entries] == ["0123456789ab"] * 3 + [""]
    assert [one.last_used for one in entries] == [100, 200, 300, 400]
    size = sum(os.path.getsize(paths[1] + suffix) for suffix in (".npy", ".json"))
    assert [one.n_bytes for one in entries] == [size] * 3 + [3]
    before = set(cache.rglob("*"))
    assert all(remove_entry(one) for one in entries)
    assert before - set(cache.rglob("*")) == {
        *(Path(path + suffix) for path in paths for suffix in (".npy", ".json")),
        older.with_suffix(".npy"),
    }
    assert os.path.exists(f"{outside}.npy") and read_entries(cache) == []
    assert remove_entry(entries[0])  # gone already


def test_use_is_noted(tmp_path: Path) -> None:
    path = entry(tmp_path, used=100)
    assert touch(path) and read_entries(tmp_path)[0].last_used > time.time() - 60
    assert not touch(str(tmp_path / "gone"))


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    path = entry(tmp_path)
    folder = Path(path).parent
    old = [folder / f".{CONTENTS[0]}-0123456789ab.npy.12.34.part.npy", folder / f"{CONTENTS[0]}-0123456789ab.lock"]
    kept = [folder / ".note.part.npy", folder / "some.lock", folder / f".{CONTENTS[0]}.npy.1.2.part.npy"]
    for file in old + kept:
        file.write_bytes(b"12345")
    for file in old + kept[:2]:
        os.utime(file, (time.time() - LEFT_BEHIND_S - 10,) * 2)
    assert remove_left_behind(tmp_path) == 10
    assert not any(file.exists() for file in old) and all(file.exists() for file in kept)
    assert read_entries(tmp_path)


def test_settings_are_noted_until_they_are_forgotten(tmp_path: Path) -> None:
    note_settings(tmp_path, "0123456789ab", '{"size": 64}')
    note_settings(tmp_path, "0123456789ac", "[broken")
    (tmp_path / "settings" / "mine.json").write_text("{}")
    assert read_settings(tmp_path) == {"0123456789ab": {"size": 64}}
    forget_settings(tmp_path, {"0123456789ab"})
    assert sorted(path.name for path in (tmp_path / "settings").iterdir()) == ["0123456789ab.json", "mine.json"]
    assert read_settings(tmp_path / "nothere") == {}


def test_one_at_a_time_makes_an_entry(tmp_path: Path) -> None:
    path = entry_path(tmp_path, CONTENTS[0], "0123456789ab")
    order: list[str] = []

    def other() -> None:
        with sole_maker(path, wait=False) as mine:
            order.append(f"at once {mine}")
        with sole_maker(path, wait=True) as mine:
            order.append(f"waited {mine}")

    thread = threading.Thread(target=other)
    with sole_maker(path, wait=False) as mine:
        assert mine
        thread.start()
        while not order:
            pass
        order.append("first is ready")
    thread.join()
    assert order == ["at once False", "first is ready", "waited True"]
    assert list(tmp_path.rglob("*.lock")) == []


def _die_making(path: str) -> None:
    with sole_maker(path, wait=False):
        os._exit(1)


def test_a_maker_that_dies_holds_nothing(tmp_path: Path) -> None:
    path = entry_path(tmp_path, CONTENTS[0], "0123456789ab")
    process = multiprocessing.get_context("fork").Process(target=_die_making, args=(path,))
    process.start()
    process.join()
    assert os.path.exists(f"{path}.lock")
    with sole_maker(path, wait=False) as mine:
        assert mine
