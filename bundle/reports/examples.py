# SPDX-License-Identifier: Apache-2.0
"""Tested frames that a classifier told rightly and wrongly, with what it looked at (Grad-CAM)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..keys import Keys
from .pictures import new_figure
from .predictions import FRAME, Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_MAP = 4
"""Pixels a side below which maps are too coarse to be shown."""

PictureOf = Callable[[dict[str, Any]], torch.Tensor]
"""An item of the predictions -> its frame as the network sees it, (C, H, W)."""


def choose_examples(run: Predictions, right: int = 4, wrong: int = 4) -> list[dict[str, Any]]:
    """The surest frames that were told rightly, of different classes as far as there are, then the surest wrong ones.

    Of a clip at most one frame is taken for each. An item gets ``told`` and ``surety`` beside what it has.
    """
    items = [
        {**item, "told": int(np.argmax(item["probabilities"])), "surety": float(max(item["probabilities"]))}
        for item in run.items
    ]
    items.sort(key=lambda item: (-item["surety"], item[Keys.VIDEO_ID], item[FRAME]))
    chosen = []
    for number, is_right in ((right, True), (wrong, False)):
        left = _one_a_clip([item for item in items if (item["told"] == item[Keys.LABEL]) == is_right])
        seen: dict[int, int] = {}
        turns = []
        for place, item in enumerate(left):  # the surest of each class, then the second of each, ...
            seen[item[Keys.LABEL]] = seen.get(item[Keys.LABEL], -1) + 1
            turns.append((seen[item[Keys.LABEL]], place))
        chosen += [left[place] for _, place in sorted(turns)[:number]]
    return chosen


def grad_cam(network: torch.nn.Module, images: torch.Tensor, classes: Sequence[int]) -> np.ndarray:
    """Where a `FrameClassifier` sees its class (Selvaraju et al., ICCV 2017): ``(N, H, W)``, 1 most, 0 nothing.

    Of the last layer of the encoder whose maps still have `LEAST_MAP` pixels a side; a frame without any evidence for
    its class is 0 all over.

    Args:
        network: with an ``encoder``.
        images: ``(N, C, H, W)``.
        classes: of each image, the class whose evidence is shown.
    """
    from monai.visualize import GradCAM

    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]  # else no hook can stand before it; same values
    layer = _layer_to_show(network.encoder, images[:1])  # type: ignore[arg-type]
    # MONAI's own scaling turns the map round, 0 is most
    cam = GradCAM(network.eval(), target_layers=f"encoder.{layer}", postprocessing=lambda maps: maps)
    maps = [cam(image[None], class_idx=index)[0, 0].detach() for image, index in zip(images, classes, strict=True)]
    return torch.stack([one / one.max() if one.max() > 0 else one for one in maps]).cpu().numpy()


def examples_figure(
    results: Mapping[str, Any],
    title: str,
    run: Predictions,
    network: torch.nn.Module,
    picture_of: PictureOf,
    mean: float | Sequence[float],
    std: float | Sequence[float],
) -> Figure | None:
    """A pair of pictures an example: the frame, and Grad-CAM of the told class over it. None without any example.

    Args:
        results: what the picture is of.
        title: which encoder and run.
        run: the tested frames of one run.
        network: of that run, on the CPU.
        picture_of: where a frame comes from.
        mean, std: its normalisation, undone for the picture.
    """
    chosen = choose_examples(run)
    if not chosen:
        return None
    images = torch.stack([picture_of(item) for item in chosen])
    heats = grad_cam(network, images, [item["told"] for item in chosen])
    shift, scale = (torch.as_tensor(value, dtype=images.dtype).reshape(-1, 1, 1) for value in (mean, std))
    shown = (images * scale + shift).clamp(0, 1).mean(dim=1).numpy()
    columns = 4
    lines = -(-len(chosen) // columns)
    drawn = new_figure(title, results, 3.1 * columns, 1.95 * lines + 0.6)
    for place, (item, image, heat) in enumerate(zip(chosen, shown, heats, strict=True)):
        axes = drawn.add_subplot(lines, columns, place + 1)
        over = np.full((image.shape[0], 2), np.nan)  # a gap between the two
        axes.imshow(np.hstack([image, over, image]), cmap="gray", vmin=0, vmax=1)
        width = image.shape[1]
        extent = (width + 1.5, 2 * width + 1.5, image.shape[0] - 0.5, -0.5)
        axes.imshow(heat, cmap="jet", alpha=0.4, vmin=0, vmax=1, extent=extent)
        axes.set_xlim(-0.5, 2 * width + 1.5)
        names = run.class_names
        is_right = item["told"] == item[Keys.LABEL]
        said = f"{names[item['told']]} {item['surety']:.2f}"
        video = str(item[Keys.VIDEO_ID]).rpartition("/")[2]
        words = f"right: {said}" if is_right else f"wrong: told {said}, is {names[item[Keys.LABEL]]}"
        axes.set_title(
            f"{words}\n{video[-30:]}, frame {item[FRAME]}", fontsize=7, color="#1a6e1a" if is_right else "#a31515"
        )
        axes.axis("off")
    return drawn


def _layer_to_show(encoder: torch.nn.Module, image: torch.Tensor) -> str:
    chosen = ""
    with torch.no_grad():
        for name, layer in encoder.eval().named_children():
            image = layer(image)
            if not chosen or min(image.shape[2:]) >= LEAST_MAP:
                chosen = name
    return chosen


def _one_a_clip(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first item of each clip."""
    first: dict[Any, dict[str, Any]] = {}
    for item in items:
        first.setdefault(item[Keys.VIDEO_ID], item)
    return list(first.values())
