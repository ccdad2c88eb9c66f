# SPDX-License-Identifier: Apache-2.0
"""Video files, by PyAV."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .base import Cine, chosen_frames

if TYPE_CHECKING:
    from av import VideoFrame

_LIMITED = 1  # AVCOL_RANGE_MPEG: black is 16, white 235


def read_video(path: Path, frames: Sequence[int] | None = None) -> Cine:
    """The first video stream of a file, always as RGB, as a player shows it.

    Limited-range luma (16 to 235) is expanded to 0 to 255, rotation and mirroring of the container are applied,
    transparency (gif, webm) is composited on black. Every frame is decoded so that frame k is exactly the k-th; only
    chosen ones are converted. ``frame_times`` are the container's time stamps, or the frame rate's where they are
    missing.

    A damaged end costs its frames and a warning, not the clip.

    Raises:
        InputError: when the file cannot be opened as video or not one frame can be decoded.
    """
    decoded = decode_stream(path, path, None if frames is None else {int(k) for k in frames})
    wanted = chosen_frames(decoded.count, frames, path)
    meta: dict[str, Any] = {"filename_or_obj": str(path), "source_kind": "video", "n_frames": decoded.count}
    if decoded.times is not None:
        meta["frame_times"] = decoded.times[wanted]
    return Cine(decoded.stack(wanted, path), meta)


class Decoded:
    """Pictures of a stream by frame index, how many frames it has, and their times in seconds (None if unknown)."""

    def __init__(self) -> None:
        self.pictures: dict[int, np.ndarray] = {}
        self.stamps: list[float | None] = []
        self.rate = 0.0

    @property
    def count(self) -> int:
        return len(self.stamps)

    @property
    def times(self) -> np.ndarray | None:
        stamps = np.array([np.nan if stamp is None else stamp for stamp in self.stamps], np.float64)
        if np.isfinite(stamps).all() and (np.diff(stamps) > 0).all():
            return stamps - stamps[0]
        return np.arange(self.count) / self.rate if self.rate > 0 else None

    def stack(self, wanted: Sequence[int], path: Path) -> np.ndarray:
        """``(T, H, W, 3)`` of the wanted frames."""
        sizes = {self.pictures[k].shape for k in wanted}
        if len(sizes) > 1:
            found = ", ".join(sorted(f"{width} x {height}" for height, width, _ in sizes))
            raise InputError(f"{path}: found frames of several sizes ({found}), expected one; cut the clip into parts")
        return np.stack([self.pictures[k] for k in wanted])


def decode_stream(source: str | Path | IO[bytes], path: Path, wanted: set[int] | None) -> Decoded:
    """Decode the first video stream of ``source`` and convert the ``wanted`` frames (None: all).

    ``path`` is for messages.
    """
    import av

    decoded, announced, damage = Decoded(), 0, ""
    try:
        with av.open(str(source) if isinstance(source, Path) else source, "r") as container:
            if not container.streams.video:
                raise InputError(f"{path}: found no video stream, expected a clip; name the file that has the pictures")
            stream = container.streams.video[0]
            decoded.rate, announced = float(stream.average_rate or 0), stream.frames
            for frame in container.decode(stream):
                if wanted is None or decoded.count in wanted:
                    decoded.pictures[decoded.count] = _picture(frame)
                decoded.stamps.append(frame.time)
    except (av.error.FFmpegError, OSError) as error:
        if not decoded.count:
            raise InputError(
                f"{path}: cannot be read as video ({error}), expected mp4, mov, avi, mpg, webm or gif; copy it again "
                "or convert it"
            ) from error
        damage = str(error)
    if not decoded.count:
        raise InputError(f"{path}: found a video without a frame that can be decoded, expected a clip; copy it again")
    if damage or decoded.count < announced:  # some containers end without an error when they are cut
        damage = damage or f"the container announces {announced}"
        warnings.warn(f"{path}: damaged after {decoded.count} frames ({damage}); those are used", stacklevel=2)
    return decoded


def _picture(frame: VideoFrame) -> np.ndarray:
    """``(H, W, 3)`` uint8 of a frame as a player shows it."""
    if any(component.is_alpha for component in frame.format.components):
        rgba = frame.to_ndarray(format="rgba")
        picture = (rgba[..., :3].astype(np.uint16) * rgba[..., 3:] + 127) // 255
        picture = picture.astype(np.uint8)
    else:
        picture = frame.to_ndarray(format="rgb24")
        if frame.format.name.startswith("gray") and int(frame.color_range) == _LIMITED:
            # swscale takes every grey format for full range, whatever the stream says
            picture = np.clip((picture.astype(np.float32) - 16) * (255 / 219), 0, 255).round().astype(np.uint8)
    return _upright(picture, frame)


def _upright(picture: np.ndarray, frame: VideoFrame) -> np.ndarray:
    """The picture turned and mirrored as the stream's display matrix says (quarter turns only)."""
    from av.sidedata.sidedata import Type

    side: Any = frame.side_data.get(Type.DISPLAYMATRIX)  # type: ignore[call-overload]
    if side is None:
        return picture
    # (x, y) is shown at (a x + c y, b x + d y)
    a, b, _, c, d = np.frombuffer(bytes(side), np.int32)[:5]
    if abs(b) > abs(a):  # a quarter turn: columns become rows
        picture, across, down = picture.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    return np.ascontiguousarray(picture[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])
