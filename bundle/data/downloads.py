# SPDX-License-Identifier: Apache-2.0
"""Files from the net: fetched in pieces that a later start goes on from, and checked before they get their name."""

from __future__ import annotations

import errno
import hashlib
import http.client
import logging
import os
import shutil
import time
import urllib.error
import urllib.request
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ..errors import InputError
from ..files import cannot_write, made_folder

logger = logging.getLogger(__name__)

USER_AGENT = "ultrasound-video-ssl"
TIMEOUT_SECONDS = 60
TRIES = 5
"""How often a broken connection is tried again before the run ends; what was fetched stays for the next one."""

_CHUNK = 1 << 20
_AGAIN_LATER = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch.

    Attributes:
        url: where it is.
        name: what it is called here, a path below the data folder.
        size: bytes, where the publisher states them.
        checksum: ``md5:...``, ``sha256:...`` or ``git:...`` (the SHA-1 that git gives the content) as the publisher
            states it; empty where he states none.
    """

    url: str
    name: str
    size: int | None = None
    checksum: str = ""


class NotFetched(InputError):
    """What the server does not give: a person with a browser may get it all the same."""


class _BrokenOff(Exception):
    """A connection that ended early, or was refused for now."""


def fetch(
    file: RemoteFile, folder: str | os.PathLike[str], *, wait_seconds: float = 2.0, progress: bool = True
) -> Path:
    """Fetch ``file`` to its name below ``folder`` unless it is there, whole and unchanged.

    What arrives is written to ``NAME.part`` and renamed when size and checksum are right. A part left by a broken
    connection, a full disk or a stopped program is gone on from, if the server can (HTTP Range), and if the publisher
    states a checksum or the server says (``If-Range``) that the file is still the same; else it is fetched anew.

    Args:
        file: what to fetch.
        folder: the data folder.
        wait_seconds: time before the second try after a broken connection; it doubles with each further one.
        progress: show a progress bar.

    Raises:
        NotFetched: the server refuses or sends something else, the connection breaks again and again, or the checksum
            is wrong.
        InputError: the file cannot be written, or another one has its name.
    """
    path = Path(folder) / file.name
    part = path.with_name(path.name + ".part")
    if path.is_file():
        if reason := wrong(path, file):
            raise InputError(f"{path}: there already with {reason}: take it away to fetch it anew")
        return path
    made_folder(path.parent)
    try:
        for attempt in range(TRIES):
            try:
                _go_on(file, part, progress)
                break
            except _BrokenOff as error:
                if attempt + 1 == TRIES:
                    have = part.stat().st_size if part.exists() else 0
                    raise NotFetched(
                        f"{file.url}: broken off {TRIES} times, the last time with {error}: {_megabytes(have)} of "
                        f"{_megabytes(file.size)} are in {part}; start again to go on from there"
                    ) from error
                logger.info("%s: broken off (%s); trying again", file.url, error)
                time.sleep(wait_seconds * 2**attempt)
        if reason := wrong(part, file) or _no_archive(part, path):
            _forget(part)
            raise NotFetched(f"{file.url}: {reason}: what came was deleted; start again to fetch it anew")
        os.replace(part, path)
        _forget(part)
    except OSError as error:
        raise cannot_write(part, error) from error
    return path


def wrong(path: Path, file: RemoteFile) -> str:
    """What is wrong with the file at ``path``: found and expected; empty if nothing is."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"{size} bytes, expected {file.size}"
    kind, _, stated = file.checksum.partition(":")
    if not stated:
        return ""
    found = digest(path, kind)
    return "" if found == stated.lower() else f"{kind} {found}, the publisher states {stated}"


def digest(path: Path, kind: str = "sha256") -> str:
    """The checksum of a file in hex: ``md5``, ``sha256`` or ``git`` (SHA-1 of git's header and the content)."""
    if kind == "git":
        summed = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    else:
        summed = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: summed).hexdigest()


