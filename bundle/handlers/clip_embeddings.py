# SPDX-License-Identifier: Apache-2.0
"""The encoder's features of a user's clips."""

from __future__ import annotations

import csv
import os
from contextlib import ExitStack
from typing import Any

import numpy as np

from ..files import written_beside
from ..inferers.cine_chunks import CineChunks
from ..keys import Keys
from ..networks.trained_model import TrainedModel
from .clip_outputs import Chunk
from .clip_results import ClipResults

_IDS = (Keys.VIDEO_ID, Keys.PATIENT_ID)


class EmbeddingResults(ClipResults):
    """Writes ``embeddings.npz`` and ``embeddings.csv``, one row a frame, beside the files of `ClipResults`.

    Arrays: ``features`` ``(N, D)`` float32; ``clip`` (its file), ``video_id``, ``patient_id`` and ``frame`` ``(N,)``.
    The table has the same columns, the features as ``f0``, ``f1``, ...

    Args:
        output_dir, model: of `ClipResults`; predictions are features.
    """

    def __init__(self, output_dir: str | os.PathLike[str], model: TrainedModel) -> None:
        super().__init__(output_dir, model)
        self.features: list[np.ndarray] = []
        self.of_one: list[np.ndarray] = []

    def begin(self, chunk: Chunk, files: ExitStack) -> None:
        super().begin(chunk, files)
        self.of_one = []

    def add(self, chunk: Chunk, predicted: Any) -> None:
        super().add(chunk, predicted)
        self.of_one.append(predicted.float().cpu().numpy())

    def end(self, chunk: Chunk) -> None:
        super().end(chunk)
        self.features += self.of_one

    def finish(self, dataset: CineChunks) -> None:
        super().finish(dataset)
        rows = [
            {"clip": clip["file"], **{key: clip[key] for key in _IDS}, "frame": row["frame"]}
            for clip in self.clips
            for row in clip["frames"]
        ]
        features = np.concatenate(self.features) if self.features else np.zeros((0, 0), np.float32)
        columns = {key: np.array([row[key] for row in rows]) for key in ("clip", *_IDS, "frame")}
        with written_beside(self.folder / "embeddings.npz") as path:
            np.savez_compressed(path, features=features, **columns)  # type: ignore[arg-type]
        with written_beside(self.folder / "embeddings.csv") as path:
            with path.open("w", newline="", encoding="utf-8") as file:
                table = csv.writer(file)
                table.writerow([*columns, *(f"f{k}" for k in range(features.shape[1]))])
                for row, values in zip(rows, features, strict=True):  # a row at a time: as text they are large
                    table.writerow([*row.values(), *(f"{value:.9g}" for value in values)])
