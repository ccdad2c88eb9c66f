# SPDX-License-Identifier: Apache-2.0
"""Video files, by PyAV."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .base import Cine, chosen_frames
from .video_damage import cut_off, decoding_damage, why_unreadable
from .video_index import FrameIndex, frame_index
from .video_picture import PictureMaker

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream
    from av.container import InputContainer

_KEY_PICTURE = 1  # AV_PICTURE_TYPE_I


def read_video(path: Path, frames: Sequence[int] | None = None) -> Cine:
    """The first video stream of a file, always as RGB, as a player shows it (see `PictureMaker`).

    ``frame_times`` are the container's time stamps, or the frame rate's where they are missing.

    Frame k is the k-th in order of presentation. Chosen frames are decoded from the key frame before each of them,
    which are the same pictures that decoding everything gives; where the file does not tell for sure which packet
    holds which frame (`frame_index`), everything is decoded and the chosen frames are converted. The compressed stream
    is held in memory.

    Damage costs its frames and a warning, not the clip; k then counts the frames that can be decoded. One limit: damage
    that shows in decoding only is not seen when it lies outside the groups of pictures that the chosen frames need, and
    k counts the frames lost there too.

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
    """Pictures of a stream by frame index, and what is known of all its frames.

    Attributes:
        pictures: ``(H, W, 3)`` uint8 of the frames that were wanted.
        stamps: seconds of each frame of the stream, wanted or not, None where unknown.
        rate: frames a second by the container, 0 when unknown.
    """

    def __init__(self, rate: float, stamps: list[float | None]) -> None:
        self.pictures: dict[int, np.ndarray] = {}
        self.stamps = stamps
        self.rate = rate

    @property
    def count(self) -> int:
        return len(self.stamps)

    @property
    def times(self) -> np.ndarray | None:
        """Seconds since the first frame: the stamps if they increase, else by the rate."""
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
    """Decode the first video stream of ``source``, a path or an open file, and convert the ``wanted`` frames.

    None is all of them; indices that the stream does not have are passed over. ``path`` is for messages.

    Raises:
        InputError: as `read_video`.
    """
    import av

    try:
        # titles need not be UTF-8
        with av.open(str(source) if isinstance(source, Path) else source, "r", metadata_errors="replace") as container:
            if not container.streams.video:
                raise InputError(f"{path}: found no video stream, expected a clip; name the file that has the pictures")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise InputError(f"{path}: found a video coding without a decoder, expected H.264 or such; convert it")
            packets, damage = _packets(container, stream)
            decoded = None
            index = None if wanted is None else frame_index(packets, stream)
            if wanted is not None and index is not None:
                decoded = _decode_chosen(stream, packets, index, wanted)
            if decoded is None:
                decoded, found = _decode_all(stream, packets, wanted)
                damage += found
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(
            f"{path}: cannot be read as video ({why_unreadable(path, error)}), expected mp4, mov, avi, mpg, webm or "
            "gif; copy it again or convert it"
        ) from error
    if not decoded.count:
        raise InputError(f"{path}: found a video without a frame that can be decoded, expected a clip; copy it again")
    if damage:
        warnings.warn(
            f"{path}: found damage ({'; '.join(damage)}); the {decoded.count} frames that can be decoded are used",
            stacklevel=2,
        )
    return decoded


def _packets(container: InputContainer, stream: VideoStream) -> tuple[list[Packet], list[str]]:
    """The compressed frames, and what is said of them that are missing."""
    import av

    packets: list[Packet] = []
    try:
        packets.extend(packet for packet in container.demux(stream) if packet.size)
    except av.error.FFmpegError as error:
        return packets, [f"cut after {len(packets)} frames: {error}"]
    return packets, cut_off(container, stream, packets)


def _decode_all(stream: VideoStream, packets: Sequence[Packet], wanted: set[int] | None) -> tuple[Decoded, list[str]]:
    """Decode packet by packet; the frames behind one that cannot be decoded are had all the same."""
    decoded, picture_of = _nothing_of(stream, []), PictureMaker()
    stamps: list[int | None] = []
    errors: list[str] = []
    incomplete: list[int] = []
    _restart(stream)
    for frame in _frames(stream, packets, errors):
        k = decoded.count
        if wanted is None or k in wanted:
            decoded.pictures[k] = picture_of(frame)
        if frame.is_corrupt:
            incomplete.append(k)
        stamps.append(frame.pts)
        decoded.stamps.append(_seconds(frame.pts, stream))
    return decoded, decoding_damage(packets, stamps, incomplete, errors)


def _decode_chosen(
    stream: VideoStream, packets: Sequence[Packet], index: FrameIndex, wanted: set[int]
) -> Decoded | None:
    """Decode from the key frames before the wanted ones; None when what comes is not what the index says."""
    decoded = _nothing_of(stream, [_seconds(stamp, stream) for stamp in index.stamps])
    picture_of = PictureMaker()
    errors: list[str] = []
    for start, first, group in index.starts(k for k in wanted if 0 <= k < decoded.count):
        _restart(stream)
        due = first
        for frame in _frames(stream, packets[start:], errors):
            k = -1 if frame.pts is None else index.frame_of.get(frame.pts, -1)
            if 0 <= k < first:
                continue  # needs the group of pictures before
            if k != due or frame.is_corrupt or errors:
                return None
            if k == first > 0 and int(frame.pict_type) != _KEY_PICTURE:
                return None  # intra refresh: the picture is whole only some frames later
            due += 1
            if k in group:
                decoded.pictures[k] = picture_of(frame)
            if k == group[-1]:
                break
        if due <= group[-1]:
            return None
    return decoded


def _frames(stream: VideoStream, packets: Sequence[Packet], errors: list[str]) -> Iterator[VideoFrame]:
    """The frames of these packets in order of presentation; what the decoder refuses goes to ``errors``."""
    import av

    for packet in [*packets, None]:
        try:
            yield from stream.codec_context.decode(packet)
        except av.error.FFmpegError as error:
            errors.append(str(error))


def _restart(stream: VideoStream) -> None:
    stream.codec_context.flush_buffers()


def _nothing_of(stream: VideoStream, stamps: list[float | None]) -> Decoded:
    return Decoded(float(stream.average_rate or 0), stamps)


def _seconds(stamp: int | None, stream: VideoStream) -> float | None:
    return None if stamp is None or stream.time_base is None else float(stamp * stream.time_base)
