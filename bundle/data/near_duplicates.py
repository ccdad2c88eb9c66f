# SPDX-License-Identifier: Apache-2.0
"""Near-duplicate frames: a perceptual hash of a frame, and the search for clips that show the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample, interpolate

HASH_VERSION = 1
"""Goes up when the same frame gets another hash."""

BITS = 256
THRESHOLD = 48
"""Frames whose hashes differ in at most this many of `BITS` bits show the same; docs/leakage.md says how it was set."""

MAX_FRAMES = 64
"""Frames of a clip that are hashed, evenly spaced over it."""

_SIDE = 32
_LIT = 3.0  # grey level above which a pixel belongs to the scan
_SIGMA = 2.0  # of the local mean and contrast, pixels of 32 x 32
_FLOOR = 4.0  # grey levels; weaker contrast is not blown up
_FLAT = 1.0  # grey levels; a frame of less contrast tells nothing

# A copy with other borders gets another sector box: its scan is larger or smaller in the square, and lies higher or
# lower, as the box is centred
_ZOOMS = (1.0, 0.89, 1.12)
_SHIFTS = (0.0, -0.07, 0.07)  # of half the height
_FRAMES_AT_ONCE = 16384  # bounds the memory of the search, to about 100 MB


@dataclass(frozen=True)
class Nearest:
    """The frames of two clips that are most alike: their place among the hashed ones, and how many bits differ."""

    distance: int
    frames: tuple[int, int]
    flipped: bool
    share: float
    """Share of the first clip's hashed frames that have a near-duplicate in the second."""


def hash_frames(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Perceptual hashes of a clip's frames.

    A frame is shrunk to 32 x 32 and freed of local brightness and contrast within the scan (all that is ever lit in
    the clip); its hash is the signs of its 256 lowest frequencies (discrete cosine transform) but the mean. So the
    outline of the sector, gain and shading with depth, which all clips of one device share, count little. Black and
    flat frames have no hash.

    Args:
        frames: ``(C, T, H, W)`` uint8, cropped to the sector. Their size makes no difference from 32 pixels on.

    Returns:
        Which frames were hashed, ``(N,)`` with N up to `MAX_FRAMES`, and their hashes, ``(N, 32)`` uint8.
    """
    chosen, small = _thumbnails(frames)
    return chosen, _hashes(small)


def hash_views(frames: np.ndarray) -> np.ndarray:
    """The frames that `hash_frames` hashes, as they are and also larger, smaller, higher, lower and flipped.

    Returns:
        ``(18, N, 32)`` uint8; the first is the frame as it is, the second half is flipped left to right.
    """
    _, small = _thumbnails(frames)
    views = np.stack([_hashes(_moved(small, zoom, shift)) for zoom in _ZOOMS for shift in _SHIFTS])
    # what flips an image turns the sign of each odd frequency along its rows
    odd = np.packbits(_frequencies() % _SIDE % 2 == 1)
    return np.concatenate([views, views ^ odd])


def clip_distances(
    queries: Sequence[np.ndarray],
    references: Sequence[np.ndarray],
    until: Sequence[int] | None = None,
    progress: bool = False,
) -> np.ndarray:
    """The number of bits in which the most alike frames of two clips differ, for every query and reference.

    Args:
        queries: for each clip its views ``(V, N, 32)``.
        references: for each clip its hashes ``(N, 32)``.
        until: for each query, how many of the references it is compared with; all by default.
        progress: show a bar.

    Returns:
        ``(Q, R)`` int16; `BITS` where nothing was compared.
    """
    from tqdm import tqdm

    until = [len(references)] * len(queries) if until is None else until
    found = np.full((len(queries), len(references)), BITS, np.int16)
    chunks = list(_chunks([len(reference) for reference in references]))
    with tqdm(total=len(chunks) * len(queries), desc="near-duplicates", unit="clip", disable=not progress) as bar:
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


def nearest_frames(views: np.ndarray, hashes: np.ndarray) -> Nearest:
    """The two most alike frames of a clip, given as its views ``(V, N, 32)``, and another's hashes ``(M, 32)``."""
    apart = _bits_apart(_signs(views), _signs(hashes)).reshape(*views.shape[:2], len(hashes)).numpy()
    view, one, other = np.unravel_index(apart.argmin(), apart.shape)
    return Nearest(
        distance=int(apart[view, one, other]),
        frames=(int(one), int(other)),
        flipped=bool(view >= len(views) / 2),
        share=float((apart.min(axis=(0, 2)) <= THRESHOLD).mean()),
    )


def _thumbnails(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which frames say something, and these as ``(N, 32, 32)`` grey levels."""
    chosen = np.unique(np.linspace(0, frames.shape[1] - 1, min(frames.shape[1], MAX_FRAMES)).round().astype(int))
    grey = torch.from_numpy(frames[:, chosen].mean(axis=0, dtype=np.float32))[:, None]
    small = interpolate(grey, (_SIDE, _SIDE), mode="bilinear", antialias=True)[:, 0].numpy()
    tells = _locally_normalised(small)[1] >= _FLAT
    return chosen[tells], small[tells]


def _locally_normalised(small: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames without local mean and contrast, 0 outside the scan, and the mean local contrast of each."""
    from scipy.ndimage import gaussian_filter

    if not len(small):
        return small, np.zeros(0)
    lit = (small.max(axis=0) > _LIT).astype(np.float32)
    weight = gaussian_filter(lit, _SIGMA) + 1e-3

    def local_mean(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values * lit, (0, _SIGMA, _SIGMA)) / weight

    rest = (small - local_mean(small)) * lit
    contrast = np.sqrt(local_mean(rest**2)) * lit
    return rest / (contrast + _FLOOR), contrast.sum(axis=(1, 2)) / max(lit.sum(), 1)


def _hashes(small: np.ndarray) -> np.ndarray:
    from scipy.fft import dctn

    spectrum = dctn(_locally_normalised(small)[0], axes=(1, 2)).reshape(-1, _SIDE * _SIDE)
    return np.packbits(spectrum[:, _frequencies()] > 0, axis=1)


def _frequencies() -> np.ndarray:
    """Flat indices of the `BITS` lowest frequencies of a 32 x 32 transform, without the mean."""
    rows, columns = np.indices((_SIDE, _SIDE))
    return np.argsort((rows**2 + columns**2).ravel(), kind="stable")[1 : BITS + 1]


def _moved(small: np.ndarray, zoom: float, shift: float) -> np.ndarray:
    if (zoom, shift) == (1.0, 0.0):
        return small
    matrix = torch.tensor([[1 / zoom, 0, 0], [0, 1 / zoom, shift]]).expand(len(small), 2, 3)
    images = torch.from_numpy(small)[:, None]
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    return grid_sample(images, grid, align_corners=False)[:, 0].numpy()


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
