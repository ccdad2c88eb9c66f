# SPDX-License-Identifier: Apache-2.0
"""What pretraining was worth: the k-NN probe on unseen patients, before and after."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from monai.engines import Evaluator

from ..files import written_beside
from ..metrics import KNNProbe, ProbeResult, paired_difference

logger = logging.getLogger(__name__)


class BeforeAfterProbe:
    """Probes the untrained network before the first epoch and the chosen one after the last; writes ``probe.json``.

    Before the first epoch it also runs ``validator``, so that the log begins with what no training gives. The patients
    of ``tester`` are looked at once by the trained network, when nothing is chosen any more. Attach it after
    `RunCheckpoint`, which puts the best weights into the network at the end. The figures of the untrained network are
    part of the checkpoint.

    Args:
        output_dir: folder of the run.
        validator: the evaluator of the validation part.
        tester: the evaluator of the part that is reported.
        probe: the `KNNProbe` of ``tester``.
        part: the name of the part that is reported.
    """

    def __init__(
        self, output_dir: str | Path, validator: Evaluator, tester: Evaluator, probe: KNNProbe, part: str = "testing"
    ) -> None:
        self.folder = Path(output_dir)
        self.validator = validator
        self.tester = tester
        self.probe = probe
        self.part = part
        self.before: ProbeResult | None = None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def state_dict(self) -> dict[str, Any]:
        return {"before": self.before.to_dict() if self.before else None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.before = ProbeResult.from_dict(state["before"]) if state["before"] else None

    def start(self, engine: Engine) -> None:
        if idist.get_rank() != 0 or engine.state.epoch > 0:  # resumed
            return
        self.validator.run()
        self.untrained()

    def finish(self, engine: Engine) -> None:
        if self.before is not None and idist.get_rank() == 0:
            self.trained()

    def untrained(self) -> None:
        """Probes the network as it is, as what no training gives."""
        self.before = self._test()

    def trained(self) -> None:
        """Probes the network as it is, and writes what training was worth."""
        after = self._test()
        assert self.before is not None
        assert after is not None
        report = compare(self.before, after, self.part)
        with written_beside(self.folder / "probe.json") as path:
            path.write_text(json.dumps(report, indent=1) + "\n")
        logger.info(describe(report))

    def _test(self) -> ProbeResult | None:
        self.tester.run()
        return self.probe.predictions


def compare(before: ProbeResult, after: ProbeResult, part: str) -> dict[str, Any]:
    """Both probes, their paired difference with its interval, and what the figures are about, ready for JSON."""
    labels = [clip.label for clip in after.clips]
    groups = [clip.group for clip in after.clips]
    difference = paired_difference(
        labels,
        [clip.predicted for clip in after.clips],
        [clip.predicted for clip in before.clips],
        groups,
        len(after.class_names),
    )
    return {
        "figure": "balanced accuracy per clip, k-NN (cosine, k 20, temperature 0.07) of 8 frames a clip, "
        "reference: labelled training clips",
        "part": part,
        "clips": len(labels),
        "patients": len(set(groups)),
        "chance": 1 / len(set(labels)),
        "difference": difference.to_dict(),
        "before": {"interval": before.interval().to_dict(), **before.to_dict()},
        "after": {"interval": after.interval().to_dict(), **after.to_dict()},
    }


def describe(report: Mapping[str, Any]) -> str:
    """The report in one line."""
    difference = report["difference"]
    chosen = ", which also chose the epoch" if report["part"] == "validation" else ""
    return (
        f"k-NN probe on {report['clips']} {report['part']} clips of {report['patients']} patients never trained on"
        f"{chosen}: "
        f"balanced accuracy {report['before']['per_clip']:.2f} before, {report['after']['per_clip']:.2f} after; "
        f"difference {difference['value']:+.2f}, 95 % interval {difference['low']:+.2f} to {difference['high']:+.2f}; "
        f"chance {report['chance']:.2f}"
    )
