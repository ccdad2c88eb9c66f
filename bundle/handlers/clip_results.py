# SPDX-License-Identifier: Apache-2.0
"""What was found in each frame and clip, as JSON and as tables."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from ..files import made_folder, written_beside
from ..inferers.cine_chunks import CineChunks
from ..keys import Keys
from ..metrics.classification import check_clip_score, probabilities_of_clip
from ..networks.trained_model import TrainedModel
from .clip_outputs import Chunk, ClipWriter

Row = dict[str, Any]


class ClipResults(ClipWriter):
    """Writes ``results.json``, and ``frames.csv`` and ``clips.csv`` with a row a frame and a clip.

    The JSON has ``task``, ``class_names``, ``weights_sha256`` (of their file), ``clips``, each with its ``frames``,
    ``failed``: what could not be read, with the reason, and ``not_reached``: what was left when the run was broken off.
    Subclasses say what is told of a frame and of a clip; as it
    stands only which frames there were.

    Args:
        output_dir: for the three files.
        model: whose results they are.
    """

    file_name = "results.json"

    def __init__(self, output_dir: str | os.PathLike[str], model: TrainedModel) -> None:
        self.folder = Path(output_dir)
        self.about = {"task": model.task, "class_names": model.class_names, "weights_sha256": model.sha256}
        self.class_names = model.class_names
        self.clips: list[Row] = []
        self.rows: list[Row] = []

    def begin(self, chunk: Chunk, files: ExitStack) -> None:
        self.rows = []

    def add(self, chunk: Chunk, predicted: Any) -> None:
        times = chunk[Keys.FRAME_TIMES]
        for k, frame in enumerate(chunk[Keys.FRAME_INDEX]):
            time = {} if times is None else {"seconds": round(float(times[k]), 6)}
            told = self.of_frame(predicted[k], chunk[Keys.META])
            self.rows.append({"frame": int(frame), **time, **told})

    def end(self, chunk: Chunk) -> None:
        about = {
            "file": chunk[Keys.NAME],
            **{name: chunk[name] for name in (Keys.VIDEO_ID, Keys.PATIENT_ID)},
            "frames_of_file": int(chunk[Keys.META]["n_frames"]),
        }
        self.clips.append({**about, **self.of_clip(self.rows), "frames": self.rows})

    def finish(self, dataset: CineChunks) -> None:
        made_folder(self.folder)
        failed = [{"file": record[Keys.NAME], "reason": reason} for record, reason in dataset.failed]
        done = {clip["file"] for clip in (*self.clips, *failed)}
        left = [record[Keys.NAME] for record in dataset.data if record[Keys.NAME] not in done]
        content = {**self.about, "clips": self.clips, "failed": failed, "not_reached": left}
        with written_beside(self.folder / self.file_name) as path:
            path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        clips = [{key: value for key, value in clip.items() if key != "frames"} for clip in self.clips]
        frames = [{"file": clip["file"], **row} for clip in self.clips for row in clip["frames"]]
        write_table(self.folder / "clips.csv", clips)
        write_table(self.folder / "frames.csv", frames)

    def of_frame(self, predicted: Any, meta: Mapping[str, Any]) -> Row:
        """What is told of a frame, plain values."""
        return {}

    def of_clip(self, rows: Sequence[Row]) -> Row:
        """What is told of a clip."""
        return {}


class ClassResults(ClipResults):
    """The probability of each class, and the most probable, of frames and clips.

    Args:
        output_dir, model: of `ClipResults`; predictions are the logits of `FrameClassifier`.
        clip_score: from frames to clips, see `clip_probabilities`.

    Raises:
        InputError: another word in ``clip_score``, or one that the network is not made for.
    """

    def __init__(self, output_dir: str | os.PathLike[str], model: TrainedModel, clip_score: str = "mean") -> None:
        super().__init__(output_dir, model)
        check_clip_score(clip_score, getattr(model.network, "attention", None) is not None)
        self.clip_score = clip_score
        self.logits: list[np.ndarray] = []

    def begin(self, chunk: Chunk, files: ExitStack) -> None:
        super().begin(chunk, files)
        self.logits = []

    def of_frame(self, predicted: Any, meta: Mapping[str, Any]) -> Row:
        logits = predicted.double().cpu().numpy()
        self.logits.append(logits)
        return of_classes(softmax(logits[: len(self.class_names)]), self.class_names)

    def of_clip(self, rows: Sequence[Row]) -> Row:
        probabilities = probabilities_of_clip(np.stack(self.logits), len(self.class_names), self.clip_score)
        return of_classes(probabilities, self.class_names)


class MaskResults(ClipResults):
    """How much is marked in each frame, and in how many of a clip's frames something is.

    Args:
        output_dir, model: of `ClipResults`; predictions are probabilities on the original frames.
        threshold: what is above is marked.
    """

    def __init__(self, output_dir: str | os.PathLike[str], model: TrainedModel, threshold: float = 0.5) -> None:
        super().__init__(output_dir, model)
        self.threshold = threshold

    def of_frame(self, predicted: Any, meta: Mapping[str, Any]) -> Row:
        pixels = int((predicted > self.threshold).sum())
        spacing = meta.get("spacing")
        area = {} if spacing is None else {"mm2": round(pixels * float(spacing[0]) * float(spacing[1]), 4)}
        return {"pixels": pixels, **area, "highest_probability": round(float(predicted.max()), 6)}

    def of_clip(self, rows: Sequence[Row]) -> Row:
        return {"frames_marked": sum(row["pixels"] > 0 for row in rows)}


class SaliencyResults(ClipResults):
    """Where in each frame the density is highest: x, y in pixels of the original frame, 0 the centre of the first."""

    def of_frame(self, predicted: Any, meta: Mapping[str, Any]) -> Row:
        y, x = np.unravel_index(int(predicted.argmax()), predicted.shape)
        return {"x": int(x), "y": int(y)}


class BoxResults(ClipResults):
    """The boxes of each frame, xyxy in pixels of the original frame with x the column, and their scores; best first.

    Predictions are ``(n, K, 5)``, filled up with rows whose score is 0.
    """

    def of_frame(self, predicted: Any, meta: Mapping[str, Any]) -> Row:
        found = [[round(float(value), 6) for value in one] for one in predicted if one[4] > 0]
        return {"boxes": [one[:4] for one in found], "scores": [one[4] for one in found]}

    def of_clip(self, rows: Sequence[Row]) -> Row:
        return {"frames_with_boxes": sum(len(row["boxes"]) > 0 for row in rows)}


def of_classes(probabilities: np.ndarray, class_names: Sequence[str]) -> Row:
    """What is told of class probabilities ``(K,)``: the most probable class, and each one's."""
    scores = {name: round(float(p), 6) for name, p in zip(class_names, probabilities, strict=True)}
    return {"class": class_names[int(probabilities.argmax())], "probabilities": scores}


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as CSV: a column for each key in order of first appearance; of a dict one for each of its keys, of a list
    how many it has."""
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(key for row in flat for key in row))
    with written_beside(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(flat)


def _flat(row: Mapping[str, Any]) -> Row:
    flat: Row = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}: {name}": one for name, one in value.items()}
        else:
            flat[key] = len(value) if isinstance(value, list) else value
    return flat
