# SPDX-License-Identifier: Apache-2.0
"""Which packet of a video holds which frame, told without decoding."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from .video_damage import looks_whole

if TYPE_CHECKING:
    from av import Packet, VideoStream

_PACKETS_WITHOUT_FRAME = ("vp8",)  # its alternate reference pictures are packets of their own, never shown


class FrameIndex:
    """The frames of a stream in order of presentation, and the key packets from which they can be decoded.

    Attributes:
        stamps: presentation time stamp of each frame, in units of the stream's time base.
        frame_of: the frame of a time stamp.
    """

    def __init__(self, packets: Sequence[Packet]) -> None:
        stamps = [packet.pts for packet in packets if packet.pts is not None]
        self.stamps = sorted(stamps)
        self.frame_of = {stamp: k for k, stamp in enumerate(self.stamps)}
        self._packet_of = [0] * len(stamps)
        for at, stamp in enumerate(stamps):
            self._packet_of[self.frame_of[stamp]] = at
        self._keys = [at for at, packet in enumerate(packets) if packet.is_keyframe]
        self._key_frames = [self.frame_of[stamps[at]] for at in self._keys]

    @property
    def is_ordered(self) -> bool:
        """Whether the first frame is a key frame, and key frames are presented in the order they are stored."""
        return self._keys[:1] == [0] and self._key_frames == sorted(self._key_frames) and self._key_frames[0] == 0

    def starts(self, wanted: Iterable[int]) -> Iterator[tuple[int, int, list[int]]]:
        """The wanted frames by the key packet to decode from: ``(packet, its frame, wanted frames ascending)``.

        A frame shown before a key frame but stored behind it (open group of pictures) needs the key frame before.
        """
        groups: dict[int, list[int]] = {}
        for k in sorted(set(wanted)):
            shown_before = bisect_right(self._key_frames, k)
            stored_before = bisect_right(self._keys, self._packet_of[k])
            groups.setdefault(min(shown_before, stored_before) - 1, []).append(k)
        for group, frames in groups.items():
            yield self._keys[group], self._key_frames[group], frames


def frame_index(packets: Sequence[Packet], stream: VideoStream) -> FrameIndex | None:
    """The index, or None where the packets do not tell for sure which frame they hold.

    That is so when time stamps are missing or double, packets look damaged or are not to be shown (edit lists), the
    stream does not start with its first key frame, or the frames of an AVI file, which holds no time stamps, are stored
    in another order than shown.
    """
    stamps = {packet.pts for packet in packets}
    codec = stream.codec_context
    unordered = stream.container.format.name == "avi" and codec.has_b_frames
    if codec.name in _PACKETS_WITHOUT_FRAME or unordered or None in stamps or len(stamps) < len(packets):
        return None
    if any(packet.is_corrupt or packet.is_discard or not looks_whole(packet, stream) for packet in packets):
        return None
    index = FrameIndex(packets)
    return index if packets and index.is_ordered else None
