# SPDX-License-Identifier: Apache-2.0
"""From shuffled clips to what the network and the loss take."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import DataLoader, Dataset

from bundle.data import PrepareClips, with_draws
from bundle.keys import Keys
from bundle.losses import OrderGeometryLoss
from bundle.networks import OrderGeometryNet
from bundle.networks.encoder import Encoder
from bundle.transforms import RandShuffledClipd, RandViewIntensity


def records(n: int) -> list[dict]:
    noise = np.random.RandomState(0).randint(20, 220, (n, 1, 9, 32, 32)).astype(np.uint8)
    return [{Keys.IMAGE: cine, Keys.VIDEO_ID: f"v{k}"} for k, cine in enumerate(noise)]


def test_clips_and_targets_of_a_loaders_batch_fit_network_and_loss():
    transform = RandShuffledClipd(jitter=RandViewIntensity(), fixed_draws=2)
    keys = (Keys.CLIPS, Keys.ORDER, Keys.MOVING, Keys.GEOMETRY)
    samples = [transform(record) for record in with_draws(records(2), 2)]
    loader = DataLoader(Dataset([{key: sample[key] for key in keys} for sample in samples]), batch_size=4)
    clips, targets = PrepareClips()(next(iter(loader)), device="cpu")
    assert clips.shape == (4, 2, 4, 1, 32, 32) and clips.dtype == torch.float32
    assert {name: (tuple(value.shape), value.dtype) for name, value in targets.items()} == {
        Keys.ORDER: ((4,), torch.int64),
        Keys.MOVING: ((4,), torch.bool),
        Keys.GEOMETRY: ((4, 5), torch.float32),
    }
    for k, sample in enumerate(samples):
        assert torch.equal(clips[k], sample[Keys.CLIPS]) and targets[Keys.ORDER][k] == sample[Keys.ORDER]
    loss = OrderGeometryLoss()(OrderGeometryNet(Encoder("resnet18"), hidden_dim=8)(clips), targets)
    assert loss.isfinite()


def test_each_record_has_each_draw():
    given = [{Keys.VIDEO_ID: "a"}, {Keys.VIDEO_ID: "b"}]
    drawn = [(record[Keys.VIDEO_ID], record[Keys.DRAW]) for record in with_draws(given, 3)]
    assert drawn == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("b", 2)]
    assert given == [{Keys.VIDEO_ID: "a"}, {Keys.VIDEO_ID: "b"}], "the records given are left alone"
