# SPDX-License-Identifier: Apache-2.0
"""The checkpoints of a run: the last state, the best weights, and going on where a run stopped."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from ..errors import InputError
from ..files import written_beside
from ..networks import load_weights, write_description
from .run_folder import BEST_WEIGHTS, LAST_CHECKPOINT

logger = logging.getLogger(__name__)


class RunCheckpoint:
    """Keeps ``last.pt`` (all that is needed to resume) and ``model.pt`` (plain weights, the best by the key metric).

    ``last.pt`` is written at the end of every ``interval`` epochs and at the end of the run. ``model.pt`` is written
    when the evaluator's key metric reaches a new high; without such a figure it is the last state. Both are written
    beside and renamed, hold tensors and plain values only, and load with ``weights_only=True``. Random states are not
    in them: `EpochSeed` makes them a function of the epoch. When the run is over the network holds the best weights.

    Attach it after the handlers that change the state it keeps, before those that use the network at the end.

    Args:
        output_dir: folder of the run.
        network: what is trained.
        save_dict: what else must survive: name -> object with ``state_dict`` and ``load_state_dict`` (optimizer,
            schedule, log).
        settings: what a resumed run must share with the run it goes on with: name -> plain value.
        evaluator: the validating engine, or None.
        interval: epochs between two ``last.pt``.
        resume: read ``last.pt`` before the first epoch.
        description: what ``model.pt`` is, for `open_model`; written beside it as ``model.json``. None: not written.

    Raises:
        InputError: on resume, ``last.pt`` is damaged, of other settings, another architecture, or other data (epoch
            length).
    """

    def __init__(
        self,
        output_dir: str | Path,
        network: torch.nn.Module,
        save_dict: dict[str, Any],
        settings: Mapping[str, Any],
        evaluator: Engine | None = None,
        interval: int = 1,
        resume: bool = False,
        description: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = Path(output_dir)
        self.network = network
        self.save_dict = save_dict
        self.settings = dict(settings)
        self.evaluator = evaluator
        self.interval = interval
        self.resume = resume
        self.description = description
        self.best: dict[str, float] = {}  # epoch and metric

    def attach(self, engine: Engine) -> None:
        if self.resume:
            engine.add_event_handler(Events.STARTED, self.load)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.COMPLETED, self.keep_best, engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.save)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def keep_best(self, evaluator: Engine, engine: Engine) -> None:
        """Called when a validation is over. One before the first epoch does not count; of equals the later is kept."""
        metric = evaluator.state.metrics.get(evaluator.state.key_metric_name)  # type: ignore[attr-defined]
        if metric is None or engine.state.epoch == 0 or metric < self.best.get("metric", float("-inf")):
            return
        self.best = {"metric": float(metric), "epoch": engine.state.epoch}
        self._keep_weights()

    def save(self, engine: Engine) -> None:
        state = {
            "network": self.network.state_dict(),
            "trainer": {name: getattr(engine.state, name) for name in ("epoch", "iteration", "epoch_length")},
            "best": self.best,
            "settings": self.settings,
            **{name: item.state_dict() for name, item in self._others(engine).items()},
        }
        self._write(LAST_CHECKPOINT, state)

    def finish(self, engine: Engine) -> None:
        """The end of the run: the last state is kept, and the network gets the best weights."""
        self.save(engine)
        if self.best:
            best = torch.load(self.folder / BEST_WEIGHTS, map_location=engine.state.device, weights_only=True)  # type: ignore[attr-defined]
            self.network.load_state_dict(best)
            self._describe()  # once more: the run may have been cut between the two files
            figure = self.evaluator.state.key_metric_name  # type: ignore[union-attr]
            logger.info(f"epoch {self.best['epoch']:.0f} is kept: its {figure} is the best, {self.best['metric']:.3f}")
        else:
            self._keep_weights()
            logger.info("no validation figure chose an epoch: the last weights are the ones kept")

    def load(self, engine: Engine) -> None:
        path = self.folder / LAST_CHECKPOINT
        try:
            state = torch.load(path, map_location=engine.state.device, weights_only=True)  # type: ignore[attr-defined]
        except Exception as error:
            raise InputError(f"{path} cannot be read ({_one_line(error)}); train anew with --overwrite True") from error
        needed = ("network", "trainer", "best", "settings", *self.save_dict)
        missing = [name for name in needed if name not in state]
        if missing:
            raise InputError(f"{path} is not a checkpoint of this recipe: it lacks {', '.join(missing)}")
        for name, value in self.settings.items():
            for inner, before, now in _differing(name, state["settings"].get(name), value):
                raise InputError(
                    f"{path} was made with {inner} {before}, now it is {now}; resume with the settings it was started "
                    "with, or start anew in another --output_dir"
                )
        try:
            load_weights(self.network, state["network"])
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        length = state["trainer"]["epoch_length"]
        if length != engine.state.epoch_length:
            raise InputError(
                f"{path} was made with {length} iterations an epoch, now there are {engine.state.epoch_length}; "
                "resume with the data and the batch size it was started with"
            )
        for name, item in self._others(engine).items():
            if name in state:  # a run begun without mixed precision has no scaler
                item.load_state_dict(state[name])
        engine.state.epoch = state["trainer"]["epoch"]
        engine.state.iteration = state["trainer"]["iteration"]
        self.best = state["best"]

    def _others(self, engine: Engine) -> dict[str, Any]:
        scaler = getattr(engine, "scaler", None)
        return self.save_dict if scaler is None else {**self.save_dict, "scaler": scaler}

    def _keep_weights(self) -> None:
        self._write(BEST_WEIGHTS, self.network.state_dict())
        self._describe()

    def _describe(self) -> None:
        if self.description is not None and idist.get_rank() == 0:
            write_description(self.folder, self.description)

    def _write(self, name: str, state: dict) -> None:
        if idist.get_rank() == 0:
            whole = io.BytesIO()  # torch's own writing does not say that a disk is full
            torch.save(state, whole)
            with written_beside(self.folder / name) as path:
                path.write_bytes(whole.getbuffer())


def _differing(name: str, before: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Names and both values of what differs, inside mappings too."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*before, *now]):
            yield from _differing(f"{name} {key}", before.get(key), now.get(key))
    elif before != now:
        yield name, before, now


def _one_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
