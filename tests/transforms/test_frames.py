# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.errors import InputError
from bundle.transforms import EvenFramesd
from bundle.transforms.frames import even_indices


@pytest.mark.parametrize(
    ("count", "n_frames", "expected"),
    [
        (8, 8, list(range(8))),
        (16, 4, [2, 6, 10, 14]),
        (10, 1, [5]),
        (7, 3, [1, 3, 5]),
        (3, 6, [0, 0, 1, 1, 2, 2]),
        (1, 4, [0, 0, 0, 0]),
    ],
)
def test_known_indices(count: int, n_frames: int, expected: list[int]) -> None:
    assert even_indices(count, n_frames).tolist() == expected


@pytest.mark.parametrize("count", [1, 2, 5, 30, 101])
@pytest.mark.parametrize("n_frames", [1, 4, 8, 30])
def test_indices_are_even_in_order_and_in_range(count: int, n_frames: int) -> None:
    indices = even_indices(count, n_frames)
    assert len(indices) == n_frames and 0 <= indices[0] and indices[-1] < count
    steps = np.diff(indices)
    assert (steps >= 0).all() and (len(steps) == 0 or steps.max() - steps.min() <= 1)
    if n_frames <= count:
        assert len(set(indices)) == n_frames
    assert abs(indices[0] - (count - 1 - indices[-1])) <= 1  # as far from the start as from the end


def test_values_from_a_memory_map(tmp_path: Path) -> None:
    cine = np.random.default_rng(0).integers(0, 256, (3, 20, 6, 5), dtype=np.uint8)
    np.save(tmp_path / "cine.npy", cine)
    sample = {"image": np.load(tmp_path / "cine.npy", mmap_mode="r"), "label": 1}
    result = EvenFramesd("image", n_frames=4, mean=0.4, std=0.2)(sample)
    assert set(result) == {"frames", "frame_index", "label"} and "image" in sample
    frames = result["frames"]
    assert frames.shape == (4, 3, 6, 5) and frames.dtype == torch.float32
    expected = (cine[:, [2, 7, 12, 17]].transpose(1, 0, 2, 3) / 255 - 0.4) / 0.2
    assert np.allclose(frames.numpy(), expected, atol=1e-5)
    assert result["frame_index"].tolist() == [2, 7, 12, 17]
    one = EvenFramesd("image", n_frames=8, mean=[0.1, 0.2, 0.3], std=0.2, channels=3)({**sample, "draw": (2, 4)})
    assert one["frame_index"].tolist() == [12] and one["frames"].shape == (1, 3, 6, 5)
    expected = (cine[:, 12] / 255 - np.array([0.1, 0.2, 0.3])[:, None, None]) / 0.2
    assert np.allclose(one["frames"][0].numpy(), expected, atol=1e-5), "each channel has its own mean"


def test_refuses_no_frames() -> None:
    with pytest.raises(InputError, match="n_frames"):
        EvenFramesd("image", n_frames=0)
    with pytest.raises(InputError, match="video v7"):
        EvenFramesd("image")({"image": torch.zeros(1, 0, 4, 4, dtype=torch.uint8), "video_id": "v7"})
