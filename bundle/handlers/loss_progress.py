# SPDX-License-Identifier: Apache-2.0
"""How far a run is, for losses whose weights follow a schedule."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events


class LossProgress:
    """Sets ``loss.progress`` before each iteration: 0 at the first, towards 1 at the end of the last epoch."""

    def __init__(self, loss: Any) -> None:
        self.loss = loss

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        iterations = (engine.state.max_epochs or 1) * (engine.state.epoch_length or 1)
        self.loss.progress = (engine.state.iteration - 1) / iterations