def open_url(url: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    """The server's answer.

    Raises:
        NotFetched: the server refuses, or is not to be trusted.
        _BrokenOff: it does not answer, or not now.
    """
    request = urllib.request.Request(url, headers={"User-Agent": USER_AGENT, **(headers or {})})
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code in _AGAIN_LATER:
            raise _BrokenOff(f"HTTP {error.code} {error.reason}") from error
        raise NotFetched(f"{url}: the server refuses (HTTP {error.code} {error.reason})") from error
    except urllib.error.URLError as error:
        if "CERTIFICATE" in str(error.reason):
            raise NotFetched(f"{url}: the server's certificate is not valid ({error.reason})") from error
        raise _BrokenOff(str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOff(str(error) or type(error).__name__) from error


def read_url(url: str) -> bytes:
    """The content of a small answer, as a record of an archive.

    Raises:
        NotFetched: there is none.
    """
    try:
        with open_url(url) as answer:
            return answer.read()
    except (_BrokenOff, OSError, http.client.HTTPException) as error:
        raise NotFetched(f"{url}: no answer ({error}): try again later") from error


def _go_on(file: RemoteFile, part: Path, progress: bool) -> None:
    """Fetch what is missing of ``part``."""
    same = part.with_name(part.name + ".same")  # what the server calls this state of the file
    have = part.stat().st_size if part.exists() else 0
    if have and have == file.size:
        return
    headers = {}
    if have and (file.checksum or same.exists()):
        headers["Range"] = f"bytes={have}-"
        if same.exists():
            headers["If-Range"] = same.read_text(encoding="utf-8")
    try:
        answer = open_url(file.url, headers)
    except NotFetched as error:
        if not isinstance(error.__cause__, urllib.error.HTTPError) or error.__cause__.code != 416:
            raise
        _forget(part)  # longer than the file is now
        have = 0
        answer = open_url(file.url)
    with answer:
        if answer.status != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            if answer.status == 206:
                _forget(part)
                raise _BrokenOff(f"another piece than asked for ({answer.headers.get('Content-Range')})")
            have = 0
        left = int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else None
        total = file.size if left is None else have + left
        if file.name.endswith(".zip") and answer.headers.get_content_type() == "text/html":
            raise NotFetched(f"{file.url}: the server sends a web page, expected an archive")
        if file.size is not None and total != file.size:
            raise NotFetched(f"{file.url}: the server has {total} bytes, the publisher states {file.size}")
        missing = (total or 0) - have
        if missing > shutil.disk_usage(part.parent).free:
            raise cannot_write(part, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), missing)
        with (
            part.open("ab" if have else "wb") as out,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=not progress) as bar,
        ):
            if not have:  # now that nothing is left of another state
                same.unlink(missing_ok=True)
                if name := _name_of_state(answer):
                    same.write_text(name, encoding="utf-8")
            while chunk := _piece(answer):
                out.write(chunk)
                bar.update(len(chunk))
                have += len(chunk)
    if total is not None and have < total:
        raise _BrokenOff(f"{have} of {total} bytes")


def _name_of_state(answer: http.client.HTTPResponse) -> str:
    """What the server calls this state of the file; empty if it has no name that ``If-Range`` takes."""
    name = answer.headers.get("ETag", "")
    return name if name and not name.startswith("W/") else answer.headers.get("Last-Modified", "")


def _piece(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOff(str(error) or type(error).__name__) from error


def _no_archive(part: Path, path: Path) -> str:
    return "no zip archive" if path.name.endswith(".zip") and not zipfile.is_zipfile(part) else ""


def _forget(part: Path) -> None:
    for path in (part, part.with_name(part.name + ".same")):
        with suppress(FileNotFoundError):
            path.unlink()


def _megabytes(size: int | None) -> str:
    return "an unknown size" if size is None else f"{size / 1e6:.1f} MB"
