# SPDX-License-Identifier: Apache-2.0
"""The encoder's features of the tested frames, for a map of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.networks.utils import eval_mode

from ..files import written_beside
from ..inferers import FramesInferer
from ..keys import UNLABELLED, Keys
from ..networks import Encoder


class Embeddings:
    """Writes ``embeddings.npz`` when the run is over: one row a tested frame.

    Arrays: ``features`` ``(N, D)`` float32, pooled; ``label`` ``(N,)`` class indices, `UNLABELLED` where the batch has
    none; ``video_id`` and ``patient_id`` ``(N,)``; ``frame`` ``(N,)``. Attach it after `RunCheckpoint`.

    Args:
        output_dir: folder of the run.
        encoder: of the trained network.
        tester: the evaluator whose batches are embedded.
    """

    file_name = "embeddings.npz"

    def __init__(self, output_dir: str | Path, encoder: Encoder, tester: Evaluator) -> None:
        self.folder = Path(output_dir)
        self.encoder = encoder
        self.tester = tester

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if idist.get_rank() != 0:
            return
        columns = ("features", Keys.LABEL, Keys.VIDEO_ID, Keys.PATIENT_ID, "frame")
        rows: dict[str, list[Any]] = {name: [] for name in columns}
        infer = FramesInferer()
        with torch.no_grad(), eval_mode(self.encoder):
            for batch in self.tester.data_loader:
                features = infer(batch[Keys.FRAMES].to(self.tester.state.device), self.encoder).float().cpu().numpy()
                for i, places in enumerate(np.asarray(batch[Keys.FRAME_INDEX])):
                    places, once = np.unique(places, return_index=True)  # a short cine shows frames twice
                    rows["features"] += list(features[i, once])
                    rows["frame"] += places.tolist()
                    for name in (Keys.VIDEO_ID, Keys.PATIENT_ID):
                        rows[name] += [batch[name][i]] * len(once)
                    rows[Keys.LABEL] += [int(batch[Keys.LABEL][i]) if Keys.LABEL in batch else UNLABELLED] * len(once)
        with written_beside(self.folder / self.file_name) as path:
            np.savez_compressed(path, **{name: np.array(values) for name, values in rows.items()})  # type: ignore[arg-type]
