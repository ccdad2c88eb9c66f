# SPDX-License-Identifier: Apache-2.0
"""What all tests share."""

from __future__ import annotations

import http.server
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent / "references"))  # other projects' networks, which several tests need

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)  # workers share the cores


@pytest.fixture(scope="session")
def ultrasound_data() -> Path:
    """The folder of real ultrasound named by ULTRASOUND_DATA; tests that need it are skipped without it."""
    folder = os.environ.get("ULTRASOUND_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real ultrasound: set ULTRASOUND_DATA to its folder")
    return Path(folder)


class FileServer:
    """Files over HTTP on this machine, with and without ranges, whole or broken off.

    Attributes:
        files: content by path.
        headers: further headers by path, as ``ETag`` or ``Content-Type``.
        status: answers by path that are given once each before the file.
        break_after: bytes by path after which the connection is cut, as often as the list is long.
        ranges: whether pieces are given.
        lengths: whether ``Content-Length`` is said.
        asked: what was asked for: path, and the header Range or "".
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.status: dict[str, list[int]] = {}
        self.break_after: dict[str, list[int]] = {}
        self.ranges = True
        self.lengths = True
        self.asked: list[tuple[str, str]] = []
        state = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                state.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        asked = request.headers.get("Range", "")
        self.asked.append((path, asked))
        refusal = self.status[path].pop(0) if self.status.get(path) else 0
        if path not in self.files or refusal:
            request.send_error(refusal or 404)
            return
        content, headers = self.files[path], self.headers.get(path, {})
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        if request.headers.get("If-Range", headers.get("ETag")) != headers.get("ETag"):
            start = 0
        if start and start >= len(content):
            request.send_error(416)
            return
        lengths, piece = self.lengths, content[start:]
        if self.break_after.get(path):
            piece = piece[: self.break_after[path].pop(0)]
        request.send_response(206 if start else 200)
        for name, value in headers.items():
            request.send_header(name, value)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if lengths:
            request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()  # from here on the other side goes on, and may change what is served
        request.wfile.write(piece)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    """A server of files on this machine (see `FileServer`)."""
    server = FileServer()
    yield server
    server.close()
