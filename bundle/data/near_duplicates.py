# SPDX-License-Identifier: Apache-2.0
"""Near-duplicate frames: a perceptual hash of a frame, and the search for clips that show the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.nn.functional import interpolate

HASH_VERSION = 1
"""Goes up when the same frame gets another hash."""

BITS = 256
THRESHOLD = 44
"""Frames whose hashes differ in at most this many of `BITS` bits show the same; docs/leakage.md says how it was set."""

MAX_FRAMES = 64
"""Frames of a clip that are hashed, evenly spaced over it."""

MAX_VIEWED = 16
"""Hashed frames of a clip that are also hashed moved and flipped, evenly spaced over these."""

_SIDE = 32
_LIT = 3.0  # grey level above which a pixel belongs to the scan
_SIGMA = 2.0  # of the local mean and contrast, pixels of 32 x 32
_FLOOR = 4.0  # grey levels; weaker contrast is not blown up
_FLAT = 1.0  # grey levels; a frame of less contrast tells nothing

# A copy with other borders gets another sector box: its scan is larger or smaller in the square, and lies higher or
# lower, as the box is centred
_ZOOMS = (1.0, 0.89, 1.12)
_SHIFTS = (0.0, -1.1, 1.1)  # pixels of 32 x 32
_FRAMES_AT_ONCE = 16384  # bounds the memory of the search, to about 100 MB


@dataclass(frozen=True)
class ClipHashes:
    """The hashes of a clip's frames.

    Attributes:
        frames: which frames were hashed, ``(N,)``, N up to `MAX_FRAMES`; black and flat ones are not.
        hashes: of these frames, ``(N, 32)`` uint8.
        views: of the frames ``viewed``, every few of them, as they are and also larger, smaller, higher, lower and
            flipped left to right: ``(18, n, 32)`` uint8, n up to `MAX_VIEWED`. The second half is flipped.
    """

    frames: np.ndarray
    hashes: np.ndarray
    views: np.ndarray

    @property
    def viewed(self) -> np.ndarray:
        """Which frames ``views`` are of."""
        return self.frames[:: _view_step(len(self.frames))]


@dataclass(frozen=True)
class Nearest:
    """The two most alike frames of two clips, and how many of `BITS` bits they differ in."""

    distance: int
    frames: tuple[int, int]
    flipped: bool


def hash_clip(frames: np.ndarray) -> ClipHashes:
    """Perceptual hashes of a clip's frames.

    A frame is shrunk to 32 x 32 and freed of local brightness and contrast within the scan (all that is ever lit in
    the clip); its hash is the signs of its 256 lowest frequencies (discrete cosine transform) but the mean. So the
    outline of the sector, gain and shading with depth, which all clips of one device share, count little.

    Args:
        frames: ``(C, T, H, W)`` uint8, cropped to the sector. Their size makes little difference from 32 pixels on.
    """
    chosen = np.unique(np.linspace(0, frames.shape[1] - 1, min(frames.shape[1], MAX_FRAMES)).round().astype(int))
    grey = torch.from_numpy(frames[:, chosen].mean(axis=0, dtype=np.float32))
    small = interpolate(grey[:, None], (_SIDE, _SIDE), mode="bilinear", antialias=True)[:, 0].numpy()
    brightest = small.max(axis=0)
    normalised, contrast = _locally_normalised(small, brightest)
    tells = contrast >= _FLAT
    viewed = small[tells][:: _view_step(int(tells.sum()))]
    upright = np.stack([_moved_hashes(viewed, brightest, zoom, shift) for zoom in _ZOOMS for shift in _SHIFTS])
    # what flips an image turns the sign of each odd frequency along its rows
    odd = np.packbits(_frequencies() % _SIDE % 2 == 1)
    views = np.concatenate([upright, upright ^ odd])
    return ClipHashes(chosen[tells], _signs_of_spectrum(normalised[tells]), views)


def clip_distances(
    queries: Sequence[np.ndarray],
    references: Sequence[np.ndarray],
    until: Sequence[int] | None = None,
) -> np.ndarray:
    """The number of bits in which the most alike frames of two clips differ, for every query and reference.

    Args:
        queries: for each clip its views ``(V, n, 32)``.
        references: for each clip its hashes ``(N, 32)``.
        until: for each query, how many of the references it is compared with; all by default.

    Returns:
        ``(Q, R)`` int16; `BITS` where nothing was compared.
    """
    from tqdm import tqdm

    until = [len(references)] * len(queries) if until is None else until
    found = np.full((len(queries), len(references)), BITS, np.int16)
    chunks = list(_chunks([len(reference) for reference in references]))
    with tqdm(total=len(chunks) * len(queries), desc="look-alikes", unit="clip", delay=2) as bar:
        for start, stop in chunks:
            clips = np.repeat(np.arange(start, stop), [len(reference) for reference in references[start:stop]])
            signs = _signs(np.concatenate(references[start:stop]))
            for query, views in enumerate(queries):
                bar.update()
                compared = int(np.searchsorted(clips, until[query]))
                if compared and views.size:
                    nearest = _bits_apart(_signs(views), signs[:compared]).amin(dim=0).numpy()
                    np.minimum.at(found[query], clips[:compared], nearest.astype(np.int16))
    return found


def nearest_frames(query: ClipHashes, reference: ClipHashes) -> Nearest:
    """The two most alike frames of two clips; their first ones, at distance `BITS`, where one clip has no hash."""
    if not (query.views.size and reference.hashes.size):
        return Nearest(BITS, (0, 0), flipped=False)
    apart = _bits_apart(_signs(query.views), _signs(reference.hashes)).numpy()
    apart = apart.reshape(*query.views.shape[:2], len(reference.hashes))
    view, one, other = np.unravel_index(apart.argmin(), apart.shape)
    return Nearest(
        distance=int(apart[view, one, other]),
        frames=(int(query.viewed[one]), int(reference.frames[other])),
        flipped=bool(view >= len(apart) / 2),
    )


def _view_step(n_frames: int) -> int:
    return -(-n_frames // MAX_VIEWED) or 1


def _moved_hashes(small: np.ndarray, brightest: np.ndarray, zoom: float, shift: float) -> np.ndarray:
    """Hashes of the frames enlarged by ``zoom`` about their middle and then moved up by ``shift`` pixels."""
    down, across = _interpolation(zoom, shift), _interpolation(zoom, 0.0)
    return _signs_of_spectrum(_locally_normalised(down @ small @ across.T, down @ brightest @ across.T)[0])


def _locally_normalised(small: np.ndarray, brightest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames without local mean and contrast, 0 outside the scan, and the mean local contrast of each."""
    lit = (brightest > _LIT).astype(np.float32)
    blur = _blur()
    weight = blur @ lit @ blur + 1e-3

    def local_mean(values: np.ndarray) -> np.ndarray:
        return blur @ (values * lit) @ blur / weight

    rest = (small - local_mean(small)) * lit
    contrast = np.sqrt(local_mean(rest**2)) * lit
    return rest / (contrast + _FLOOR), contrast.sum(axis=(1, 2)) / max(lit.sum(), 1)


