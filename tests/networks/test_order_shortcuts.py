# SPDX-License-Identifier: Apache-2.0
"""What could tell the order without looking at tissue does not: a small network on clips frozen to one frame.

Each frozen cine keeps what would otherwise change with time: the brightness drifts, a clock runs and a bar grows beside
the sector, and noise is encoded as real H.264. With the guards the order is at chance, with all of these at once; with
the guard against any one of them off it is told from that one alone.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from monai.transforms import Compose
from torch import nn

from bundle.data.phantom.clip import CLASSES, ClipPlan, simulate
from bundle.keys import Keys
from bundle.losses import OrderLoss
from bundle.metrics import OrderAccuracy
from bundle.networks import OrderGeometryHeads, PretextNet
from bundle.transforms import ClipGeometry, ClipSampling, CropToSector, RandShuffledClipd, ResizeFrames, shuffled_clips

N_FRAMES, SIZE = 6, 48
CLIPS, HELD_OUT = 200, 160
CHANCE = 1 / 3  # three frames have three orders
SPREAD = (CHANCE * (1 - CHANCE) / HELD_OUT) ** 0.5


class SmallEncoder(nn.Sequential):
    name, in_channels, feature_dim = "small", 1, 32

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for before, after in ((1, 16), (16, 32), (32, 32)):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Layers as small as these gain nothing from a second thread, and lose much where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def stills() -> list[np.ndarray]:
    """Screens ``(H, W)`` of the phantom; the last third is held out."""
    return [simulate(ClipPlan(7, patient, CLASSES[patient % 5], 0, 1)).frames[0] for patient in range(36)]


def drift(frames: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Brightness rises or falls by 3 % a frame."""
    slope = random.choice([-0.03, 0.03])
    return (frames * (1 + slope * np.arange(-3, N_FRAMES - 3)[:, None, None])).clip(0, 255).astype(np.uint8)


def clock(frames: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Seconds are counted above the sector."""
    from PIL import Image, ImageDraw

    pictures = [Image.fromarray(frame) for frame in frames]
    for second, picture in enumerate(pictures):
        ImageDraw.Draw(picture).text((140, -6), str(second), fill=255, font_size=30)
    return np.stack([np.asarray(picture) for picture in pictures])


def bar(frames: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A bar grows below the sector."""
    frames = frames.copy()
    for time, frame in enumerate(frames):
        frame[-8:, 100 : 110 + 20 * time] = 200
    return frames


def codec(frames: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Independent noise in each frame, encoded as H.264: I, P and B frames differ in what they keep of it."""
    import av

    noisy = np.where(frames > 0, frames + random.normal(0, 6, frames.shape), 0).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", 25, options={"crf": "23", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = noisy.shape[2], noisy.shape[1], "yuv420p"
        for frame in noisy:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.repeat(frame[..., None], 3, -1), format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])


def frozen(stills, artefacts, crop: bool) -> list[np.ndarray]:
    cines = []
    for seed, still in enumerate(stills):
        frames, random = np.repeat(still[None], N_FRAMES, axis=0), np.random.default_rng(seed)
        for artefact in artefacts:
            frames = artefact(frames, random)
        cines.append(np.asarray(ResizeFrames(SIZE)(CropToSector()(frames[None]) if crop else frames[None])))
    return cines


def batch(transform, cines, count: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    samples = [transform({Keys.IMAGE: cines[k % len(cines)]}) for k in range(count)]
    targets = {key: torch.tensor([sample[key] for sample in samples]) for key in (Keys.ORDER, Keys.MOVING)}
    targets[Keys.PATIENT_ID] = torch.arange(count)
    return torch.stack([sample[Keys.CLIPS] for sample in samples]), targets


def order_accuracy(cines, transform) -> float:
    """Of a network trained on two thirds of the cines, on the others."""
    torch.manual_seed(0)
    transform.set_random_state(seed=0)
    cut = 2 * len(cines) // 3
    clips, targets = batch(transform, cines[:cut], CLIPS)
    heads = OrderGeometryHeads(32, n_frames=3, n_orders=3, n_parameters=0, hidden_dim=64)
    network = PretextNet(SmallEncoder(), {"order": heads})
    optimiser, loss = torch.optim.Adam(network.parameters(), 3e-3), OrderLoss()
    for _ in range(12):
        for chosen in torch.randperm(CLIPS).split(25):
            optimiser.zero_grad()
            loss(
                network({Keys.CLIPS: clips[chosen]}), {name: value[chosen] for name, value in targets.items()}
            ).backward()
            optimiser.step()
    clips, targets = batch(transform, cines[cut:], HELD_OUT)
    metric = OrderAccuracy(3)
    with torch.no_grad():
        metric.update((network.eval()({Keys.CLIPS: clips}), targets))
    return metric.compute()[""]


def transform(**changed) -> RandShuffledClipd:
    """As in training, but that frozen clips count as moving: otherwise no order is learned from them at all."""
    return RandShuffledClipd(sampling=ClipSampling(3, stride_frames=(2, 2)), motion_threshold=0, **changed)


def test_with_the_guards_the_order_of_frozen_clips_is_at_chance(stills):
    cines = frozen(stills, [drift, clock, bar, codec], crop=True)
    accuracy = order_accuracy(cines, transform())
    assert abs(accuracy - CHANCE) < 3.9 * SPREAD  # 1 in 10 000 by luck


@pytest.mark.parametrize("artefact", [drift, codec])
def test_without_even_brightness_and_jitter_it_is_told(stills, artefact, monkeypatch):
    monkeypatch.setattr(shuffled_clips, "even_brightness", lambda frames, seen: frames)
    accuracy = order_accuracy(frozen(stills, [artefact], crop=True), transform(jitter=Compose([])))
    assert accuracy > CHANCE + 8 * SPREAD


@pytest.mark.parametrize("artefact", [clock, bar])
def test_without_the_crop_to_the_sector_it_is_told(stills, artefact):
    accuracy = order_accuracy(frozen(stills, [artefact], crop=False), transform(geometry=ClipGeometry(field=1.0)))
    assert accuracy > CHANCE + 8 * SPREAD


def test_of_hardly_any_frozen_clip_an_order_is_asked(stills):
    frozen_cines = frozen(stills, [drift, codec], crop=True)
    transform = RandShuffledClipd(sampling=ClipSampling(3, stride_frames=(2, 2))).set_random_state(seed=0)
    _, targets = batch(transform, frozen_cines, 4 * len(stills))
    assert targets[Keys.MOVING].float().mean() < 0.15  # about 0.06 over seeds
