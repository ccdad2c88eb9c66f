# SPDX-License-Identifier: Apache-2.0
"""What was found, drawn over the frames: a picture of each clip, and a video of each cine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from ..data.frame_times import ASSUMED_FRAME_RATE, known_times
from ..files import written_beside
from ..keys import Keys
from ..networks.trained_model import TrainedModel
from ..transforms.frames import even_indices
from ..transforms.sector_outline import fill_outline
from ..transforms.square import known
from .clip_outputs import Chunk, ClipWriter, output_path
from .overlay_video import line_width, open_video, overlay, text_size, with_title

_FOUND = np.array([255, 165, 0], np.uint8)


class ClipOverlays(ClipWriter):
    """Writes ``NAME_overlay.png``, of a cine some evenly spaced frames, and of cines ``NAME_overlay.mp4``.

    Saliency as heat, masks as outlines, boxes with their scores, classes as a line above, each on the original frame in
    grey. What lies outside the sector, as names and texts, is black. The video runs at the speed of the cine's frames
    as far as they are known.

    Args:
        output_dir: for the files, in folders as the clips are.
        model: whose predictions they are, after the ``postprocessing`` of `ClipOutputs`.
        threshold: of `MaskResults`.
        n_frames: in the picture, at most.
        n_boxes: drawn in a frame, those with the best scores.
        picture, video: which of the two is written.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        model: TrainedModel,
        threshold: float = 0.5,
        n_frames: int = 6,
        n_boxes: int = 3,
        picture: bool = True,
        video: bool = True,
    ) -> None:
        self.folder = Path(output_dir)
        self.class_names = model.class_names
        self.threshold = threshold
        self.n_frames = n_frames
        self.n_boxes = n_boxes
        self.picture = picture
        self.video = video
        self.draw = {
            "classification": self.classes,
            "segmentation": self.outline,
            "saliency": self.heat,
            "detection": self.boxes,
        }[model.task]
        self.open_video: Callable[[float], Callable[[np.ndarray], None]] | None = None
        self.add_to_video: Callable[[np.ndarray], None] | None = None
        self.waiting: list[np.ndarray] = []
        self.times: list[tuple[int, float]] = []
        self.in_picture: list[int] = []
        self.pictures: list[np.ndarray] = []
        self.sector = np.zeros((0, 0), np.uint8)

    def begin(self, chunk: Chunk, files: ExitStack) -> None:
        count = chunk[Keys.COUNT]
        self.in_picture = even_indices(count, min(count, self.n_frames)).tolist() if self.picture else []
        self.pictures, self.waiting, self.times = [], [], []
        self.open_video = self.add_to_video = None
        outline = known(chunk[Keys.META], "sector_outline")
        self.sector = fill_outline(outline, *chunk[Keys.ORIGINAL].shape[1:]).astype(np.uint8)
        if self.video and count > 1:
            path = output_path(self.folder, chunk, "_overlay.mp4")
            self.open_video = lambda rate: files.enter_context(open_video(path, rate))

    def add(self, chunk: Chunk, predicted: Any) -> None:
        if self.open_video is not None and self.add_to_video is None:
            indices, times = chunk[Keys.FRAME_INDEX], chunk[Keys.FRAME_TIMES]
            self.times += zip(indices, np.full(len(indices), np.nan) if times is None else times, strict=True)
            if len(self.times) > 1:  # one frame says nothing of the speed
                self.add_to_video = self.open_video(_rate(self.times))
        for k, (frame, grey) in enumerate(zip(chunk[Keys.FRAME_INDEX], chunk[Keys.ORIGINAL], strict=True)):
            position = chunk[Keys.POSITION] + k
            if self.open_video is None and position not in self.in_picture:
                continue
            picture, told = self.draw(grey * self.sector, predicted[k])
            title = f"frame {frame}{told}".encode("ascii", "replace").decode()
            picture = with_title(picture, title)
            if self.open_video is not None:
                self.waiting.append(picture)
            while self.waiting and self.add_to_video is not None:
                self.add_to_video(self.waiting.pop(0))
            if position in self.in_picture:
                self.pictures.append(picture)

    def end(self, chunk: Chunk) -> None:
        from PIL import Image

        if not self.picture:
            return
        columns = min(3, len(self.pictures))
        blank = np.zeros_like(self.pictures[0])
        filled = [*self.pictures, *[blank] * (-len(self.pictures) % columns)]
        rows = [np.concatenate(filled[k : k + columns], axis=1) for k in range(0, len(filled), columns)]
        with written_beside(output_path(self.folder, chunk, "_overlay.png")) as path:
            Image.fromarray(np.concatenate(rows)).save(path)
        self.pictures = []

    def classes(self, grey: np.ndarray, predicted: Any) -> tuple[np.ndarray, str]:
        """The frame, and its most probable class in words."""
        scores = softmax(predicted.double().cpu().numpy()[: len(self.class_names)])
        best = int(scores.argmax())
        return _rgb(grey), f": {self.class_names[best]} {scores[best]:.2f}"

    def heat(self, grey: np.ndarray, predicted: Any) -> tuple[np.ndarray, str]:
        """The frame under its map."""
        return overlay(grey, np.asarray(predicted)), ""

    def outline(self, grey: np.ndarray, predicted: Any) -> tuple[np.ndarray, str]:
        """The frame with the rim of what is marked."""
        from scipy import ndimage

        mask = np.asarray(predicted) > self.threshold
        picture = _rgb(grey)
        picture[mask & ~ndimage.binary_erosion(mask, iterations=line_width(grey))] = _FOUND
        return picture, f": {' '.join(self.class_names)} {int(mask.sum())} pixels"

    def boxes(self, grey: np.ndarray, predicted: Any) -> tuple[np.ndarray, str]:
        """The frame with boxes and their scores."""
        from PIL import Image, ImageDraw

        picture = Image.fromarray(grey).convert("RGB")
        draw, colour, size = ImageDraw.Draw(picture), tuple(_FOUND.tolist()), text_size(grey)
        found = [one for one in np.asarray(predicted)[: self.n_boxes] if one[4] > 0]
        for x0, y0, x1, y1, score in found:
            # a box ends past its last pixel
            draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=line_width(grey))
            draw.text((x0 + size // 3, y0 + size // 5), f"{score:.2f}", fill=colour, font_size=size)
        return np.array(picture), f": {len(found)} boxes"


def _rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=-1)


def _rate(frames: Sequence[tuple[int, float]]) -> float:
    """Frames a second of those looked at, told by their places and times."""
    indices, seconds = np.transpose(frames)
    times = known_times(seconds, len(frames))
    return 1 / float(np.median(np.diff(indices / ASSUMED_FRAME_RATE if times is None else times)))
