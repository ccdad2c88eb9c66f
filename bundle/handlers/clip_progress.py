# SPDX-License-Identifier: Apache-2.0
"""A progress bar over clips and their frames."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from ..inferers.cine_chunks import CineChunks
from ..keys import Keys
from .clip_outputs import Chunk, ClipWriter


class ClipProgress(ClipWriter):
    """A tqdm bar over all clips, with the clip's frames beside it. Lines that are logged appear above it."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.open = ExitStack()
        self.ended = 0

    def start(self, dataset: CineChunks) -> None:
        from tqdm.auto import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        self.ended, total = 0, len(dataset.data)
        self.bar = self.open.enter_context(tqdm(total=total, desc="clips", unit="clip", dynamic_ncols=True))
        self.open.enter_context(logging_redirect_tqdm())

    def add(self, chunk: Chunk, predicted: Any) -> None:
        done = chunk[Keys.POSITION] + len(chunk[Keys.FRAME_INDEX])
        self.bar.set_postfix(frame=f"{done}/{chunk[Keys.COUNT]}", refresh=False)
        self.bar.update(chunk[Keys.INDEX] + (done == chunk[Keys.COUNT]) - self.bar.n)

    def end(self, chunk: Chunk) -> None:
        self.ended += 1

    def finish(self, dataset: CineChunks) -> None:
        self.bar.update(self.ended + len(dataset.failed) - self.bar.n)

    def close(self) -> None:
        self.open.close()
