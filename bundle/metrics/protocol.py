# SPDX-License-Identifier: Apache-2.0
"""How frozen encoders are judged: out-of-fold linear and k-NN probes, scored per frame, per clip and per patient.

Frames are classified, a clip's score is the mean of its frames' probabilities, a patient's the mean of its clips'.
Folds are disjoint by group; every item is predicted once, by a probe that saw no clip of its group. The first figure
is the balanced accuracy of the pooled predictions, the second the mean and spread over folds.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InputError
from ..keys import Keys
from .aggregation import index_by_id, majority_by_id
from .knn import knn_probabilities
from .linear_probe import fit_linear_probe
from .probe_result import ProbeResult

KINDS = ("linear", "knn")


@dataclass(frozen=True)
class ProbeFrames:
    """Frozen features of frames and what is known of each frame; all fields have one entry a frame.

    Args:
        features: ``(N, D)``.
        clips: clip ids.
        labels: class indices ``(N,)``; the frames of a clip carry the clip's label.
        groups: the patient (or group) of each frame's clip. A blank one (None, "") equals nothing: the clip is then a
            group of its own, named ``clip:<id>``.

    Raises:
        InputError: a clip with two labels or two groups, features that are not finite.
        ValueError: fields of unequal length.
    """

    features: np.ndarray
    clips: Sequence[Hashable]
    labels: np.ndarray
    groups: Sequence[Hashable]

    def __post_init__(self) -> None:
        features = self.features
        if isinstance(features, torch.Tensor):
            features = features.detach().cpu().float().numpy()
        features = np.asarray(features)
        labels = np.asarray(self.labels, dtype=int)
        clips = list(self.clips)
        groups = [f"clip:{c}" if _blank(g) else g for g, c in zip(self.groups, clips, strict=True)]
        if features.ndim != 2 or not len(features) == len(labels) == len(clips):
            raise ValueError(f"features {features.shape}, {len(labels)} labels and {len(clips)} clip ids do not fit")
        one_per_clip(clips, labels.tolist(), "label")
        one_per_clip(clips, groups, "group")
        bad = ~np.isfinite(features).all(axis=1)
        if bad.any():
            raise InputError(f"clip {clips[int(bad.argmax())]}: its features are not finite; the encoder is broken")
        for name, value in (("features", features), ("clips", clips), ("labels", labels), ("groups", groups)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def from_clips(cls, features: Sequence[torch.Tensor], records: Sequence[Mapping[str, Any]]) -> ProbeFrames:
        """From the features ``(T, D)`` of clips and their records (``label`` a class index); T may differ."""
        return cls(
            torch.cat(list(features)).numpy(),
            per_frame([record[Keys.VIDEO_ID] for record in records], features),
            np.array(per_frame([record[Keys.LABEL] for record in records], features)),
            per_frame([record[Keys.PATIENT_ID] for record in records], features),
        )

    def where(self, keep: npt.ArrayLike) -> ProbeFrames:
        """The frames where ``keep`` ``(N,)`` is true."""
        index = np.flatnonzero(keep).tolist()
        return ProbeFrames(
            self.features[index], [self.clips[i] for i in index], self.labels[index], [self.groups[i] for i in index]
        )


def per_frame(values: Sequence[Any], features: Sequence[torch.Tensor]) -> list[Any]:
    """The value of each clip, once for each of its frames; ``features`` are the clips' ``(T, D)``."""
    return [value for value, clip in zip(values, features, strict=True) for _ in range(len(clip))]


def probe_out_of_fold(
    frames: ProbeFrames, folds: npt.ArrayLike, kind: str = "linear", class_names: Sequence[str] | None = None
) -> ProbeResult:
    """Out-of-fold predictions of all frames.

    Args:
        frames: features with clip, label and group.
        folds: fold of each frame ``(N,)``, at least two distinct ones.
        kind: ``"linear"`` (`fit_linear_probe`; its inner folds are the other folds, or grouped folds when only one
            fold is left) or ``"knn"`` (`knn_probabilities`, k = 20, temperature 0.07).
        class_names: names of the class indices, for the result; else the indices.

    Raises:
        InputError: a group or clip in two folds, one fold only, or a training side without one of the classes.
    """
    fold_of = np.asarray(folds)
    if fold_of.shape != (len(frames),):
        raise ValueError(f"{len(frames)} frames but folds of shape {fold_of.shape}")
    names = np.unique(fold_of)
    if len(names) < 2:
        raise InputError(f"the probe needs at least two folds, found {len(names)}; fill the fold column")
    check_groups(frames.groups, fold_of.tolist())
    n_classes = _n_classes(frames.labels, class_names)
    probabilities = np.zeros((len(frames), n_classes))
    chosen: list[float] = []
    for fold in names:
        query = fold_of == fold
        train = frames.where(~query)
        _check_classes(train.labels, frames.labels, f"the training side of fold {fold}", class_names)
        inner = fold_of[~query] if len(names) > 2 else grouped_folds(train)
        probabilities[query], c = _predict(kind, train, inner, frames.features[query], n_classes)
        chosen += [c] if c is not None else []
    return ProbeResult.from_frames(
        kind,
        probabilities,
        frames.clips,
        frames.labels,
        frames.groups,
        fold_of.tolist(),
        _names(class_names, n_classes),
        chosen,
    )


