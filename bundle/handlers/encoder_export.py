# SPDX-License-Identifier: Apache-2.0
"""The encoder as a file that any PyTorch project loads, at the end of a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from ..data.fingerprints import Fingerprint, clips_beside, write_fingerprints
from ..networks import Encoder, save_encoder
from .run_checkpoint import RunCheckpoint

logger = logging.getLogger(__name__)


class EncoderExport:
    """Writes ``encoder.safetensors``, ``encoder.json`` and ``encoder.clips.npz`` when the run is over.

    The last holds the fingerprints of the clips that shaped the weights, so that whoever evaluates the encoder can tell
    whether it has seen a test clip, without the clips (see `bundle.data.fingerprints`).

    The network must hold the weights to export by then: attach it after the handler that puts the best ones in.

    Args:
        output_dir: folder of the run.
        encoder: what is exported.
        mean, std: normalisation of its input ``(x - mean) / std``, x in 0 to 1.
        image_size: height and width it was trained at, pixels.
        trained: how and on what it was trained; anything JSON can hold.
        clips: what it was trained on and chosen with.
        checkpoint: says which epoch's weights they are.
    """

    def __init__(
        self,
        output_dir: str | Path,
        encoder: Encoder,
        mean: float,
        std: float,
        image_size: int,
        trained: Mapping[str, Any],
        clips: Sequence[Fingerprint],
        checkpoint: RunCheckpoint,
    ) -> None:
        self.folder = Path(output_dir)
        self.encoder = encoder
        self.normalisation = {"mean": mean, "std": std}
        self.image_size = image_size
        self.trained = dict(trained)
        self.clips = clips
        self.checkpoint = checkpoint

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if idist.get_rank() != 0:
            return
        path = self.folder / "encoder.safetensors"
        run = {"epoch": int(self.checkpoint.best.get("epoch", engine.state.epoch)), "of_epochs": engine.state.epoch}
        clips = {"n_clips": len(self.clips), "clips_sha256": write_fingerprints(clips_beside(path), self.clips)}
        trained = {**self.trained, **run, "iterations_an_epoch": engine.state.epoch_length, **clips}
        save_encoder(self.encoder, path, normalisation=self.normalisation, image_size=self.image_size, trained=trained)
        logger.info(f"the encoder is in {path}")
