# SPDX-License-Identifier: Apache-2.0
"""The k-NN probe during training, as the key metric of an evaluator."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..keys import GALLERY, QUERY, UNLABELLED, Keys
from .clip_features import ClipFeatures, predicted_features
from .probe_result import ProbeResult
from .protocol import ProbeFrames, probe_split

logger = logging.getLogger(__name__)


class KNNProbe(ClipFeatures):
    """Balanced accuracy per clip, 0 to 1, of a k-NN probe: gallery clips are the reference, query clips are judged.

    Every frame of a labelled query clip is classified by its neighbours among the frames of the labelled gallery clips
    (`knn_probabilities`: cosine, k = 20, temperature 0.07); a clip's score is the mean of its frames'. Items with label
    ``UNLABELLED`` are left out. The metric embeds nothing: it takes the clip features the evaluator's network gives
    (see `ClipFeatures`). ``part`` of each item is ``"gallery"`` or ``"query"``.

    Query clips of a class that the gallery lacks are not judged. With fewer than two classes left, as without any
    labelled gallery or query clip, there is no probe: the figure is None and the log says so, once. MONAI's
    evaluator then keeps ``best_metric_epoch`` at -1 and its loggers skip the figure, so the run goes on; what picks the
    best epoch must then take the last. (MONAI's ``CheckpointSaver`` counts None as -1: with
    ``key_metric_greater_or_equal=True`` the file it calls best is then the last, else the first.)

    The last predictions are in ``predictions`` (a `ProbeResult` with every query clip, None before the first and
    without a probe).

    Args:
        class_names: names of the class indices, for ``predictions``.
        output_transform: see `ClipFeatures`.

    Raises:
        InputError: a part other than these two, or a patient in both.
    """

    def __init__(
        self,
        class_names: Sequence[str] | None = None,
        output_transform: Callable[[Any], Any] = predicted_features,
    ) -> None:
        self.class_names = list(class_names) if class_names is not None else None
        self.predictions: ProbeResult | None = None
        self._said = False
        super().__init__(output_transform)

    def compute(self) -> float | None:
        self.predictions = None
        gallery, query = self._frames(GALLERY), self._frames(QUERY)
        if gallery is None or query is None:
            self._no_probe(f"no labelled {GALLERY if gallery is None else QUERY} clip")
            return None
        known = np.isin(query.labels, gallery.labels)
        if len(np.unique(query.labels[known])) < 2:
            self._no_probe("fewer than two classes that both the reference and the judged clips have")
            return None
        if not known.all():
            self._say(f"{len(set(np.array(query.clips)[~known]))} clips are of classes without a reference: not judged")
            query = query.where(known)
        self.predictions = probe_split(gallery, query, "knn", self.class_names)
        return self.predictions.per_clip

    def _no_probe(self, why: str) -> None:
        self._say(f"no k-NN probe: {why}; no epoch is the best one then, and the last checkpoint is the one exported")

    def _say(self, line: str) -> None:
        if not self._said:
            logger.warning(line)
            self._said = True

    def _frames(self, part: str) -> ProbeFrames | None:
        """The frames of the labelled clips of a part, None without any."""
        chosen = []
        for clip, record in zip(self._features, self._records, strict=True):
            if record[Keys.LABEL] == UNLABELLED:
                continue
            if record[Keys.PART] not in (GALLERY, QUERY):
                raise InputError(
                    f"clip {record[Keys.VIDEO_ID]}: found {Keys.PART} {record[Keys.PART]!r}, expected {GALLERY!r} or "
                    f"{QUERY!r}; say which labelled clips are the probe's reference"
                )
            if record[Keys.PART] == part:
                chosen.append((clip, record))
        if not chosen:
            return None
        return ProbeFrames.from_clips([clip for clip, _ in chosen], [record for _, record in chosen])
