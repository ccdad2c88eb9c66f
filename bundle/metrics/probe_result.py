# SPDX-License-Identifier: Apache-2.0
"""What a probe says: predictions of clips, and balanced accuracy per frame, per clip and per patient."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .aggregation import index_by_id, majority_by_id, mean_by_id
from .bootstrap import Interval, bootstrap_interval
from .scores import accuracy, balanced_accuracy, class_recalls, confusion_matrix


@dataclass(frozen=True)
class ClipPrediction:
    """One clip's class probabilities ``(K)``, with its id, group, fold and true class index."""

    clip: str
    group: str
    fold: str
    label: int
    probabilities: list[float]

    @property
    def predicted(self) -> int:
        """The most probable class; of equal ones the lowest index."""
        return int(np.argmax(self.probabilities))


@dataclass(frozen=True)
class ProbeResult:
    """A probe's predictions and figures. ``per_*`` are balanced accuracies of the pooled predictions, 0 to 1.

    ``fold_mean`` and ``fold_spread`` are the mean and the sample standard deviation (n - 1) of the balanced accuracy
    per clip over folds (``per_fold``), each over the classes present in the fold; the spread of one fold is 0. A
    patient's class is the majority of its clips'. ``chosen_c`` lists the linear probe's C, one a fold.
    """

    kind: str
    class_names: list[str]
    clips: list[ClipPrediction]
    per_frame: float
    per_clip: float
    per_patient: float
    accuracy_per_clip: float
    recalls_per_clip: list[float | None]
    confusion_per_clip: list[list[int]]
    per_fold: dict[str, float]
    fold_mean: float
    fold_spread: float
    chosen_c: list[float]

    @classmethod
    def from_frames(
        cls,
        kind: str,
        probabilities: np.ndarray,
        clips: Sequence[Hashable],
        labels: np.ndarray,
        groups: Sequence[Hashable],
        folds: Sequence[Hashable],
        class_names: list[str],
        chosen_c: list[float],
    ) -> ProbeResult:
        """From frame probabilities ``(N, K)`` and what is known of each frame."""
        n_classes = len(class_names)
        names, clip_scores = mean_by_id(probabilities, clips)
        first = np.unique(index_by_id(clips)[1], return_index=True)[1]
        clip_labels, clip_groups = labels[first], [groups[i] for i in first]
        clip_folds = np.array([str(folds[i]) for i in first])
        chosen = clip_scores.argmax(axis=1)
        confusion = confusion_matrix(clip_labels, chosen, n_classes)
        per_fold = {
            str(fold): _balanced(clip_labels[clip_folds == fold], chosen[clip_folds == fold], n_classes)
            for fold in np.unique(clip_folds)
        }
        values = list(per_fold.values())
        return cls(
            kind=kind,
            class_names=class_names,
            clips=[
                ClipPrediction(str(name), str(group), fold, int(label), [float(p) for p in scores])
                for name, group, fold, label, scores in zip(
                    names, clip_groups, clip_folds.tolist(), clip_labels, clip_scores, strict=True
                )
            ],
            per_frame=_balanced(labels, probabilities.argmax(axis=1), n_classes),
            per_clip=float(balanced_accuracy(confusion)),
            per_patient=_balanced(
                majority_by_id(clip_labels, clip_groups)[1],
                mean_by_id(clip_scores, clip_groups)[1].argmax(axis=1),
                n_classes,
            ),
            accuracy_per_clip=float(accuracy(confusion)),
            recalls_per_clip=[None if np.isnan(r) else float(r) for r in class_recalls(confusion)],
            confusion_per_clip=confusion.tolist(),
            per_fold=per_fold,
            fold_mean=float(np.mean(values)),
            fold_spread=float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
            chosen_c=chosen_c,
        )

    def interval(self, resamples: int = 10_000, seed: int = 0) -> Interval:
        """95 % interval of ``per_clip`` by bootstrap over groups (`bootstrap_interval`)."""
        return bootstrap_interval(
            [clip.label for clip in self.clips],
            [clip.predicted for clip in self.clips],
            [clip.group for clip in self.clips],
            len(self.class_names),
            resamples=resamples,
            seed=seed,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings, for JSON; `from_dict` takes it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ProbeResult:
        """The result that `to_dict` wrote."""
        return cls(**{**values, "clips": [ClipPrediction(**clip) for clip in values["clips"]]})


def _balanced(labels: np.ndarray, predictions: np.ndarray, n_classes: int) -> float:
    return float(balanced_accuracy(confusion_matrix(labels, predictions, n_classes)))
