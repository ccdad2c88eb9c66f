# SPDX-License-Identifier: Apache-2.0
"""Ask a pretrained network the order of clips in which nothing moves: what it then tells, it tells from artefacts.

Of each clip that the run tested one frame is repeated, with noise of its own each time, encoded as H.264 at the
clip's frame rate and size, and read again. Where the run learned to read motion its order accuracy falls from that of
the clips as they are to chance.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigWorkflow

from bundle.errors import InputError, show_input_errors_plainly
from bundle.keys import Keys
from bundle.readers import read_cine
from bundle.settings import options
from bundle.transforms import CropToSector, ResizeFrames

DRAWS = 8  # clips of each cine
MOST_FRAMES = 40


def main() -> None:
    """Read the arguments, print the accuracy of the clips as they are and frozen."""
    args = _parse()
    run = Path(args.run_dir)
    parser = _workflow(run).parser
    clips = parser.get_parsed_content("clips")
    records = clips.testing or clips.validation
    ask = Question(parser, run)
    cache = parser.get_parsed_content("cache")
    as_they_are = [(record, cache.frames(record), cache.meta(record).get(Keys.FRAME_TIMES)) for record in records]
    print(f"as they are, those that move: {ask.accuracy(as_they_are, ask_still=False)}")
    stills = [
        _frozen(record, times, ask.size, args.crf, args.noise, seed)
        for seed, (record, _, times) in enumerate(as_they_are)
    ]
    frozen = [  # as many times as frames: others are taken as unknown
        (record, still, None if times is None else times[: still.shape[1]])
        for still, (record, _, times) in zip(stills, as_they_are, strict=True)
    ]
    print(f"frozen, noise {args.noise:g} grey levels, H.264 crf {args.crf}: {ask.accuracy(frozen, ask_still=True)}")


class Question:
    """The network of a run, and how it is asked."""

    def __init__(self, parser: Any, run: Path) -> None:
        if "order" not in parser.get_parsed_content("tasks"):
            raise InputError(f"{run}: a run that did not learn the order: expected order among its tasks")
        self.make = parser.get_parsed_content("make_clips")
        self.size = int(parser.get_parsed_content("image_size"))
        self.network = parser.get_parsed_content("network")
        self.network.load_state_dict(torch.load(run / "model.pt", map_location="cpu", weights_only=True))
        self.network.eval()

    def accuracy(self, cines: list[tuple[dict[str, Any], np.ndarray, Any]], ask_still: bool) -> str:
        """Share of clips told rightly, chance and the chance's standard error over as many, as words."""
        answers = [told == asked for cine in cines for told, asked in self._answers(cine, ask_still)]
        if not answers:
            return "no clip moves"
        chance = 1 / len(self.make.orders)
        spread = math.sqrt(chance * (1 - chance) / len(answers))
        return f"{np.mean(answers):.3f} of {len(answers)} clips (chance {chance:.3f}, standard error {spread:.3f})"

    @torch.no_grad()
    def _answers(self, cine: tuple[dict[str, Any], np.ndarray, Any], ask_still: bool) -> Iterator[tuple[int, int]]:
        record, frames, times = cine
        asked = {Keys.IMAGE: frames, Keys.FRAME_TIMES: times, Keys.VIDEO_ID: record[Keys.VIDEO_ID]}
        for place in range(DRAWS):
            sample = self.make({**asked, Keys.DRAW: (place, DRAWS)})
            if sample[Keys.MOVING] or ask_still:
                logits = self.network({Keys.CLIPS: sample[Keys.CLIPS][None]})[Keys.ORDER_LOGITS]
                yield int(logits.argmax()), sample[Keys.ORDER]


def _frozen(record: dict[str, Any], times: Any, size: int, crf: int, noise: float, seed: int) -> np.ndarray:
    """The first frame of a cine, repeated, encoded and preprocessed: (1, T, size, size) uint8."""
    import av

    still = read_cine(record[Keys.IMAGE], [0]).frames[0].mean(axis=-1)
    still = still[: len(still) // 2 * 2, : still.shape[1] // 2 * 2]  # the codec wants even sides
    count = MOST_FRAMES if times is None else min(MOST_FRAMES, len(times))
    rate = 25 if times is None else max(1, round(1 / float(np.median(np.diff(times)))))
    random, file = np.random.default_rng(seed), io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = still.shape[1], still.shape[0], "yuv420p"
        for _ in range(count):
            noisy = np.where(still > 0, still + random.normal(0, noise, still.shape), 0).clip(0, 255).astype(np.uint8)
            rgb = np.repeat(noisy[..., None], 3, axis=-1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        frames = np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])
    return np.asarray(ResizeFrames(size)(CropToSector()(frames[None])))


def _workflow(run: Path) -> ConfigWorkflow:
    """The recipe of a run with its settings, as `run.json` tells its command."""
    try:
        words = json.loads((run / "run.json").read_text(encoding="utf-8"))["command"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{run}: no run.json with the command ({error}): expected the folder of a run") from error
    given = {name: _value(word) for name, word in options(words[2:]).items()}
    for name in ("resume", "overwrite"):
        given.pop(name, None)
    configs = given.pop("config_file")
    given["output_dir"] = f"{run}.unused"  # nothing is written
    workflow = ConfigWorkflow(configs, logging_file=False, **given)
    workflow.initialize()
    return workflow


def _value(word: str) -> Any:
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return word


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", help="the folder of a run of pretrain_order_geometry.yaml or pretrain_joint.yaml")
    parser.add_argument(
        "--crf", type=int, default=23, help="quality of the H.264, 0 to 51, lower is better (default: 23)"
    )
    parser.add_argument("--noise", type=float, default=6, help="grey levels, new in each frame (default: 6)")
    return parser.parse_args()


if __name__ == "__main__":
    show_input_errors_plainly()
    main()
