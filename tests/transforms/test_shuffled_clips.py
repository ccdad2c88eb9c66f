# SPDX-License-Identifier: Apache-2.0
"""The sample of order and geometry pretraining: what it says is what it shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import Compose

from bundle.errors import InputError
from bundle.keys import Keys
from bundle.transforms import ClipGeometry, ClipSampling, FrameOrders, RandShuffledClipd, RandViewIntensity
from bundle.transforms.clip_geometry import round_window
from bundle.transforms.clip_motion import even_brightness

PLAIN = {"jitter": Compose([]), "mean": 0.0, "std": 1.0}


def cine(n_frames: int = 20, side: int = 32, seed: int = 0) -> np.ndarray:
    """A texture that runs 3 pixels to the right each frame, ``(1, T, side, side)``."""
    coarse = np.random.RandomState(seed).uniform(40, 220, (side // 4, 4 * side // 4))
    texture = np.kron(coarse, np.ones((4, 4)))[:, : 3 * side].astype(np.uint8)
    return np.stack([np.roll(texture, 3 * t, axis=1)[:, :side] for t in range(n_frames)])[None]


def record(n_frames: int = 20, **more) -> dict:
    return {Keys.IMAGE: cine(n_frames), Keys.FRAME_TIMES: np.arange(n_frames) / 20, Keys.VIDEO_ID: "set/7", **more}


def make(seed: int = 0, **changed) -> RandShuffledClipd:
    return RandShuffledClipd(**changed).set_random_state(seed)


def test_what_is_in_the_sample():
    transform = make(channels=3)
    sample = transform(record(label=2))
    added = {Keys.CLIPS, Keys.ORDER, Keys.GEOMETRY, Keys.MOVING, Keys.CLIP_FRAMES, Keys.SHORTENED}
    assert set(sample) == {*record(), "label", *added}, "the cine stays for other samples"
    assert sample[Keys.CLIPS].shape == (2, 4, 3, 32, 32) and sample[Keys.CLIPS].dtype == torch.float32
    assert sample[Keys.GEOMETRY].shape == (5,) and sample[Keys.GEOMETRY].dtype == torch.float32
    batch = torch.utils.data.default_collate([{key: sample[key] for key in added}] * 2)
    assert batch[Keys.MOVING].dtype == torch.bool and batch[Keys.ORDER].dtype == torch.int64
    assert batch[Keys.CLIP_FRAMES].shape == (2, 4)


@pytest.mark.parametrize("merge", [True, False])
def test_order_and_frames_say_what_is_shown(merge):
    """Shown frames are put back into the label's order: they then run forwards, or if merged also backwards."""
    transform = make(merge_reversal=merge, **PLAIN)
    orders, seen = FrameOrders(4, merge), set()
    for _ in range(30):
        sample = transform(record())
        shown = sample[Keys.CLIP_FRAMES].numpy()
        by_time = shown[np.argsort(orders.table[sample[Keys.ORDER]])]
        steps = np.sign(np.diff(by_time)).tolist()
        assert steps == [1, 1, 1] or (merge and steps == [-1, -1, -1])
        read = torch.as_tensor(cine()[:, shown], dtype=torch.float32).movedim(1, 0) / 255
        even = even_brightness(read, transform.geometry.seen(*read.shape[-2:]))
        expected = round_window(transform.geometry.show(even, sample[Keys.GEOMETRY]))
        assert torch.allclose(sample[Keys.CLIPS], expected, atol=1e-6)
        seen.add(sample[Keys.ORDER])
    assert len(seen) > 8


def test_the_transformed_clip_is_the_labels_map_of_the_clip_as_it_is():
    transform = make(geometry=ClipGeometry(rotation=180, scale=0, shear=0, shift=0), **PLAIN)
    transform.geometry.__dict__["draw"] = lambda random: transform.geometry.label(torch.tensor([180.0]))
    as_it_is, transformed = transform(record())[Keys.CLIPS]
    assert torch.allclose(transformed, as_it_is.flip((-2, -1)), atol=1e-4)


def test_jitter_is_drawn_for_each_frame_of_both_clips_and_the_corners_stay_black():
    transform = make(jitter=RandViewIntensity(jitter_prob=1.0, blur_prob=0, shadow_prob=0), mean=0.5, std=0.25)
    still = {Keys.IMAGE: np.full((1, 12, 32, 32), 120, np.uint8)}
    clips = transform(still)[Keys.CLIPS].flatten(0, 1)
    assert clips.shape == (8, 1, 32, 32) and len({round(float(frame.mean()), 4) for frame in clips}) == 8
    assert (clips[..., 0, 0] == -2).all() and (clips[..., 16, 16] > -2).all()


def test_frozen_clips_have_no_order_and_moving_ones_have():
    transform = make()
    assert transform(record())[Keys.MOVING] is True
    frozen = np.repeat(cine(1), 20, axis=1)
    drifting = (frozen * np.linspace(0.7, 1, 20)[None, :, None, None]).astype(np.uint8)
    for still in (frozen, drifting):
        assert transform({**record(), Keys.IMAGE: still})[Keys.MOVING] is False
    assert make(motion_threshold=0)({**record(), Keys.IMAGE: frozen})[Keys.MOVING] is True


def test_shortened_is_told():
    assert make(sampling=ClipSampling(4, (1.0, 2.0)))(record())[Keys.SHORTENED] is True
    assert make(sampling=ClipSampling(4, (0.1, 0.2)))(record())[Keys.SHORTENED] is False


def same(first: dict, second: dict) -> bool:
    keys = (Keys.CLIPS, Keys.GEOMETRY, Keys.CLIP_FRAMES)
    return all(torch.equal(first[key], second[key]) for key in keys)


def test_draws_come_from_the_random_state_alone():
    first, second = make(3), make(3)
    samples = [first(record()) for _ in range(3)]
    assert all(same(sample, second(record())) for sample in samples)
    assert not same(samples[0], samples[1]) and not same(make(4)(record()), samples[0])


def test_fixed_draws_depend_on_video_and_draw_alone():
    transform = make(0)
    samples = [transform(record(draw=(k, 3))) for k in range(3)]
    other = make(9)
    assert all(same(other(record(draw=(k, 3))), samples[k]) for k in (2, 0, 1))
    starts = [int(sample[Keys.CLIP_FRAMES].min()) for sample in samples]
    assert starts == sorted(set(starts)), "evenly placed, one after the other"
    assert not same(transform({**record(draw=(0, 3)), Keys.VIDEO_ID: "set/8"}), samples[0])


def test_only_drawn_frames_are_read(tmp_path):
    np.save(tmp_path / "cine.npy", cine())
    mapped = np.load(tmp_path / "cine.npy", mmap_mode="r")
    assert same(make()({**record(), Keys.IMAGE: mapped}), make()(record()))


def test_bad_input():
    with pytest.raises(InputError, match="video set/7: found 3 frames; expected at least 4"):
        make()(record(3))
    with pytest.raises(InputError, match="n_frames: found 2 with merge_reversal"):
        RandShuffledClipd(sampling=ClipSampling(2))
    assert len(RandShuffledClipd(sampling=ClipSampling(2), merge_reversal=False).orders) == 2
