# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import runpy
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.data import FrameCache
from bundle.data.cache_entries import LEFT_BEHIND_S
from bundle.errors import InputError
from bundle.keys import Keys
from bundle.transforms import preprocessing

SCRIPT = Path(__file__).parents[2] / "scripts" / "manage_cache.py"
DAY = 86400


def run(*arguments: object) -> None:
    runpy.run_path(str(SCRIPT))["main"]([str(argument) for argument in arguments])


def noise(data: dict[str, str]) -> dict[str, torch.Tensor]:
    seed = int(Path(data[Keys.IMAGE]).stem)
    frames = np.random.default_rng(seed).integers(0, 255, (1, 10, 100, 100), dtype=np.uint8)
    return {Keys.IMAGE: torch.from_numpy(frames)}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Entries of 0.1 MB: three of one preprocessing, used 0, 10 and 20 days ago, and one of another, of 30 days ago."""
    from PIL import Image

    records = []
    for i in range(3):
        Image.new("L", (32, 32), 50 * i).save(tmp_path / f"{i}.png")
        records.append({Keys.IMAGE: str(tmp_path / f"{i}.png")})
    folder = tmp_path / "cache"
    FrameCache(folder, preprocessing(100)).fill(records[:1], progress=False)
    other = set(folder.rglob("*.npy"))
    FrameCache(folder, noise).fill(records, progress=False)
    (old,) = other
    os.utime(old, (time.time() - 30 * DAY,) * 2)
    for i, path in enumerate(sorted(set(folder.rglob("*.npy")) - other)):
        os.utime(path, (time.time() - 10 * i * DAY,) * 2)
    return folder


def entries(cache: Path) -> int:
    return len(list(cache.rglob("*.npy")))


def settings(cache: Path) -> list[str]:
    """The digests in the order of the list, by last use."""
    return [path.stem for path in sorted((cache / "settings").iterdir(), key=lambda path: b"size" in path.read_bytes())]


def test_list(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(cache.rglob("*"))
    run("list", "--cache-dir", cache)
    total, head, *rows = capsys.readouterr().out.splitlines()
    assert total == f"{cache}: 4 entries, 0.3 MB" and head.split() == "settings files MB last used made by".split()
    noisy, sized = settings(cache)
    today, then = (time.strftime("%Y-%m-%d", time.localtime(time.time() - days * DAY)) for days in (0, 30))
    assert rows[0].split()[:4] == [noisy, "3", "0.3", today] and rows[0].split()[-1] == "noise"
    assert rows[1].split()[:4] == [sized, "1", "0.0", then] and rows[1].endswith("ResizeFramesd(size=100)")
    run("list", "--cache-dir", cache, "--older-than", 15)
    assert "2 entries, 0.1 MB" in capsys.readouterr().out
    assert set(cache.rglob("*")) == before


def test_trim(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("trim", "--cache-dir", cache, "--older-than", 25)
    assert capsys.readouterr().out == f"{cache}: removed 1 entry, 0.0 MB; 3 entries, 0.3 MB left\n"
    assert len(list((cache / "settings").iterdir())) == 1  # nobody needs the other's any more
    run("trim", "--cache-dir", cache, "--max-gb", 0.00025)
    assert entries(cache) == 2
    run("trim", "--cache-dir", cache, "--max-gb", 0)
    out = capsys.readouterr().out
    assert entries(cache) == 1 and "the rest was used within the last hour" in out
    for arguments in (["trim"], ["trim", "--max-gb", "-1"], ["tidy"]):
        with pytest.raises(SystemExit):
            run(*arguments, "--cache-dir", cache)
    assert entries(cache) == 1


def test_trim_removes_what_killed_processes_left(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = next(cache.rglob("*.npy"))
    part = entry.with_name(f".{entry.name}.12.34.part.npy")
    part.write_bytes(bytes(10**6))
    os.utime(part, (time.time() - LEFT_BEHIND_S - 1,) * 2)
    run("trim", "--cache-dir", cache, "--max-gb", 1)
    assert "removed 0 entries, 0.0 MB and 1.0 MB of unfinished files; 4 entries" in capsys.readouterr().out
    assert not part.exists()


def test_clear(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="4 entries, 0.3 MB would be removed: add --yes to do so"):
        run("clear", "--cache-dir", cache)
    assert entries(cache) == 4
    noisy, sized = settings(cache)
    with pytest.raises(InputError, match=f"no entries of settings '64': expected one of .*{noisy}"):
        run("clear", "--cache-dir", cache, "--settings", 64, "--yes")
    run("clear", "--cache-dir", cache, "--settings", sized, "--yes")
    assert entries(cache) == 3 and settings(cache) == [noisy]
    run("clear", "--cache-dir", cache, "--older-than", 15, "--yes")
    assert entries(cache) == 2
    run("clear", "--cache-dir", cache, "--yes")
    assert capsys.readouterr().out.endswith("removed 2 entries, 0.2 MB; 0 entries, 0.0 MB left\n")
    assert [path.name for path in cache.rglob("*") if path.is_file() and path.name != "digests.json"] == []


def test_what_is_no_entry_stays(cache: Path, tmp_path: Path) -> None:
    entry = next(cache.rglob("*.npy"))
    mine = tmp_path / "mine"
    (mine / "ab").mkdir(parents=True)
    theirs = mine / "ab" / entry.name
    theirs.write_bytes(b"1")
    link = next(cache / f"{i:02x}" for i in range(256) if not (cache / f"{i:02x}").exists())
    link.symlink_to(mine / "ab")
    (cache / "settings" / "note.json").write_text("{}")
    (cache / "readme.txt").touch()
    run("clear", "--cache-dir", cache, "--yes")
    assert theirs.exists() and link.is_symlink() and entries(cache) == 0
    assert (cache / "settings" / "note.json").exists() and (cache / "readme.txt").exists()


@pytest.mark.parametrize("arguments", [["list"], ["trim", "--max-gb", "1"], ["clear", "--yes"], ["clear"]])
def test_no_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    run(*arguments, "--cache-dir", tmp_path / "nothere")
    assert "0 entries, 0.0 MB" in capsys.readouterr().out and not (tmp_path / "nothere").exists()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: not a folder"):
        run(*arguments, "--cache-dir", tmp_path / "file")
