# SPDX-License-Identifier: Apache-2.0
"""What the chosen network says of the tested clips, once, when the run is over."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import ignite.distributed as idist
from ignite.engine import Engine, Events
from monai.engines import Evaluator

from ..errors import InputError
from ..files import written_beside
from ..keys import LEGACY, PROTOCOLS
from .run_checkpoint import RunCheckpoint

logger = logging.getLogger(__name__)


class Predicting(Protocol):
    """A metric that keeps what the network said of each item."""

    def predictions(self) -> dict[str, Any]:
        """Plain values for JSON, ``items`` among them."""
        ...


class Predictions:
    """Runs ``tester`` when the training is over and writes ``predictions.json``.

    The file has ``task``, ``protocol``, ``part``, ``data``, ``simulated``, ``class_names``, ``trained``, and what the
    metric's ``predictions()`` gives, ``items`` among it. Attach it after `RunCheckpoint`, which puts the chosen weights
    into the network. The tested part is looked at here only.

    Args:
        output_dir: folder of the run.
        tester: the evaluator of the part that is tested.
        metric: the one of its metrics that keeps the items.
        task: what was learned, as ``classification``.
        data: the name of the data.
        simulated: whether any of it is; what is said of it says so.
        part: the name of the part.
        protocol: one of `PROTOCOLS`; the name under which the figures go.
        class_names: of the class indices.
        trained: from what and how; anything JSON can hold.
        checkpoint: says which epoch's weights they are.

    Raises:
        InputError: another protocol, or one that the recipe does not follow.

    Subclasses say in `tell` what the log says and what else is written, as pictures.
    """

    file_name = "predictions.json"

    def __init__(
        self,
        output_dir: str | Path,
        tester: Evaluator,
        metric: Predicting,
        task: str,
        data: str,
        trained: Mapping[str, Any],
        checkpoint: RunCheckpoint,
        part: str = "testing",
        protocol: str = "patient",
        class_names: Sequence[str] = (),
        simulated: bool = False,
    ) -> None:
        # ignite's metrics answer to any name
        follows = LEGACY if getattr(metric, "per_frame", False) is True else PROTOCOLS[0]
        if protocol != follows:
            raise InputError(
                f"protocol: found {protocol!r}, but this recipe follows {follows!r}: leave it to the recipe; another "
                "protocol is another recipe"
            )
        self.folder = Path(output_dir)
        self.tester = tester
        self.metric = metric
        self.about = {"task": task, "protocol": protocol, "part": part, "data": data, "simulated": simulated}
        self.about["class_names"] = list(class_names)
        self.trained = dict(trained)
        self.checkpoint = checkpoint

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if idist.get_rank() == 0:
            epoch = int(self.checkpoint.best.get("epoch", engine.state.epoch))
            self.test({"epoch": epoch, "of_epochs": engine.state.epoch})

    def test(self, chosen: Mapping[str, Any] | None = None) -> None:
        """Tests the network as it is; ``chosen`` says which epoch's weights it holds, where that is known."""
        self.tester.run()
        content = {**self.about, "trained": {**self.trained, **(chosen or {})}, **self.metric.predictions()}
        with written_beside(self.folder / self.file_name) as path:
            path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        for line in self.tell(content):
            logger.info(line)

    def tell(self, content: dict[str, Any]) -> Sequence[str]:
        """Lines for the log, of the file's content."""
        return []


def of_what(content: Mapping[str, Any]) -> str:
    """Protocol and data of the file's content, with which every line and picture of its figures begins."""
    return f"{content['protocol']}, {content['data']}{' as simulated' if content['simulated'] else ''}"
