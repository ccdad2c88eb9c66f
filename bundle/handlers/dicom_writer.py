# SPDX-License-Identifier: Apache-2.0
"""Results of DICOM clips as DICOM, for the archive that the clips are from."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..files import written_beside
from ..inferers.cine_chunks import CineChunks
from ..keys import Keys
from ..networks.trained_model import TrainedModel
from .clip_outputs import Chunk, ClipWriter, output_path
from .dicom_source import DicomSource, open_source, quiet_highdicom, save

if TYPE_CHECKING:
    from pydicom import Dataset

logger = logging.getLogger(__name__)

DICOM_TASKS = ("segmentation", "classification")
"""Tasks whose result has a standard DICOM object."""


def check_dicom_output(task: str) -> None:
    """Refuses early what could not be written.

    Raises:
        InputError: the results of the task have no standard object, or highdicom is not installed.
    """
    if task not in DICOM_TASKS:
        raise InputError(
            f"dicom: found the task {task}, expected {' or '.join(DICOM_TASKS)}, whose results have a DICOM object; "
            "leave out --dicom"
        )
    try:
        import_module("highdicom")
    except ImportError as error:
        raise InputError(
            "dicom: found no package highdicom that can be imported, expected it for DICOM results; install it (pip "
            "install highdicom), or leave out --dicom"
        ) from error


class DicomWriter(ClipWriter):
    """Writes one DICOM object of each clip that is DICOM; of others none, which is said once.

    The object belongs to the clip's patient and study: these are copied from its file (as highdicom does it), while
    series and instance are new. Where it cannot be written the log says why, the clip's name is in ``unwritten``, and
    everything else goes on.

    Args:
        output_dir: for the files, in folders as the clips are.
        model: whose results they are.
    """

    ending = ""

    def __init__(self, output_dir: str | os.PathLike[str], model: TrainedModel) -> None:
        self.folder = Path(output_dir)
        self.model = model
        self.unwritten: list[str] = []
        self.wanted = False
        self.told = False

    def start(self, dataset: CineChunks) -> None:
        self.unwritten, self.told = [], False

    def begin(self, chunk: Chunk, files: ExitStack) -> None:
        self.wanted = chunk[Keys.META].get("source_kind") == "dicom"
        if self.wanted:
            self.empty()
        elif not self.told:
            logger.info("%s is no DICOM file: of it and others like it no DICOM is written", chunk[Keys.NAME])
            self.told = True

    def add(self, chunk: Chunk, predicted: Any) -> None:
        if self.wanted:
            self.keep(chunk, predicted)

    def end(self, chunk: Chunk) -> None:
        if not self.wanted:
            return
        meta = chunk[Keys.META]
        try:
            with quiet_highdicom():
                source = open_source(chunk[Keys.IMAGE], chunk[Keys.ORIGINAL].shape[1:], int(meta["n_frames"]))
                made = self.made(source, chunk)
                with written_beside(output_path(self.folder, chunk, self.ending)) as beside:
                    save(made, source, beside)
        except Exception as error:  # of many kinds, whose words may quote what the header holds
            why = str(error) if isinstance(error, InputError) else f"none could be made ({type(error).__name__})"
            logger.warning("%s: no DICOM is written of it, its other results are: %s", chunk[Keys.NAME], why)
            self.unwritten.append(chunk[Keys.NAME])
        self.empty()

    def empty(self) -> None:
        """Before a clip, and after it."""

    def keep(self, chunk: Chunk, predicted: Any) -> None:
        """What of a chunk the object needs."""

    def made(self, source: DicomSource, chunk: Chunk) -> Dataset:
        """The object, of what was kept; ``chunk`` is the last of the clip."""
        raise NotImplementedError
