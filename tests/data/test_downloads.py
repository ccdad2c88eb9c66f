# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import hashlib
import io
import os
import resource
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bundle.data import downloads
from bundle.data.downloads import TRIES, NotFetched, RemoteFile, digest, fetch
from bundle.errors import InputError

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def server(file_server: Any) -> Any:
    file_server.files["/set.bin"] = CONTENT
    return file_server


def remote(server: Any, **of: Any) -> RemoteFile:
    return RemoteFile(f"{server.url}/set.bin", "below/set.bin", **of)


def get(file: RemoteFile, folder: Path) -> Path:
    return fetch(file, folder, wait_seconds=0, progress=False)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["md5", "sha256", "git", ""])
def test_a_file_is_fetched_once_and_checked(server: Any, tmp_path: Path, kind: str) -> None:
    stated = hashlib.new(kind, CONTENT).hexdigest() if kind in ("md5", "sha256") else ""
    if kind == "git":
        git = subprocess.run(["git", "hash-object", "--stdin"], input=CONTENT, capture_output=True, check=True)
        stated = git.stdout.decode().strip()
    file = remote(server, size=len(CONTENT), checksum=f"{kind}:{stated}" if kind else "")
    path = get(file, tmp_path)
    assert path == tmp_path / "below" / "set.bin" and path.read_bytes() == CONTENT
    assert get(file, tmp_path) == path and len(server.asked) == 1
    assert left(tmp_path) == ["set.bin"] and digest(path) == hashlib.sha256(CONTENT).hexdigest()


def test_a_broken_connection_is_gone_on_from(server: Any, tmp_path: Path) -> None:
    server.break_after["/set.bin"] = [1000, 2000, 0]
    checksum = "md5:" + hashlib.md5(CONTENT).hexdigest()
    assert get(remote(server, checksum=checksum), tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == ["", "bytes=1000-", "bytes=3000-", "bytes=3000-"]
    assert left(tmp_path) == ["set.bin"]


def test_a_later_start_goes_on(server: Any, tmp_path: Path) -> None:
    server.headers["/set.bin"] = {"ETag": '"one"'}
    server.break_after["/set.bin"] = [1000] + [0] * (TRIES - 1)
    with pytest.raises(NotFetched) as error:
        get(remote(server), tmp_path)
    part = tmp_path / "below" / "set.bin.part"
    assert str(error.value) == (
        f"{server.url}/set.bin: broken off {TRIES} times, the last time with 1000 of 10240 bytes: 0.0 MB of an unknown "
        f"size are in {part}; start again to go on from there"
    )
    assert part.read_bytes() == CONTENT[:1000] and not (tmp_path / "below" / "set.bin").exists()
    server.asked.clear()
    assert get(remote(server), tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == ["bytes=1000-"]
    assert left(tmp_path) == ["set.bin"]


@pytest.mark.parametrize("change", ["etag", "no ranges", "nothing says that it is the same"])
def test_what_cannot_be_gone_on_from_is_fetched_anew(server: Any, tmp_path: Path, change: str) -> None:
    if change != "nothing says that it is the same":
        server.headers["/set.bin"] = {"ETag": '"one"'}
    server.break_after["/set.bin"] = [1000]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downloads, "TRIES", 1)
        with pytest.raises(NotFetched):
            get(remote(server), tmp_path)
    if change == "etag":
        server.headers["/set.bin"] = {"ETag": '"two"'}
    if change != "no ranges":
        server.files["/set.bin"] = CONTENT[::-1]
    server.ranges = change != "no ranges"
    assert get(remote(server), tmp_path).read_bytes() == server.files["/set.bin"]


def test_a_part_longer_than_the_file_is_fetched_anew(server: Any, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "set.bin.part").write_bytes(CONTENT * 2)
    checksum = "md5:" + hashlib.md5(CONTENT).hexdigest()
    assert get(remote(server, checksum=checksum), tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server: Any, tmp_path: Path) -> None:
    found = hashlib.md5(CONTENT).hexdigest()
    with pytest.raises(NotFetched) as error:
        get(remote(server, checksum="md5:0123"), tmp_path)
    assert f"md5 {found}, the publisher states 0123" in str(error.value) and left(tmp_path) == []


def test_what_is_there_is_not_replaced(server: Any, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "set.bin").write_bytes(b"mine")
    with pytest.raises(InputError, match="set.bin: there already with 4 bytes, expected 10240: take it away"):
        get(remote(server, size=len(CONTENT)), tmp_path)
    assert (tmp_path / "below" / "set.bin").read_bytes() == b"mine" and not server.asked


def test_refusals(server: Any, tmp_path: Path) -> None:
    server.status["/set.bin"] = [503, 429]
    assert get(remote(server), tmp_path / "a").read_bytes() == CONTENT
    server.status["/set.bin"] = [403]
    with pytest.raises(NotFetched, match=r"the server refuses \(HTTP 403 Forbidden\)"):
        get(remote(server), tmp_path / "b")
    with pytest.raises(NotFetched, match="the server has 10240 bytes, the publisher states 7"):
        get(remote(server, size=7), tmp_path / "c")
    assert left(tmp_path / "b") == left(tmp_path / "c") == []
    gone = RemoteFile("http://127.0.0.1:9/x", "x")
    with pytest.raises(NotFetched, match=f"broken off {TRIES} times, the last time with .*refused"):
        get(gone, tmp_path)


def test_an_archive_has_to_be_one(server: Any, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", CONTENT)
    server.files["/set.zip"] = packed.getvalue()
    file = RemoteFile(f"{server.url}/set.zip", "set.zip")
    server.headers["/set.zip"] = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(NotFetched, match="the server sends a web page, expected an archive"):
        get(file, tmp_path)
    server.headers["/set.zip"] = {"Content-Type": "application/zip"}
    server.lengths = False  # as archives that are made while they are sent: nobody sees that it is broken off
    server.break_after["/set.zip"] = [9000]
    with pytest.raises(NotFetched, match="no zip archive: what came was deleted"):
        get(file, tmp_path)
    assert left(tmp_path) == []
    assert get(file, tmp_path).read_bytes() == packed.getvalue()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Within the block no file can grow beyond ``size`` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checksum = "md5:" + hashlib.md5(CONTENT).hexdigest()
    with largest_file(4096), pytest.raises(InputError) as error:
        get(remote(server, checksum=checksum), tmp_path)
    part = tmp_path / "below" / "set.bin.part"
    assert str(error.value).startswith(f"{part}: cannot be written ({os.strerror(errno.EFBIG)}: ")
    assert part.read_bytes() == CONTENT[:4096]
    server.asked.clear()
    assert get(remote(server, checksum=checksum), tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == ["bytes=4096-"]

    full = shutil.disk_usage(tmp_path)._replace(free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device: 0.0102 MB to write, 0.005 MB"):
        get(remote(server), tmp_path / "other")
    assert left(tmp_path / "other") == []
