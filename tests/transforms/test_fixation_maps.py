# SPDX-License-Identifier: Apache-2.0
"""Frames and their fixation maps stay together, also through the augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import Compose

from bundle.keys import Keys
from bundle.transforms import (
    EvenFramesd,
    FixatedFramesd,
    FixationMaps,
    Gaze,
    RandAugmentFramesd,
    RandFramesd,
    RandViewGeometry,
    fixation_counts,
    mean_density,
)

SIZE = 32


def record(frames: list[int], places: list[tuple[float, float]], patient: str = "p") -> dict:
    """Frame t of the cine is bright where it was fixated, its level says t."""
    cine = np.zeros((1, 20, SIZE, SIZE), np.uint8)
    for frame, (x, y) in zip(frames, places, strict=True):
        cine[0, frame, int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2] = 100 + frame
    gaze = Gaze(np.array(frames), np.array(places), np.ones(len(frames)), (1.5, 1.5), SIZE)
    return {Keys.IMAGE: cine, Keys.GAZE: gaze, Keys.PATIENT_ID: patient}


@pytest.fixture
def one() -> dict:
    return record([3, 7, 8, 15], [(6.5, 9.5), (12.5, 20.5), (20.5, 12.5), (16.5, 16.5)])


@pytest.mark.parametrize("choose", [RandFramesd(n_frames=3), EvenFramesd(n_frames=3, mean=0.0, std=1.0)])
def test_only_fixated_frames_are_chosen_and_their_maps_are_theirs(one, choose):
    sample = Compose([FixatedFramesd(), choose, FixationMaps()])(one)
    assert set(sample[Keys.FRAME_INDEX].tolist()) <= {3, 7, 8, 15}
    assert sample[Keys.SALIENCY].shape == sample[Keys.FIXATIONS].shape == (3, 1, SIZE, SIZE)
    assert Keys.GAZE not in sample
    for frame, image, density, counts in zip(
        *(sample[key] for key in (Keys.FRAME_INDEX, Keys.FRAMES, Keys.SALIENCY, Keys.FIXATIONS)), strict=True
    ):
        assert round(float(image.max()) * 255) == 100 + int(frame)
        assert float(density.sum()) == pytest.approx(1)
        assert int(counts.sum()) == 1 and image[counts > 0] > 0
        assert density.argmax() == counts.argmax()


def test_the_augmentation_moves_frame_and_density_alike(one):
    geometry = RandViewGeometry(crop_area=(0.8, 1.0), rotation=20, flip=0.5)
    augment = RandAugmentFramesd([Keys.FRAMES, Keys.SALIENCY], geometry, mean=0.0, std=1.0)
    chain = Compose([FixatedFramesd(), RandFramesd(n_frames=4), FixationMaps(), augment])
    chain.set_random_state(seed=5)
    pixels = torch.stack(torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")).float()

    def centre(image: torch.Tensor) -> torch.Tensor:
        return (pixels * image).sum(dim=(1, 2)) / image.sum()

    moved = 0.0
    for _ in range(5):
        sample = chain(one)
        for frame, image, density in zip(
            sample[Keys.FRAME_INDEX].tolist(), sample[Keys.FRAMES][:, 0], sample[Keys.SALIENCY][:, 0], strict=True
        ):
            if float(density.sum()) > 0.9:  # whole in the view
                assert torch.allclose(centre(image), centre(density), atol=0.6)
            moved = max(
                moved, float((centre(density) - centre(torch.from_numpy(one[Keys.GAZE].density(frame)))).norm())
            )
    assert moved > 2


def test_the_centre_prior_is_the_mean_of_all_fixated_frames(one):
    other = record([0], [(4.5, 4.5)], "q")
    prior = mean_density([one, other])
    slow = [one[Keys.GAZE].density(frame) for frame in (3, 7, 8, 15)] + [other[Keys.GAZE].density(0)]
    np.testing.assert_allclose(prior, np.mean(slow, axis=0), atol=1e-7)
    assert prior.sum() == pytest.approx(1)


def test_fixations_are_counted_by_patient(one):
    again, other = record([0, 1], [(6.5, 9.5), (2.5, 3.5)]), record([5], [(31.9, 0.0)], "q")
    counts = fixation_counts([one, again, other])
    assert sorted(counts) == ["p", "q"]
    assert counts["p"].sum() == 6 and counts["p"][9, 6] == 2 and counts["p"][3, 2] == 1
    assert counts["q"].sum() == 1 and counts["q"][0, 31] == 1
