# SPDX-License-Identifier: Apache-2.0
"""One progress bar for a whole training run."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from monai.utils import CommonKeys


class Progress:
    """A tqdm bar over all iterations of all epochs, with the epoch and the loss beside it.

    ignite's own bar starts anew each epoch, which says little when an epoch is a few iterations. Lines that are logged
    meanwhile appear above the bar. Of several ranks the first has one.
    """

    def __init__(self) -> None:
        self.bar: Any = None
        self.open = ExitStack()

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.step)
        engine.add_event_handler(Events.COMPLETED | Events.TERMINATE, self.close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.fail)

    def start(self, engine: Engine) -> None:
        from tqdm.auto import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        state = engine.state
        total = (state.max_epochs or 0) * (state.epoch_length or 0)
        hidden = idist.get_rank() != 0
        self.bar = self.open.enter_context(
            tqdm(total=total, initial=state.iteration, desc="training", unit="it", dynamic_ncols=True, disable=hidden)
        )
        self.open.enter_context(logging_redirect_tqdm())

    def step(self, engine: Engine) -> None:
        state = engine.state
        loss = float(state.output[CommonKeys.LOSS].detach())  # type: ignore[index]
        self.bar.set_postfix(epoch=f"{state.epoch}/{state.max_epochs}", loss=f"{loss:.3f}", refresh=False)
        self.bar.update()

    def close(self, engine: Engine) -> None:
        self.open.close()

    def fail(self, engine: Engine, error: BaseException) -> None:
        """Leaves the line to the error message; ignite hands the exception over to whoever listens."""
        self.open.close()
        raise error
