# SPDX-License-Identifier: Apache-2.0
"""Training that has diverged stops and says so."""

from __future__ import annotations

import ignite.handlers
from ignite.engine import Engine, Events
from monai.utils import CommonKeys

from ..errors import InputError


class TerminateOnNan(ignite.handlers.TerminateOnNan):
    """ignite's check of the loss, ending the run with an error instead of quietly.

    ignite's handler lets the run complete, so a network of NaN would be exported as the result.

    Raises:
        InputError: the loss is NaN or infinite; the checkpoints of earlier epochs stay as they are.
    """

    def __init__(self) -> None:
        super().__init__(output_transform=lambda output: output[CommonKeys.LOSS])

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        super().__call__(engine)
        if engine.should_terminate:
            raise InputError(
                f"the loss is no longer a finite number in epoch {engine.state.epoch}, iteration "
                f"{engine.state.iteration}; lower the learning rate (--learning_rate) or raise the temperature "
                "(--temperature) and start anew, or resume from the last checkpoint"
            )