def probe_split(
    gallery: ProbeFrames, query: ProbeFrames, kind: str = "knn", class_names: Sequence[str] | None = None
) -> ProbeResult:
    """Predictions of the query frames by a probe made of the gallery (a training part -> a test part).

    The linear probe's inner folds are made of the gallery, grouped and stratified (`grouped_folds`).

    Raises:
        InputError: an empty part, a group in both parts, or a class of the query that the gallery lacks.
    """
    for part, name in ((gallery, "gallery"), (query, "query")):
        if len(part) == 0:
            raise InputError(f"the probe's {name} has no labelled clip; label some or leave the probe out")
    check_groups([*gallery.groups, *query.groups], ["gallery"] * len(gallery) + ["query"] * len(query), "part")
    _check_classes(gallery.labels, query.labels, "the probe's gallery", class_names)
    n_classes = _n_classes(np.concatenate([gallery.labels, query.labels]), class_names)
    inner = grouped_folds(gallery) if kind == "linear" else np.zeros(len(gallery), dtype=int)
    probabilities, c = _predict(kind, gallery, inner, query.features, n_classes)
    return ProbeResult.from_frames(
        kind,
        probabilities,
        query.clips,
        query.labels,
        query.groups,
        [0] * len(query),
        _names(class_names, n_classes),
        [c] if c is not None else [],
    )


def grouped_folds(frames: ProbeFrames, n_folds: int = 5) -> np.ndarray:
    """Folds ``(N,)`` disjoint by group, each class's groups dealt out in turn, in order of the groups' names.

    At most as many folds as the class with the fewest groups has, so that every fold's training side keeps all
    classes; all zeros when that is one.
    """
    groups, group_class = majority_by_id(frames.labels, frames.groups)
    _, index = index_by_id(frames.groups)
    classes = np.unique(group_class)
    n_folds = min(n_folds, *(int((group_class == c).sum()) for c in classes))
    fold = np.zeros(len(groups), dtype=int)
    dealt = 0
    for name in classes:
        for group in sorted(np.flatnonzero(group_class == name), key=lambda g: str(groups[g])):
            fold[group] = dealt % n_folds
            dealt += 1
    return fold[index]


def check_groups(groups: Sequence[Hashable], parts: Sequence[Hashable], what: str = "fold") -> None:
    """Raises an `InputError` naming the first group that lies in two folds (or parts)."""
    seen: dict[Hashable, Hashable] = {}
    for group, part in zip(groups, parts, strict=True):
        if seen.setdefault(group, part) != part:
            raise InputError(
                f"group {group} is in {what} {seen[group]} and in {what} {part}; "
                f"a patient must be in one {what} only, else the probe recognises patients"
            )


def one_per_clip(clips: Sequence[Hashable], values: Sequence[Hashable], what: str) -> None:
    """Raises an `InputError` naming the first clip whose frames carry two values."""
    seen: dict[Hashable, Hashable] = {}
    for clip, value in zip(clips, values, strict=True):
        if seen.setdefault(clip, value) != value:
            raise InputError(
                f"clip {clip}: found {what} {seen[clip]} and {what} {value}, expected one; give clips unique ids"
            )


def _predict(
    kind: str, train: ProbeFrames, inner_folds: np.ndarray, features: np.ndarray, n_classes: int
) -> tuple[np.ndarray, float | None]:
    """Probabilities of ``features`` ``(N, K)`` and, of the linear probe, the chosen C."""
    if kind == "linear":
        probe = fit_linear_probe(train.features, train.labels, train.clips, inner_folds, n_classes)
        return probe.probabilities(features), probe.c
    if kind == "knn":
        query, gallery, labels = (
            torch.from_numpy(np.ascontiguousarray(a)) for a in (features, train.features, train.labels)
        )
        return knn_probabilities(query.float(), gallery.float(), labels, n_classes).numpy().astype(float), None
    raise InputError(f"probe {kind!r} is not known; choose one of {', '.join(KINDS)}")


def _check_classes(found: np.ndarray, expected: np.ndarray, where: str, class_names: Sequence[str] | None) -> None:
    missing = sorted(set(expected.tolist()) - set(found.tolist()))
    if missing:
        names = ", ".join(str(class_names[c]) if class_names else str(c) for c in missing)
        raise InputError(
            f"{where} has no clip of class {names}; make folds in which every class has two groups or more"
        )


def _n_classes(labels: np.ndarray, class_names: Sequence[str] | None) -> int:
    highest = int(labels.max())
    if int(labels.min()) < 0 or (class_names is not None and highest >= len(class_names)):
        raise InputError(
            f"labels must be class indices from 0, found {labels.min()} to {highest}; leave unlabelled out"
        )
    return len(class_names) if class_names is not None else highest + 1


def _names(class_names: Sequence[str] | None, n_classes: int) -> list[str]:
    return [str(name) for name in class_names] if class_names is not None else [str(c) for c in range(n_classes)]


def _blank(group: Hashable) -> bool:
    return group is None or (isinstance(group, float) and np.isnan(group)) or str(group).strip() == ""