def _signs_of_spectrum(normalised: np.ndarray) -> np.ndarray:
    cosines = _cosines()
    spectrum = (cosines @ normalised @ cosines.T).reshape(-1, _SIDE * _SIDE)
    return np.packbits(spectrum[:, _frequencies()] > 0, axis=1)


# Whatever is done to a thumbnail is separable: each step is one 32 x 32 matrix from the left and one from the right


@lru_cache
def _interpolation(zoom: float, shift: float) -> np.ndarray:
    middle = (_SIDE - 1) / 2
    source = (np.arange(_SIDE) - middle) / zoom + middle + shift
    return np.maximum(0, 1 - abs(source[:, None] - np.arange(_SIDE))).astype(np.float32)


@lru_cache
def _blur() -> np.ndarray:
    apart = np.arange(_SIDE)[:, None] - np.arange(_SIDE)
    weights = np.exp(-0.5 * (apart / _SIGMA) ** 2) / (_SIGMA * np.sqrt(2 * np.pi))
    return weights.astype(np.float32)


@lru_cache
def _cosines() -> np.ndarray:
    return np.cos(np.pi / _SIDE * (np.arange(_SIDE) + 0.5) * np.arange(_SIDE)[:, None]).astype(np.float32)


@lru_cache
def _frequencies() -> np.ndarray:
    """Flat indices of the `BITS` lowest frequencies of a 32 x 32 transform, without the mean."""
    rows, columns = np.indices((_SIDE, _SIDE))
    return np.argsort((rows**2 + columns**2).ravel(), kind="stable")[1 : BITS + 1]


def _chunks(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of clips that have about `_FRAMES_AT_ONCE` frames together."""
    start = frames = 0
    for clip, size in enumerate(sizes):
        if frames and frames + size > _FRAMES_AT_ONCE:
            yield start, clip
            start, frames = clip, 0
        frames += size
    if frames:
        yield start, len(sizes)


def _signs(hashes: np.ndarray) -> torch.Tensor:
    """Hashes ``(..., 32)`` as rows of -1 and 1, ``(N, 256)``."""
    return torch.from_numpy(np.unpackbits(hashes.reshape(-1, hashes.shape[-1]), axis=1)).float() * 2 - 1


def _bits_apart(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Hamming distances of the rows of -1 and 1, ``(N, 256)`` and ``(M, 256)`` -> ``(N, M)``."""
    return (BITS - one @ other.T) / 2
