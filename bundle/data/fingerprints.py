# SPDX-License-Identifier: Apache-2.0
"""What a clip is recognised by without its file, to be kept beside an encoder that was trained on it."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import sha256_of, written_beside
from ..keys import Keys
from .frame_cache import FrameCache
from .near_duplicates import HASH_VERSION, ClipHashes


@dataclass(frozen=True)
class Fingerprint:
    """A clip's pseudonyms, the SHA-256 of its file, and the perceptual hashes of its frames.

    ``file`` is the path where the clip lies, empty for a clip that is not here.
    """

    patient_id: str
    video_id: str
    content: str
    hashes: ClipHashes
    file: str = ""

    @property
    def name(self) -> str:
        """What the clip is called towards a person."""
        return self.video_id or Path(self.file).name


def fingerprints(parts: Mapping[str, Sequence[Mapping[str, Any]]], cache: FrameCache) -> dict[str, list[Fingerprint]]:
    """The fingerprints of the records of each part; kept in the cache, so quick from the second time on.

    Raises:
        InputError: a file cannot be read.
    """
    return {name: [_fingerprint(record, cache) for record in records] for name, records in parts.items()}


def clips_beside(encoder: str | os.PathLike[str]) -> Path:
    """Where the fingerprints of the clips lie that an encoder was trained on, beside its weights."""
    return Path(encoder).with_suffix(".clips.npz")


def write_fingerprints(path: str | os.PathLike[str], clips: Sequence[Fingerprint]) -> str:
    """Keep fingerprints in one compact file (1.3 kB a clip of 64 frames), without any path.

    Returns:
        The SHA-256 of the file.
    """
    path = Path(path)
    hashes = [clip.hashes for clip in clips]
    columns = {
        "version": np.array(HASH_VERSION),
        "patient_id": np.array([clip.patient_id for clip in clips], np.str_),
        "video_id": np.array([clip.video_id for clip in clips], np.str_),
        "content": np.array([clip.content for clip in clips], np.str_),
        "n_hashes": np.array([len(one.hashes) for one in hashes], np.int32),
        "frames": np.concatenate([np.zeros(0, np.int32), *(one.frames for one in hashes)]).astype(np.int32),
        "hashes": np.concatenate([np.zeros((0, 32), np.uint8), *(one.hashes for one in hashes)]),
    }
    with written_beside(path) as beside:
        np.savez_compressed(beside, **columns)  # type: ignore[arg-type]
        digest = sha256_of(beside)
    return digest


def read_fingerprints(path: str | os.PathLike[str]) -> list[Fingerprint]:
    """What `write_fingerprints` wrote. There are no views, so these clips can only be searched, not search.

    Raises:
        InputError: the file cannot be read, or its hashes are of another version.
    """
    try:
        with np.load(path) as file:
            columns = {name: file[name] for name in file.files}
        if columns["version"] != HASH_VERSION:
            raise InputError(
                f"{path}: hashes of version {columns['version']}, expected {HASH_VERSION}; export the encoder again"
            )
        ends = np.cumsum(columns["n_hashes"])
        split = [np.split(columns[name], ends)[:-1] for name in ("frames", "hashes")]
        ids = [columns[name].tolist() for name in ("patient_id", "video_id", "content")]
        no_views = np.zeros((0, 0, 32), np.uint8)
        return [
            Fingerprint(patient, video, content, ClipHashes(frames, hashes, no_views))
            for patient, video, content, frames, hashes in zip(*ids, *split, strict=True)
        ]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a file of clips' fingerprints ({error}); export the encoder again") from error


def read_training_clips(encoder: str | os.PathLike[str], trained: Mapping[str, Any]) -> list[Fingerprint] | None:
    """The fingerprints of the clips that an encoder was trained on; None where none were kept with it.

    Args:
        encoder: file of the weights.
        trained: what its description says of its training.

    Raises:
        InputError: the file beside the encoder cannot be read, or is not the one that was written with it.
    """
    path = clips_beside(encoder)
    if not path.is_file():
        return None
    if trained.get("clips_sha256") != sha256_of(path):
        raise InputError(f"{path}: tells of other clips than {Path(encoder).name} was trained on; copy both again")
    return read_fingerprints(path)


def _fingerprint(record: Mapping[str, Any], cache: FrameCache) -> Fingerprint:
    return Fingerprint(
        patient_id=str(record.get(Keys.PATIENT_ID) or ""),
        video_id=str(record.get(Keys.VIDEO_ID) or ""),
        content=cache.content(record),
        hashes=cache.hashes(record),
        file=str(record[Keys.IMAGE]),
    )
