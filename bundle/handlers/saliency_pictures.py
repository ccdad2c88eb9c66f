# SPDX-License-Identifier: Apache-2.0
"""Predicted saliency on the original frames, as a picture and as a video, when the run is over."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.networks.utils import eval_mode
from monai.transforms import Compose

from ..data import CineDataset, frame_seconds
from ..files import written_beside
from ..inferers import FramesInferer
from ..keys import Keys
from ..metrics.saliency import kld, nss
from ..transforms.frames import chosen_frames, network_input
from ..transforms.gaze import Gaze
from ..transforms.grey import ToGreyd
from ..transforms.load import LoadCined
from ..transforms.put_back import put_back, put_points_back
from .montage import video_text
from .overlay_video import overlay, side_by_side, write_video
from .predictions import of_what

_LEAST_SECONDS = 4.0


class SaliencyPictures:
    """Writes ``overlays.png`` and ``overlay.mp4`` of tested clips, spread evenly over the part.

    The picture has a row a clip, each with its middle fixated frame: the frame with its fixations, the density made of
    them, the prediction. The video shows the first of the clips whole, beside it the prediction; short clips are shown
    over and over. Both are on the original frames at their own size; what lies outside the sector, as the text around
    it, is left black.

    Attach it after `RunCheckpoint`, which puts the chosen weights into the network.

    Args:
        output_dir: folder of the run.
        network: `SaliencyNet`.
        dataset: the tested clips, with their gaze.
        mean, std, channels: of what the network takes.
        data, protocol, simulated: of `Predictions`, to stand in the pictures.
        n_clips: rows of the picture.
    """

    picture_name = "overlays.png"
    video_name = "overlay.mp4"

    def __init__(
        self,
        output_dir: str | Path,
        network: torch.nn.Module,
        dataset: CineDataset,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        channels: int,
        data: str,
        protocol: str = "patient",
        n_clips: int = 6,
        simulated: bool = False,
    ) -> None:
        self.folder = Path(output_dir)
        self.network = network
        self.dataset = dataset
        self.normalise = partial(network_input, mean=mean, std=std, channels=channels)
        self.title = f"saliency, {of_what({'protocol': protocol, 'data': data, 'simulated': simulated})}"
        self.n_clips = n_clips
        self.load = Compose([LoadCined(Keys.IMAGE), ToGreyd(Keys.IMAGE)])

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if idist.get_rank() != 0:
            return
        device = engine.state.device  # type: ignore[attr-defined]
        every = len(self.dataset)
        chosen = np.linspace(0, every - 1, min(self.n_clips, every)).round().astype(int)
        records = [self.dataset.data[index] for index in chosen]
        with written_beside(self.folder / self.picture_name) as path:
            self.figure(records, device).savefig(path, dpi=100)
        rate, pictures = self.video(records[0], device)
        write_video(self.folder / self.video_name, pictures, rate)

    def figure(self, records: Sequence[Mapping[str, Any]], device: Any) -> Any:
        """The overlays of a frame of each record as a matplotlib `Figure`."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10.5, 2.9 * len(records) + 0.4), layout="constrained")
        figure.suptitle(self.title, fontsize=10)
        grid = figure.subplots(len(records), 3, squeeze=False)
        for row, record in zip(grid, records, strict=True):
            gaze: Gaze = record[Keys.GAZE]
            frame = int(gaze.fixated[len(gaze.fixated) // 2])
            grey, meta = self._original(record, [frame]), self.dataset.cache.meta(record)
            density, prediction = gaze.density(frame), self._predict(record, [frame], device)[0]
            here = put_points_back(gaze.points[gaze.frames == frame], meta).numpy() - 0.5
            row[0].imshow(grey[0], cmap="gray", vmin=0, vmax=255)
            row[0].plot(*here.T, "o", markersize=6, markerfacecolor="none", markeredgecolor="yellow")
            row[0].set_title(f"{video_text(dict(record))}, frame {frame}", fontsize=8)
            row[1].set_title("fixation density", fontsize=8)
            told = f"KLD {kld(prediction, density):.2f}, NSS {nss(prediction, gaze.counts(frame)):.2f}"
            row[2].set_title(f"prediction: {told}", fontsize=8)
            for axes, values in zip(row[1:], (density, prediction), strict=True):
                axes.imshow(overlay(grey[0], put_back(values[None], meta)[0].numpy()))
            for axes in row:
                axes.set(xticks=[], yticks=[])
        return figure

    def video(self, record: Mapping[str, Any], device: Any) -> tuple[float, Iterable[np.ndarray]]:
        """Frames a second, and pictures ``(H, W, 3)`` uint8, of a clip beside its prediction."""
        meta, gaze = self.dataset.cache.meta(record), record[Keys.GAZE]
        grey = self._original(record)
        times = frame_seconds(meta.get(Keys.FRAME_TIMES), len(grey))
        rate = 1 / float(np.median(np.diff(times))) if len(grey) > 1 else 1.0
        maps = self._predict(record, range(len(grey)), device)

        def pictures() -> Iterator[np.ndarray]:
            for frame in range(len(grey)):
                predicted = overlay(grey[frame], put_back(maps[frame][None], meta)[0].numpy())
                points = put_points_back(gaze.points[gaze.frames == frame], meta).numpy()
                title = f"{self.title}: frame {frame} with fixations, and predicted saliency"
                yield side_by_side(grey[frame], points, predicted, title)

        rounds = math.ceil(_LEAST_SECONDS * rate / len(grey))
        return rate, pictures() if rounds <= 1 else list(pictures()) * rounds

    def _original(self, record: Mapping[str, Any], frames: Sequence[int] | None = None) -> np.ndarray:
        """The sector in the original frames ``(T, H, W)`` uint8, black around it."""
        cine = self.load({Keys.IMAGE: record[Keys.IMAGE]})[Keys.IMAGE].numpy()[0]
        meta, side = self.dataset.cache.meta(record), self.dataset.cache.frames(record).shape[-1]
        sector = put_back(torch.ones(1, side, side), meta)[0].numpy() > 0
        return (cine if frames is None else cine[list(frames)]) * sector.astype(np.uint8)

    def _predict(self, record: Mapping[str, Any], frames: Sequence[int], device: Any) -> np.ndarray:
        """The maps of frames ``(T, h, w)`` in the network's square."""
        images = self.normalise(chosen_frames(self.dataset.cache.frames(record), np.array(frames)))
        with torch.no_grad(), eval_mode(self.network):
            return FramesInferer(32)(images[None].to(device), self.network)[0, :, 0].float().cpu().numpy()
