# SPDX-License-Identifier: Apache-2.0
"""Frames and clips classified, as a metric of an evaluator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from scipy.special import softmax

from ..keys import Keys
from .aggregation import index_by_id
from .classification import (
    check_clip_score,
    classification_report,
    clip_probabilities,
    logits_and_attention,
    main_figures,
    patients_of_one_class,
)
from .clip_features import ClipFeatures, predicted_features


class ClipClassification(ClipFeatures):
    """Figures of a `FrameClassifier`'s clips; the metric itself is their balanced accuracy, 0 to 1.

    Beside it the engine gets the other `main_figures` of clips and ``balanced_accuracy_per_frame``. A frame that an
    item shows twice (a short cine) counts once. Nothing is gathered over processes.

    Args:
        class_names: K names, the columns of the network's output before a possible attention score.
        clip_score: how a clip's probabilities come from its frames', see `clip_probabilities`.
        per_frame: the figures are those of frames, and the metric itself is their accuracy, as USCL reports it.
        prefix: before the names of the other figures.
        output_transform: see `ClipFeatures`; features here are the network's outputs.

    Raises:
        InputError: another word in ``clip_score``.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        clip_score: str = "mean",
        per_frame: bool = False,
        prefix: str = "",
        output_transform: Callable[[Any], Any] = predicted_features,
    ) -> None:
        check_clip_score(clip_score)
        self.class_names = list(class_names)
        self.clip_score = clip_score
        self.per_frame = per_frame
        self.prefix = prefix
        super().__init__(output_transform)

    def compute(self) -> float:
        return self.figures()["accuracy" if self.per_frame else "balanced_accuracy"]

    def completed(self, engine: Engine, name: str) -> None:
        figures = self.figures()
        engine.state.metrics[name] = figures.pop("accuracy" if self.per_frame else "balanced_accuracy")
        if not self.per_frame:
            frames = self.frames()
            figures["balanced_accuracy_per_frame"] = main_figures(frames["label"], frames["probabilities"])[
                "balanced_accuracy"
            ]
        engine.state.metrics.update({self.prefix + key: value for key, value in figures.items() if np.isfinite(value)})

    def figures(self) -> dict[str, float]:
        """The `main_figures` of clips, or of frames."""
        items = self.frames() if self.per_frame else self.clips()
        return main_figures(items["label"], items["probabilities"])

    def frames(self) -> dict[str, Any]:
        """What is known of each frame, by column: ids, ``frame``, ``label``, ``logits`` and ``probabilities``."""
        columns: dict[str, list[Any]] = {name: [] for name in (Keys.VIDEO_ID, Keys.PATIENT_ID, "frame", Keys.LABEL)}
        outputs = []
        for clip, record in zip(self._features, self._records, strict=True):
            places = record[Keys.FRAME_INDEX]
            once = np.unique(places, return_index=True)[1]
            outputs.append(clip[torch.as_tensor(once)].double().numpy())
            columns["frame"] += [int(places[i]) for i in once]
            for name in (Keys.VIDEO_ID, Keys.PATIENT_ID, Keys.LABEL):
                columns[name] += [record[name]] * len(once)
        n_classes = len(self.class_names)
        every = np.concatenate(outputs) if outputs else np.zeros((0, n_classes))
        logits, attention = logits_and_attention(every, n_classes)
        return {**columns, "logits": logits, "probabilities": softmax(logits, axis=1), "attention": attention}

    def clips(self) -> dict[str, Any]:
        """The same of each clip."""
        frames = self.frames()
        videos, probabilities = clip_probabilities(
            frames["logits"], frames[Keys.VIDEO_ID], self.clip_score, frames["attention"]
        )
        first = np.unique(index_by_id(frames[Keys.VIDEO_ID])[1], return_index=True)[1]
        columns = {name: [frames[name][i] for i in first] for name in (Keys.PATIENT_ID, Keys.LABEL)}
        return {Keys.VIDEO_ID: videos, **columns, "probabilities": probabilities}

    def predictions(self) -> dict[str, Any]:
        """Ready for JSON: ``items`` (frames), ``clips``, and ``figures`` of frames, clips and patients of one class."""
        frames, clips = self.frames(), self.clips()
        _, labels, scores = patients_of_one_class(
            clips[Keys.LABEL], clips["probabilities"], [str(patient) for patient in clips[Keys.PATIENT_ID]]
        )
        report = {
            "per_frame": classification_report(frames[Keys.LABEL], frames["probabilities"], self.class_names),
            "per_clip": classification_report(clips[Keys.LABEL], clips["probabilities"], self.class_names),
            "per_patient": classification_report(labels, scores, self.class_names) if len(labels) else None,
        }
        return {
            "clip_score": self.clip_score,
            "figures": report,
            "clips": _rows(clips, (Keys.VIDEO_ID, Keys.PATIENT_ID, Keys.LABEL)),
            "items": _rows(frames, (Keys.VIDEO_ID, Keys.PATIENT_ID, "frame", Keys.LABEL)),
        }


def _rows(columns: dict[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {**{name: columns[name][i] for name in names}, "probabilities": [round(float(p), 6) for p in scores]}
        for i, scores in enumerate(columns["probabilities"])
    ]
