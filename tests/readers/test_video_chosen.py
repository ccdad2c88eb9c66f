# SPDX-License-Identifier: Apache-2.0
"""Chosen frames of a video: the same pictures as of the whole, for fewer frames decoded."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.readers import read_cine
from bundle.readers import video as video_module
from bundle.readers.video import decode_stream

Write = Callable[..., Path]
OPEN_GOP = {"g": "12", "bf": "2", "x264-params": "open-gop=1"}


@pytest.fixture(scope="module")
def moving() -> np.ndarray:
    """``(40, 48, 64, 3)``: a texture that moves, each frame another."""
    y, x = np.mgrid[:48, :64].astype(float)
    frames = [
        np.stack([128 + 100 * np.sin((x + 2 * t) / 9 + c) * np.cos((y - t) / (7 + c)) for c in range(3)], -1)
        for t in range(40)
    ]
    return np.stack(frames).astype(np.uint8)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one entry for each frame that is decoded."""
    seen: list[int] = []
    original = video_module._frames

    def counted(*args):
        for frame in original(*args):
            seen.append(frame.pts)
            yield frame

    monkeypatch.setattr(video_module, "_frames", counted)
    return seen


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options", "most"),
    [
        ("a.mp4", "libx264", "yuv420p", {"g": "12", "bf": "2"}, 12),
        ("open.mp4", "libx264", "yuv420p", OPEN_GOP, 15),
        ("open.mkv", "libx264", "yuv420p", OPEN_GOP, 15),
        ("a.avi", "mpeg4", "yuv420p", {"g": "12"}, 12),
        ("a.mpg", "mpeg2video", "yuv420p", {"g": "12", "bf": "2"}, 15),
        ("a.ts", "libx264", "yuv420p", {"g": "12", "bf": "2"}, 12),
        ("a.mov", "mjpeg", "yuvj420p", {}, 1),
        ("a.webm", "libvpx-vp9", "yuv420p", {"g": "12"}, 12),
        ("a.wmv", "wmv2", "yuv420p", {"g": "12"}, 12),
        ("one_key.mp4", "libx264", "yuv420p", {"g": "250"}, 40),
        ("a.gif", "gif", "rgb8", {}, 40),
        # no index: time stamps missing, in the order of storage, or of packets that are not shown; refreshed in parts
        ("h264.mpg", "libx264", "yuv420p", {"g": "12", "bf": "2"}, 40),
        ("b_frames.avi", "libx264", "yuv420p", {"g": "12", "bf": "2"}, 40),
        ("vp8.webm", "libvpx", "yuv420p", {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "9"}, 40),
        ("refresh.mp4", "libx264", "yuv420p", {"g": "12", "intra-refresh": "1"}, 70),
    ],
)
def test_each_frame_alone_is_that_frame(
    write_video: Write,
    moving: np.ndarray,
    decoded: list[int],
    name: str,
    codec: str,
    pix_fmt: str,
    options: dict,
    most: int,
) -> None:
    path = write_video(moving, name, codec, pix_fmt, options)
    whole = read_cine(path)
    assert len(decoded) == 40 and all(np.any(a != b) for a, b in zip(whole.frames, whole.frames[1:], strict=False))
    for k in range(40):
        decoded.clear()
        one = read_cine(path, [k])
        np.testing.assert_array_equal(one.frames[0], whole.frames[k], err_msg=f"frame {k}")
        assert one.meta["frame_times"][0] == whole.meta["frame_times"][k] and one.meta["n_frames"] == 40
        assert len(decoded) <= most
    decoded.clear()
    np.testing.assert_array_equal(read_cine(path, [30, 2, 17, 3, 30]).frames, whole.frames[[30, 2, 17, 3, 30]])
    assert len(decoded) <= max(3 * most, 40)


def test_key_frames_that_are_none(write_video: Write, moving: np.ndarray) -> None:
    """Some programs mark every frame of an AVI as a key frame."""
    path = write_video(moving, "a.avi", "mpeg4", "yuv420p", {"g": "12"})
    whole = read_cine(path)
    data = bytearray(path.read_bytes())
    index = data.index(b"idx1") + 8
    data[index + 4 : index + 16 * 40 : 16] = b"\x10" * 40
    path.write_bytes(data)
    for k in (0, 7, 12, 13, 39):
        np.testing.assert_array_equal(read_cine(path, [k]).frames[0], whole.frames[k])


def test_an_open_file(write_video: Write, moving: np.ndarray, decoded: list[int]) -> None:
    path = write_video(moving, "a.mp4", "libx264", "yuv420p", {"g": "12"})
    whole = read_cine(path).frames
    decoded.clear()
    some = decode_stream(io.BytesIO(path.read_bytes()), Path("x"), {14, 99})
    assert len(decoded) == 3 and some.count == 40 and set(some.pictures) == {14}
    np.testing.assert_array_equal(some.pictures[14], whole[14])
    assert set(decode_stream(io.BytesIO(path.read_bytes()), Path("x"), None).pictures) == set(range(40))


def test_frames_outside_the_clip(write_video: Write, colour_cine: np.ndarray) -> None:
    path = write_video(colour_cine, "a.mp4", "libx264", "yuv420p")
    for bad in ([5], [-1], []):
        with pytest.raises(InputError, match="expected indices from 0 to 4"):
            read_cine(path, bad)
