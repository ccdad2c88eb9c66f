# SPDX-License-Identifier: Apache-2.0
"""Saliency maps beside what can be guessed without a look, as a metric of an evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from ignite.metrics import Metric
from monai.utils import CommonKeys

from ..keys import Keys
from .patient_means import summarise_frames
from .saliency import FIGURES, saliency_figures

CENTRE_PRIOR, UNIFORM = "_centre_prior", "_uniform"
"""What stands behind the name of a figure that is not the network's."""

GAIN = "kld_gain"


class SaliencyMaps(Metric):
    """Figures of predicted maps, the centre prior and a uniform map; the metric itself is the gain over the prior.

    The centre prior is the mean fixation density of the training part: what is known of where people look before they
    are shown a frame. The gain is the prior's divergence less the network's, in nats: 0 for a network that learned
    where people look, but nothing of what they look at, more for one that did. Beside it the engine gets the means
    over patients of `FIGURES`.

    Predictions come from ``engine.state.output``, collated, all else from ``engine.state.batch`` (see `FixationMaps`).
    A frame that an item shows twice counts once. Nothing is gathered over processes.

    Args:
        prior: ``(h, w)``, see `mean_density`.
        counts: fixations of the evaluated part by patient, see `fixation_counts`. Those of other patients are what the
            shuffled AUC compares with.
        prefix: before the names of the figures.
    """

    def __init__(self, prior: np.ndarray, counts: Mapping[str, np.ndarray], prefix: str = "") -> None:
        self.prior = prior
        self.counts = counts
        self.everywhere = sum(counts.values(), np.zeros(prior.shape, dtype=np.int64))
        self.prefix = prefix
        self._of_baselines: dict[tuple[str, int], dict[str, float]] = {}  # the same in every epoch
        super().__init__()

    def reset(self) -> None:
        self._items: dict[tuple[str, int], dict[str, Any]] = {}

    @torch.no_grad()
    def iteration_completed(self, engine: Engine) -> None:
        self.update((engine.state.output[CommonKeys.PRED], engine.state.batch))  # type: ignore[index, arg-type]

    def update(self, output: tuple[torch.Tensor, Mapping[str, Any]]) -> None:
        """Adds a batch: predictions ``(B, T, 1, h, w)``, and what the batch says of the frames."""
        predictions, batch = output
        maps = (tensor.detach().cpu().double().numpy()[:, :, 0] for tensor in (predictions, batch[Keys.SALIENCY]))
        columns = (batch[Keys.VIDEO_ID], batch[Keys.PATIENT_ID], batch[Keys.FRAME_INDEX].tolist())
        fixations = batch[Keys.FIXATIONS].cpu().numpy()[:, :, 0]
        for video, patient, frames, *of_clip in zip(*columns, *maps, fixations, strict=True):
            for frame, prediction, density, fixated in zip(frames, *of_clip, strict=True):
                if (video, frame) not in self._items:
                    self._items[video, frame] = {
                        **{Keys.VIDEO_ID: video, Keys.PATIENT_ID: patient, "frame": frame},
                        **self._figures(video, patient, frame, prediction, density, fixated),
                    }

    def _figures(
        self, video: str, patient: str, frame: int, prediction: np.ndarray, density: np.ndarray, fixations: np.ndarray
    ) -> dict[str, float]:
        seen = density, fixations, self.everywhere - self.counts[patient]
        if (video, frame) not in self._of_baselines:
            baselines = {CENTRE_PRIOR: self.prior, UNIFORM: np.ones_like(density)}
            self._of_baselines[video, frame] = {
                name + behind: value
                for behind, baseline in baselines.items()
                for name, value in saliency_figures(baseline, *seen).items()
            }
        figures = {**saliency_figures(prediction, *seen), **self._of_baselines[video, frame]}
        return {**figures, GAIN: figures["kld" + CENTRE_PRIOR] - figures["kld"]}

    def compute(self) -> float:
        """The gain over the centre prior."""
        return self.figures()[GAIN]

    def completed(self, engine: Engine, name: str) -> None:
        figures = self.figures()
        engine.state.metrics[name] = figures[GAIN]
        engine.state.metrics.update({self.prefix + figure: figures[figure] for figure in FIGURES if figure in figures})

    def figures(self) -> dict[str, float]:
        """The mean over patients of each figure, the baselines' too; one that no frame has is left out."""
        return {name: figure["per_patient"]["value"] for name, figure in self.predictions()["figures"].items()}

    def predictions(self) -> dict[str, Any]:
        """Ready for JSON: ``figures`` (`summarise_frames`), and ``items``, one a frame."""
        items = [{name: _plain(value) for name, value in self._items[at].items()} for at in sorted(self._items)]
        names = [name + behind for name in FIGURES for behind in ("", CENTRE_PRIOR, UNIFORM)]
        return {"figures": summarise_frames(items, [GAIN, *names]), "items": items}


def _plain(value: Any) -> Any:
    return (None if np.isnan(value) else round(value, 6)) if isinstance(value, float) else value
