# SPDX-License-Identifier: Apache-2.0
"""Frames to train on: which they are, and one geometry for all that belongs together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import Compose

from bundle.errors import InputError
from bundle.transforms import RandAugmentFramesd, RandFramesd, RandViewGeometry, RandViewIntensity
from bundle.transforms.view_geometry import resample


def numbered(n_frames: int) -> np.ndarray:
    """A cine whose frame t is t everywhere."""
    return np.broadcast_to(np.arange(n_frames, dtype=np.uint8)[None, :, None, None], (1, n_frames, 8, 8))


def test_one_frame_of_each_interval():
    draw = RandFramesd("image", n_frames=4)
    draw.set_random_state(0)
    seen = []
    for _ in range(200):
        sample = draw({"image": numbered(12), "label": 1})
        assert set(sample) == {"frames", "frame_index", "label"}
        places = sample["frame_index"]
        assert (places // 3).tolist() == [0, 1, 2, 3]
        assert torch.equal((sample["frames"] * 255).round()[:, 0, 0, 0].long(), places)
        seen += places.tolist()
    assert set(seen) == set(range(12)) and np.bincount(seen).min() > 40
    assert draw({"image": numbered(2)})["frame_index"].tolist() == [0, 0, 1, 1]
    assert draw({"image": numbered(1)})["frames"].shape == (4, 1, 8, 8)
    assert draw({"image": numbered(8), "draw": (1, 2)})["frame_index"].tolist() == [6]
    with pytest.raises(InputError, match="n_frames"):
        RandFramesd("image", n_frames=0)


def made(keys, **geometry) -> Compose:
    augment = RandAugmentFramesd(
        keys, RandViewGeometry(**geometry), RandViewIntensity(), mean=[0.1, 0.2, 0.3], std=0.5, channels=3
    )
    return Compose([RandFramesd("image", 3), augment])


def test_frames_and_what_goes_with_them_share_one_matrix():
    chain = made(["frames", "mask"], crop_area=(0.5, 0.9), rotation=20)
    chain.set_random_state(seed=3)
    image = np.random.default_rng(0).integers(60, 200, (1, 9, 32, 32), dtype=np.uint8)
    augment = chain.transforms[1]
    augment.intensity = None
    sample = chain({"image": image, "mask": torch.rand(3, 1, 32, 32)})
    theta = augment.geometry.theta
    assert theta.shape == (1, 2, 3)
    grey = torch.as_tensor(image[0, sample["frame_index"]]).float()[:, None] / 255
    expected = resample(grey, theta.expand(3, -1, -1))
    for channel, mean in enumerate((0.1, 0.2, 0.3)):
        assert torch.allclose(sample["frames"][:, channel], (expected[:, 0] - mean) / 0.5, atol=1e-5)
    assert sample["mask"].shape == (3, 1, 32, 32) and 0 <= sample["mask"].min() and sample["mask"].max() <= 1


def test_the_seed_decides_everything():
    record = {"image": np.random.default_rng(0).integers(60, 200, (1, 9, 16, 16), dtype=np.uint8)}
    chain = made("frames", rotation=20)
    drawn = []
    for seed in (5, 5, 6):
        chain.set_random_state(seed=seed)
        drawn.append(chain(dict(record))["frames"])
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
