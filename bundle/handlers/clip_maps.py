# SPDX-License-Identifier: Apache-2.0
"""Maps and masks of whole cines as NIfTI, written frame by frame."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..files import written_beside
from ..keys import Keys
from .clip_outputs import Chunk, ClipWriter, output_path


class ClipMaps(ClipWriter):
    """Writes ``NAME_mask.nii.gz`` (uint8, 0 and 1) or ``NAME_map.nii.gz`` (float32) of each clip.

    Voxels are (column, row, frame), as `read_cine` and the column ``mask`` of a table take them; one for each pixel of
    the original frame and each frame looked at. pixdim is mm where the file knows its pixels' size, else 1. The
    directions are those that ITK gives a picture, so that viewers lay the file over it.

    Args:
        output_dir: for the files, in folders as the clips are.
        threshold: what is above is marked; None for maps as they are.
    """

    def __init__(self, output_dir: str | os.PathLike[str], threshold: float | None = None) -> None:
        self.folder = Path(output_dir)
        self.threshold = threshold
        self.file: IO[bytes] | None = None

    def begin(self, chunk: Chunk, files: ExitStack) -> None:
        ending = "_map.nii.gz" if self.threshold is None else "_mask.nii.gz"
        header = self._header(chunk)
        self.file = files.enter_context(_nifti(output_path(self.folder, chunk, ending), header))

    def add(self, chunk: Chunk, predicted: Any) -> None:
        maps = np.asarray(predicted)
        maps = maps.astype("<f4") if self.threshold is None else (maps > self.threshold).astype(np.uint8)
        assert self.file is not None
        self.file.write(maps.tobytes())  # row by row, frame by frame: NIfTI's first axis runs fastest

    def _header(self, chunk: Chunk) -> Any:
        import nibabel

        height, width = chunk[Keys.ORIGINAL].shape[1:]
        down, across = (float(mm) for mm in chunk[Keys.META].get("spacing") or (1, 1))
        header = nibabel.Nifti1Header(endianness="<")
        header.set_data_dtype(np.float32 if self.threshold is None else np.uint8)
        header.set_data_shape((width, height, chunk[Keys.COUNT]))
        header.set_sform(np.diag([-across, -down, 1, 1]), code=1)
        header.set_zooms((across, down, 1))
        if chunk[Keys.META].get("spacing") is not None:
            header.set_xyzt_units("mm")
        header.set_slope_inter(1, 0)
        header["vox_offset"], header["magic"] = 352, b"n+1"
        return header


@contextmanager
def _nifti(path: Path, header: Any) -> Iterator[IO[bytes]]:
    """A file to write voxels to, behind the header; there when the block ends well."""
    with written_beside(path) as beside, gzip.open(beside, "wb", compresslevel=4) as file:
        file.write(header.binaryblock + bytes(4))  # no extensions follow
        yield file  # type: ignore[misc]
