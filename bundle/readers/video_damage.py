# SPDX-License-Identifier: Apache-2.0
"""What a damaged video lacks, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import Packet, VideoStream
    from av.container import InputContainer

_MOST_BOXES = 100
_LAST_FRAME = 0.5  # seconds by which a container may announce more than it has: the last frame's own duration
_GIF_ENDS = (b"\0", b";")  # of a picture, of the file
_FIRST_BYTES = {
    **dict.fromkeys(("mpeg1video", "mpeg2video", "mpeg4"), b"\0\0\1"),
    "mjpeg": b"\xff\xd8",
    "png": b"\x89PNG",
}
_LENGTH_SIZE_AT = {"h264": 4, "hevc": 21}  # byte of the decoder configuration (ISO 14496-15)


def why_unreadable(path: Path, error: Exception) -> str:
    """What to say of a file that does not open: that of an mp4 or mov cut before its index is not in ``error``."""
    position = 0
    boxes: list[bytes] = []
    with path.open("rb") as file:
        while len(head := file.read(16)) >= 8 and len(boxes) < _MOST_BOXES:
            size = int.from_bytes(head[8:] if head[:4] == b"\0\0\0\1" else head[:4], "big")
            boxes.append(head[4:8])
            if size < 8:  # up to the end of the file
                break
            position += size
            file.seek(position)
    if b"mdat" in boxes and b"moov" not in boxes:
        return "the file is cut: its index (moov), which stands at the end, is missing"
    return getattr(error, "strerror", None) or str(error).splitlines()[0]


def cut_off(container: InputContainer, stream: VideoStream, packets: Sequence[Packet]) -> list[str]:
    """Whether the file ends too early.

    AVI announces a number of frames, others (but MPEG streams and gif) a duration, which heeds edit lists.
    """
    if any(packet.is_corrupt for packet in packets[-1:]):
        return ["cut: the last frame has no end"]
    if container.format.name == "gif":
        whole = bytes(packets[-1]).endswith(_GIF_ENDS) if packets else True
        return [] if whole else ["cut: the last frame has no end"]
    if container.format.name == "avi":
        missing = stream.frames - len(packets)
        return [f"cut: {stream.frames} frames are announced, {len(packets)} are there"] if missing > 0 else []
    announced = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    if not announced and container.duration and len(container.streams) == 1:
        announced = container.duration / 1e6
    ends = [packet.pts + (packet.duration or 0) for packet in packets if packet.pts is not None]
    if announced and stream.time_base and ends and len(ends) == len(packets):
        end = float(max(ends) * stream.time_base)
        if end < announced - _LAST_FRAME:
            return [f"cut: {announced:.1f} s are announced, {end:.1f} s are there"]
    return []


def looks_whole(packet: Packet, stream: VideoStream) -> bool:
    """Whether a packet begins as its coding says; H.264 and H.265 in mp4 or Matroska are also checked for length."""
    codec = stream.codec_context
    data = bytes(packet)
    setup = bytes(codec.extradata or b"")
    at = _LENGTH_SIZE_AT.get(codec.name)
    if at is None or len(setup) <= at or setup[0] != 1:  # else start codes divide the parts, not lengths
        return data.startswith(_FIRST_BYTES.get(codec.name, b""))
    size, position = (setup[at] & 3) + 1, 0
    while position + size <= len(data):
        length = int.from_bytes(data[position : position + size], "big")
        if not length:
            return False
        position += size + length
    return position == len(data)


def decoding_damage(
    packets: Sequence[Packet], shown: Sequence[int | None], incomplete: Sequence[int], errors: Sequence[str]
) -> list[str]:
    """Which frames the decoder lost, and which it could show in part only.

    Args:
        packets: all that was to be decoded.
        shown: time stamps of the frames that came out.
        incomplete: those of them that the decoder marked as damaged.
        errors: what it said of the others.
    """
    damage = []
    if errors:
        stamps = sorted(packet.pts for packet in packets if packet.pts is not None)
        there = set(shown)
        missing = [k for k, stamp in enumerate(stamps) if stamp not in there]
        where = f", the first after {missing[0]}" if missing and len(stamps) == len(packets) else ""
        damage.append(f"{max(len(packets) - len(shown), len(errors))} frames lost{where}: {errors[0]}")
    if incomplete:
        damage.append(f"{len(incomplete)} frames incomplete, the first is frame {incomplete[0]}")
    return damage
