# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from bundle.data.archives import unpack
from bundle.errors import InputError


def packed(path: Path, **content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def test_files_are_unpacked_once(tmp_path: Path) -> None:
    names = {"set/a.png": b"a" * 50, "set/deep/er/b.png": b"b", "__MACOSX/set/._a.png": b"x", "set/.DS_Store": b"x"}
    archive = packed(tmp_path / "a.zip", **names)
    with zipfile.ZipFile(archive, "a") as more:
        more.mkdir("set/empty")
    unpack(archive, tmp_path / "out")
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {"set/a.png", "set/deep/er/b.png"}
    assert (tmp_path / "out/set/a.png").read_bytes() == b"a" * 50

    (tmp_path / "out/set/a.png").write_bytes(b"A" * 50)  # there, with the right size
    (tmp_path / "out/set/deep/er/b.png").write_bytes(b"half")
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/set/a.png").read_bytes() == b"A" * 50
    assert (tmp_path / "out/set/deep/er/b.png").read_bytes() == b"b"


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/out.txt", "..\\out.txt", "C:\\out.txt"])
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    archive = packed(tmp_path / "a.zip", **{"good.txt": b"1", name: b"2"})
    with pytest.raises(InputError, match="leads out of the folder"):
        unpack(archive, tmp_path / "in" / "side")
    assert list(tmp_path.rglob("*.txt")) == []


def test_what_is_no_whole_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed(tmp_path / "a.zip", **{"a.bin": b"7" * 1000})
    content = archive.read_bytes()
    archive.write_bytes(content[:500])
    with pytest.raises(InputError, match=f"^{archive}: no whole zip archive"):
        unpack(archive, tmp_path / "out")
    archive.write_bytes(content.replace(b"7" * 1000, b"7" * 999 + b"8"))
    with pytest.raises(InputError, match=r"no whole zip archive \(Bad CRC-32"):
        unpack(archive, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    with pytest.raises(InputError, match="none.zip: cannot be read"):
        unpack(tmp_path / "none.zip", tmp_path / "out")

    archive.write_bytes(content)
    full = shutil.disk_usage(tmp_path)._replace(free=999)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(InputError, match="0.001 MB to write, 0.000999 MB free"):
        unpack(archive, tmp_path / "out")
