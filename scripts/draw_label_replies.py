# SPDX-License-Identifier: Apache-2.0
"""Draw what a MONAI Label server answered over a frame of the clip it was asked about.

    python scripts/draw_label_replies.py cine.dcm --picture replies.png --classes scores.json --mask mask.nrrd \
        --density density.nrrd --boxes boxes.json

Each answer is a file as the server sent it: the JSON of a classification, the label map of a segmentation or saliency,
the plain JSON of a detection (``result_write_to_file`` false). docs/monai_label.md has the questions.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import InputError, show_input_errors_plainly
from bundle.files import written_beside
from bundle.handlers.overlays import FOUND_COLOUR, original_frame
from bundle.readers.cine import read_cine

ANSWERS = ("classes", "mask", "density", "boxes")


def main() -> None:
    """Draw one panel an answer."""
    from matplotlib.figure import Figure

    show_input_errors_plainly()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", help="any file that the readers take")
    parser.add_argument("--picture", required=True, metavar="PNG", help="what is written")
    parser.add_argument("--frame", type=int, help="which one, from 0; by default the one in the middle")
    for name in ANSWERS:
        parser.add_argument(f"--{name}", metavar="FILE", help=f"answer that tells {name}")
    args = parser.parse_args()
    given = {name: getattr(args, name) for name in ANSWERS if getattr(args, name)}
    if not given:
        raise InputError(f"found no answer to draw; expected one of --{', --'.join(ANSWERS)}")
    frame = args.frame if args.frame is not None else int(read_cine(args.clip, [0]).meta["n_frames"]) // 2
    grey = original_frame(args.clip, frame)

    draw: dict[str, Callable[[Any, str], str]] = {
        "classes": lambda axes, path: classes_told(told(path, "prediction", "label", "score")),
        "mask": lambda axes, path: draw_mask(axes, label_map(path, frame, grey.shape)),
        "density": lambda axes, path: draw_density(axes, label_map(path, frame, grey.shape)),
        "boxes": lambda axes, path: draw_boxes(
            axes, [one for one in told(path, "boxes", "frame", "box", "score") if one["frame"] == frame]
        ),
    }
    figure = Figure(figsize=(3.2 * len(given), 2.65), layout="constrained")
    for axes, (name, path) in zip(figure.subplots(1, len(given), squeeze=False)[0], given.items(), strict=True):
        axes.imshow(grey, cmap="gray", vmin=0, vmax=255)
        axes.set(xticks=[], yticks=[])
        axes.set_title(draw[name](axes, path), fontsize=7)
    with written_beside(Path(args.picture)) as beside:
        figure.savefig(beside, dpi=80, format="png")


def classes_told(found: Sequence[Mapping[str, Any]]) -> str:
    """The most probable classes of the clip, in words."""
    best = sorted(found, key=lambda one: -one["score"])[:3]
    return "   ".join(f"{one['label']} {one['score']:.2f}" for one in best)


def draw_mask(axes: Any, label: np.ndarray) -> str:
    """The outline of a label map."""
    mask = label > 0
    if mask.any():
        axes.contour(mask, levels=[0.5], colors=FOUND_COLOUR, linewidths=1)
    return f"{int(mask.sum())} pixels marked"


def draw_density(axes: Any, label: np.ndarray) -> str:
    """A density as heat."""
    density = label / 255
    axes.imshow(density, cmap="inferno", alpha=0.6 * density)
    return f"density, 0 to {round(255 * density.max())}"


def draw_boxes(axes: Any, found: Sequence[Mapping[str, Any]]) -> str:
    """The three boxes of a frame with the best scores."""
    from matplotlib.patches import Rectangle

    for one in found[:3]:
        x0, y0, x1, y1 = one["box"]
        corner = (x0 - 0.5, y0 - 0.5)  # a pixel is drawn around its number
        axes.add_patch(Rectangle(corner, x1 - x0, y1 - y0, fill=False, edgecolor=FOUND_COLOUR))
        axes.text(x0, y0 - 2, f"{one['score']:.2f}", color=FOUND_COLOUR, fontsize=6, va="bottom")
    return f"{len(found)} boxes"


def told(path: str, key: str, *names: str) -> list[dict[str, Any]]:
    """What an answer in JSON lists under a key, each with all the names.

    Raises:
        InputError: the file is no such answer.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))[key]
        _ = [[one[name] for name in names] for one in found]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{path}: found no list {key!r} ({type(error).__name__}: {error}), expected an answer of the server, "
            f"with {', '.join(names)} of each"
        ) from error
    return found


def label_map(path: str, frame: int, shape: tuple[int, ...]) -> np.ndarray:
    """The frame of a label map.

    Raises:
        InputError: it has another size than the clip.
    """
    maps = read_cine(path).frames[..., 0]
    if maps.shape[1:] != shape or frame >= len(maps):
        raise InputError(f"{path}: found a label map of {maps.shape}, expected frames of {shape} as the clip has")
    return maps[frame]


if __name__ == "__main__":
    main()
