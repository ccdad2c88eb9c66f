# SPDX-License-Identifier: Apache-2.0
"""The picture of shuffled clips says what the sample says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import Dataset

from bundle.handlers import ClipMontage
from bundle.keys import Keys
from bundle.transforms import ClipGeometry, FrameOrders


@pytest.fixture
def montage(tmp_path) -> ClipMontage:
    geometry = ClipGeometry(flip=0.5)
    values = {
        "rotation": 12.0,
        "scale": float(np.log(1.1)),
        "shear": -3.0,
        "shift_x": 0.05,
        "shift_y": 0.0,
        "flip": 1.0,
    }
    sample = {
        Keys.VIDEO_ID: "set/seven",
        Keys.CLIPS: torch.linspace(-2, 2, 8).view(2, 4, 1, 1, 1).expand(2, 4, 1, 40, 40),
        Keys.ORDER: 2,
        Keys.GEOMETRY: geometry.label(torch.tensor([values[name] for name in geometry.names])),
        Keys.MOVING: False,
        Keys.CLIP_FRAMES: torch.tensor([3, 9, 6, 12]),
        Keys.SHORTENED: True,
    }
    moving = {**sample, Keys.VIDEO_ID: "set/eight", Keys.MOVING: True, Keys.SHORTENED: False}
    return ClipMontage(tmp_path, Dataset([sample, moving]), 0.5, 0.25, FrameOrders(), geometry)


def test_rows_say_order_and_map_and_show_the_frames_as_they_are(montage):
    axes = np.array(montage.figure([0, 1]).axes).reshape(4, 5)
    told = [row[0].texts[0].get_text().split("\n") for row in axes]
    assert told[0] == ["seven", "order 2: 0 2 1 3", "nothing moves: not asked", "smaller stride than asked"]
    assert told[2] == ["eight", "order 2: 0 2 1 3"]
    parameters = ["rotation +12.0 degrees", "scale +10.0 percent", "shear -3.0 degrees", "shift_x +2.0 pixels"]
    assert told[1] == told[3] == [*parameters, "shift_y +0.0 pixels", "flipped"]
    for row in axes:
        assert [one.get_title() for one in row[1:]] == ["frame 3", "frame 9", "frame 6", "frame 12"]
    greys = [[float(one.images[0].get_array().mean()) for one in row[1:]] for row in axes[:2]]
    assert np.allclose(np.ravel(greys), np.linspace(0, 1, 8))


def test_the_picture_is_written_once_before_training(montage, tmp_path):
    engine = Engine(lambda engine, batch: None)
    montage.attach(engine)
    engine.run([0], max_epochs=2)
    assert (tmp_path / "clips.png").stat().st_size > 1000
    (tmp_path / "clips.png").unlink()
    engine.run([0], max_epochs=3)  # goes on from epoch 2
    assert not (tmp_path / "clips.png").exists()
