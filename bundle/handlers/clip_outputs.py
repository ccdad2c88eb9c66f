# SPDX-License-Identifier: Apache-2.0
"""What inference writes of each clip while its chunks come in, and of all when it is over."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.utils import CommonKeys

from ..errors import InputError
from ..files import made_folder
from ..inferers.cine_chunks import CineChunks
from ..keys import Keys

logger = logging.getLogger(__name__)

Chunk = Mapping[str, Any]
"""What `CineChunks` hands out."""


class ClipWriter:
    """Writes something of each clip; `ClipOutputs` calls it.

    Attributes:
        unwritten: clips of which what was asked for could not be written, though their other results were.
    """

    unwritten: Sequence[str] = ()

    def start(self, dataset: CineChunks) -> None:
        """Before the first clip."""

    def begin(self, chunk: Chunk, files: ExitStack) -> None:
        """Before the first chunk of a clip is added.

        What enters ``files`` is closed after the clip's last chunk; with an error, so that a file written beside does
        not take its name, where the clip turns out to be damaged.
        """

    def add(self, chunk: Chunk, predicted: Any) -> None:
        """A chunk and what the network says of it, after the ``postprocessing`` of `ClipOutputs`."""

    def end(self, chunk: Chunk) -> None:
        """After the last chunk of a clip, given again."""

    def finish(self, dataset: CineChunks) -> None:
        """After the last clip, also where an error or Ctrl-C made it the last; the data set knows which failed."""

    def close(self) -> None:
        """At the end in any case."""


class ClipOutputs:
    """Hands every chunk to the writers.

    Args:
        writers: in the order in which they are called.
        dataset: whose chunks they are.
        postprocessing: of a chunk with what the network says under ``pred``, before the writers get it; None for none.
    """

    def __init__(
        self,
        writers: Sequence[ClipWriter],
        dataset: CineChunks,
        postprocessing: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
    ) -> None:
        self.writers = writers
        self.dataset = dataset
        self.postprocessing = postprocessing
        self.files: ExitStack | None = None
        self.unfinished: list[ClipWriter] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.step)
        engine.add_event_handler(Events.COMPLETED, self.finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.fail)

    def start(self, engine: Engine) -> None:
        self.unfinished = list(self.writers)
        for writer in self.writers:
            writer.start(self.dataset)

    def step(self, engine: Engine) -> None:
        chunk: Any = engine.state.batch
        predicted = engine.state.output[CommonKeys.PRED]  # type: ignore[index]
        if self.postprocessing is not None:
            predicted = self.postprocessing({**chunk, CommonKeys.PRED: predicted})[CommonKeys.PRED]
        if chunk[Keys.POSITION] == 0:
            self._abandon()
            self.files = ExitStack()
            for writer in self.writers:
                writer.begin(chunk, self.files)
        for writer in self.writers:
            writer.add(chunk, predicted)
        if chunk[Keys.POSITION] + len(chunk[Keys.FRAME_INDEX]) == chunk[Keys.COUNT]:
            files, self.files = self.files, None
            if files is not None:
                files.close()
            for writer in self.writers:
                writer.end(chunk)

    def finish(self, engine: Engine) -> None:
        self._abandon()
        while self.unfinished:
            self.unfinished.pop(0).finish(self.dataset)
        self._close()

    def fail(self, engine: Engine, error: BaseException) -> None:
        """Writes what is known of the clips that were done, and leaves nothing half written.

        ignite hands the exception over to whoever listens, some more than once.
        """
        self._abandon()
        while self.unfinished:
            try:
                self.unfinished.pop(0).finish(self.dataset)
            except Exception as further:  # the first error is the one to tell
                logger.warning("results of the clips so far: %s", further)
        self._close()
        raise error

    def _abandon(self) -> None:
        """Of a clip whose last chunk did not come nothing is kept."""
        files, self.files = self.files, None
        if files is not None:
            files.__exit__(_Abandoned, _Abandoned(), None)

    def _close(self) -> None:
        for writer in self.writers:
            writer.close()


class _Abandoned(Exception):
    """Thrown into the files of a clip that is not written."""


def output_path(folder: str | os.PathLike[str], chunk: Chunk, ending: str) -> Path:
    """The file of a clip: its name, folders and suffix included, and what the file is; its folder is made."""
    path = Path(folder) / f"{chunk[Keys.NAME]}{ending}"
    made_folder(path.parent)
    return path


def check_output_folder(output_dir: str | os.PathLike[str], source: str | os.PathLike[str], overwrite: bool) -> None:
    """Refuses early what would overwrite results, or put them among the clips.

    Raises:
        InputError: the folder holds something and ``overwrite`` is not asked for; or lies in the folder of clips, where
            they would be taken for clips the next time.
    """
    folder = Path(output_dir)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, a folder for results was expected; name another with --output_dir")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise InputError(
            f"{folder} already holds something; name another folder (--output_dir), or replace what has the same name "
            "(--overwrite True)"
        )
    clips = Path(source).resolve()
    if clips.is_dir() and clips in (folder.resolve(), *folder.resolve().parents):
        raise InputError(
            f"{folder}: lies in the folder of clips {source}, where results would be taken for clips the next time; "
            "name another with --output_dir"
        )


def tell_failed(dataset: CineChunks, output_dir: str | os.PathLike[str], writers: Sequence[ClipWriter] = ()) -> None:
    """Ends a run in which clips failed, with one line and the exit status of an error.

    Args:
        dataset: which knows the clips that could not be read.
        output_dir: where results are.
        writers: which know the clips of which something could not be written.

    Raises:
        InputError: a clip could not be read, or something of it not be written.
    """
    told = []
    if failed := [record[Keys.NAME] for record, _ in dataset.failed]:
        rest = len(dataset.data) - len(failed)
        told.append(
            f"{len(failed)} of {len(dataset.data)} inputs could not be used: {', '.join(failed)} (why: above, and "
            f"failed in {Path(output_dir) / 'results.json'}); the results of the other {rest} are in {output_dir}"
        )
    if unwritten := [name for writer in writers for name in writer.unwritten]:
        told.append(
            f"of {len(unwritten)} inputs no DICOM could be written: {', '.join(unwritten)} (why: above); their other "
            f"results are in {output_dir}"
        )
    if told:
        raise InputError("; ".join(told))
