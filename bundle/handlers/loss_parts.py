# SPDX-License-Identifier: Apache-2.0
"""The parts of a composite loss, averaged over each epoch."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.utils import CommonKeys

from ..losses.across_ranks import of_all_ranks


class LossParts:
    """Averages the loss, and the parts it keeps in ``loss.parts``, over an epoch into ``engine.state.metrics``.

    Every handler after it (log, curves, TensorBoard) then sees ``loss``, ``contrast``, ``label`` and so on. In a
    distributed run it is the mean over the ranks, of what only some of them have over these.
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss
        self.values: dict[str, list[torch.Tensor]] = defaultdict(list)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.average)

    def reset(self, engine: Engine) -> None:
        self.values.clear()

    def collect(self, engine: Engine) -> None:
        parts = {"loss": engine.state.output[CommonKeys.LOSS], **self.loss.parts}  # type: ignore[index]
        for name, value in parts.items():
            self.values[name].append(value.detach().float())

    def average(self, engine: Engine) -> None:
        ranks = of_all_ranks({name: float(torch.stack(values).mean()) for name, values in self.values.items()})
        for name in dict.fromkeys(name for means in ranks for name in means):
            engine.state.metrics[name] = fmean(means[name] for means in ranks if name in means)
