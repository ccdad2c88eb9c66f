# SPDX-License-Identifier: Apache-2.0
"""Perceptual hashes: what leaves them as they are, what does not, and the search against counting bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, zoom

from bundle.data.near_duplicates import (
    BITS,
    MAX_FRAMES,
    MAX_VIEWED,
    THRESHOLD,
    clip_distances,
    hash_clip,
    nearest_frames,
)


def texture(seed: int, n_frames: int = 5, size: int = 64) -> np.ndarray:
    """``(1, T, size, size)`` uint8: a sector of smooth random texture that moves slowly."""
    random = np.random.default_rng(seed)
    field = gaussian_filter(random.normal(size=(n_frames + 4, size, size)), (2, 2.5, 2.5))[2:-2]
    grey = 110 + 45 * field / field.std()
    rows, columns = np.indices((size, size)) / size
    inside = abs(columns - 0.5) < 0.15 + 0.35 * rows
    return (grey.clip(5, 255) * inside).astype(np.uint8)[None]


def distance(one: np.ndarray, other: np.ndarray) -> int:
    return nearest_frames(hash_clip(one), hash_clip(other)).distance


CHANGES = {
    "half gain": lambda frames: frames // 2,
    "darker with depth": lambda frames: (frames * np.linspace(1, 0.4, 64)[:, None]).astype(np.uint8),
    "noise": lambda frames: (frames + np.random.default_rng(0).integers(0, 12, frames.shape)).clip(0, 255).astype("u1"),
    "twice the size": lambda frames: zoom(frames, (1, 1, 2, 2), order=1),
    "half the size": lambda frames: zoom(frames, (1, 1, 0.5, 0.5), order=1),
    "flipped": lambda frames: frames[..., ::-1],
    "one frame of it": lambda frames: frames[:, 3:4],
    "a tenth smaller": lambda frames: np.pad(frames, ((0, 0), (0, 0), (4, 4), (4, 4))),
    "three channels": lambda frames: np.repeat(frames, 3, axis=0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_alike(change):
    frames = texture(0)
    assert distance(CHANGES[change](frames), frames) <= THRESHOLD
    assert distance(frames, CHANGES[change](frames)) <= THRESHOLD
    assert distance(CHANGES[change](frames), texture(1)) > THRESHOLD


def test_other_textures_in_the_same_sector_are_about_as_far_apart_as_chance():
    clips = [hash_clip(texture(seed)) for seed in range(12)]
    apart = clip_distances([clip.views for clip in clips], [clip.hashes for clip in clips])
    assert (np.diag(apart) == 0).all()
    others = apart[~np.eye(len(clips), dtype=bool)]
    assert others.min() > THRESHOLD and BITS * 0.3 < np.median(others) < BITS * 0.5


def test_flipped_views_are_the_hashes_of_flipped_frames():
    frames = texture(2)
    upright, flipped = np.split(hash_clip(frames).views, 2)
    of_flipped = hash_clip(np.ascontiguousarray(frames[..., ::-1])).views[: len(upright)]
    assert np.unpackbits(flipped ^ of_flipped).mean() < 0.002  # but where a frequency is as good as absent
    assert nearest_frames(hash_clip(frames[..., ::-1]), hash_clip(frames)).flipped
    assert not nearest_frames(hash_clip(frames), hash_clip(frames)).flipped


def test_distances_are_those_counted_bit_by_bit():
    random = np.random.default_rng(0)
    queries = [random.integers(0, 256, (2, n, 32), dtype=np.uint8) for n in (3, 0, 1)]
    references = [random.integers(0, 256, (n, 32), dtype=np.uint8) for n in (4, 1, 0, 2)]
    until = [4, 4, 2]
    expected = np.full((3, 4), BITS)
    for i, views in enumerate(queries):
        for j, hashes in enumerate(references[: until[i]]):
            for one in views.reshape(-1, 32):
                for other in hashes:
                    expected[i, j] = min(
                        expected[i, j], sum(int(a ^ b).bit_count() for a, b in zip(one, other, strict=True))
                    )
    assert (clip_distances(queries, references, until) == expected).all()
    assert clip_distances([], references).shape == (0, 4)


def test_many_references_are_searched_in_chunks(monkeypatch):
    random = np.random.default_rng(1)
    queries = [random.integers(0, 256, (2, 3, 32), dtype=np.uint8) for _ in range(3)]
    references = [random.integers(0, 256, (n, 32), dtype=np.uint8) for n in (4, 1, 0, 2, 5, 3)]
    whole = clip_distances(queries, references, [6, 3, 1])
    monkeypatch.setattr("bundle.data.near_duplicates._FRAMES_AT_ONCE", 4)
    assert (clip_distances(queries, references, [6, 3, 1]) == whole).all()


def test_the_nearest_frames_are_named_by_their_place_in_the_clip():
    frames = texture(3, n_frames=9)
    other = np.concatenate([texture(4, n_frames=4), frames[:, 6:7], texture(5, n_frames=2)], axis=1)
    nearest = nearest_frames(hash_clip(other), hash_clip(frames))
    assert nearest.frames == (4, 6) and nearest.distance < 16  # what is ever lit differs


def test_black_and_flat_frames_are_like_nothing():
    frames = np.concatenate([np.zeros((1, 2, 64, 64), np.uint8), texture(6), np.full((1, 1, 64, 64), 90, np.uint8)], 1)
    hashes = hash_clip(frames)
    assert hashes.frames.tolist() == [2, 3, 4, 5, 6] and len(hashes.hashes) == 5
    black = hash_clip(frames[:, :2])
    assert len(black.hashes) == 0 and nearest_frames(black, hashes).distance == BITS
    assert nearest_frames(hashes, black).distance == BITS and nearest_frames(black, black).distance == BITS


def test_long_clips_are_hashed_at_even_places():
    frames = np.tile(texture(7), (1, 60, 1, 1))
    hashes = hash_clip(frames)
    assert len(hashes.frames) == MAX_FRAMES and (hashes.frames[0], hashes.frames[-1]) == (0, 299)
    assert set(np.diff(hashes.frames)) <= {4, 5}
    assert hashes.views.shape == (18, MAX_VIEWED, 32) and len(hashes.viewed) == MAX_VIEWED
    assert (hashes.views[0] == hashes.hashes[::4]).all()
