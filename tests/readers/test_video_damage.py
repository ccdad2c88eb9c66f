# SPDX-License-Identifier: Apache-2.0
"""Videos that are cut, or damaged in the middle: what can be decoded is used, and what is lost is said."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.readers import Cine, read_cine

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def cine_of_40(colour_cine: np.ndarray) -> np.ndarray:
    return np.concatenate([np.roll(colour_cine, 2 * k, axis=2) for k in range(8)])


def whole(path: Path) -> Cine:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return read_cine(path)


def starts(path: Path) -> list[int]:
    """Where the frames start in the file, in the order they are stored."""
    import av

    with av.open(str(path)) as container:
        return [packet.pos for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("a.mp4", "libx264", "yuv420p", {"g": "8", "bf": "0"}),
        ("a.mov", "mjpeg", "yuvj420p", {}),
        ("a.mov", "png", "rgb24", {}),
    ],
)
@pytest.mark.parametrize("noise", [False, True])
def test_damage_in_the_middle(
    write_video: Write, cine_of_40: np.ndarray, name: str, codec: str, pix_fmt: str, options: dict, noise: bool
) -> None:
    """Frames 18 to 20 in the order of storage are overwritten; those behind are right, at their own times."""
    path = write_video(cine_of_40, name, codec, pix_fmt, options)
    before, at = whole(path), starts(path)
    data = bytearray(path.read_bytes())
    junk = np.random.default_rng(0).bytes(at[21] - at[18])
    data[at[18] : at[21]] = junk if noise else bytes(len(junk))
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"found damage \(\d+ frames lost, the first after (18|19|20|21): .*used"):
        cine = read_cine(path)
    assert 40 > len(cine.frames) >= 37 and cine.meta["n_frames"] == len(cine.frames)
    times = before.meta["frame_times"]
    place = np.searchsorted(times, cine.meta["frame_times"] - 1e-6)
    np.testing.assert_allclose(cine.meta["frame_times"], times[place], atol=1e-6)
    behind = place >= 24  # a key frame, or one later
    assert behind.sum() == 16
    np.testing.assert_array_equal(cine.frames[behind], before.frames[24:])
    np.testing.assert_array_equal(cine.frames[:16], before.frames[:16])
    for k in (3, 21, len(cine.frames) - 1):  # counted as in the whole
        with pytest.warns(UserWarning, match="found damage"):
            np.testing.assert_array_equal(read_cine(path, [k]).frames[0], cine.frames[k])


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "muxer"),
    [
        ("a.mp4", "libx264", "yuv420p", {"movflags": "faststart"}),
        ("a.mkv", "libx264", "yuv420p", {}),
        ("a.avi", "mjpeg", "yuvj420p", {}),
        ("a.mpg", "mpeg2video", "yuv420p", {}),
        ("a.flv", "flv", "yuv420p", {}),
        ("a.gif", "gif", "rgb8", {}),
    ],
)
def test_cut_in_the_middle(
    write_video: Write, cine_of_40: np.ndarray, name: str, codec: str, pix_fmt: str, muxer: dict
) -> None:
    path = write_video(cine_of_40, name, codec, pix_fmt, {"g": "8"} if codec != "gif" else {}, muxer=muxer)
    before = whole(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with pytest.warns(UserWarning, match=r"found damage \((cut|1 frames incomplete)"):
        cine = read_cine(path)
    count = len(cine.frames)
    assert 5 < count < 40 and cine.meta["n_frames"] == count
    place = np.searchsorted(before.meta["frame_times"], cine.meta["frame_times"] - 1e-6)
    assert place[-1] <= count and place[:-2].tolist() == list(range(count - 2))  # B-frames before the last may lack
    np.testing.assert_array_equal(cine.frames[:-2], before.frames[: count - 2])  # the last may be there in part
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for k in (0, 5, count - 1):
            one = read_cine(path, [k])
            np.testing.assert_array_equal(one.frames[0], cine.frames[k])
            assert one.meta["n_frames"] == count


def test_an_mp4_without_its_index_is_lost(write_video: Write, cine_of_40: np.ndarray) -> None:
    path = write_video(cine_of_40, "a.mp4", "libx264", "yuv420p")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="cannot be read as video") as caught:
        read_cine(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("frames", [None, [3]])
def test_nothing_can_be_decoded(write_video: Write, cine_of_40: np.ndarray, frames: list[int] | None) -> None:
    path = write_video(cine_of_40, "a.mov", "png", "rgb24")
    at = starts(path)
    data = bytearray(path.read_bytes())
    end = data.rindex(b"moov") - 4
    data[at[0] : end] = bytes(end - at[0])
    path.write_bytes(data)
    with pytest.raises(InputError, match="without a frame that can be decoded"):
        read_cine(path, frames)


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.avi"])
def test_one_frame_is_a_clip(write_video: Write, colour_cine: np.ndarray, name: str) -> None:
    codec, layout = {"mp4": ("libx264", "yuv420p"), "gif": ("gif", "rgb8"), "avi": ("mpeg4", "yuv420p")}[name[2:]]
    path = write_video(colour_cine[:1], name, codec, layout)
    for frames in (None, [0]):
        cine = whole(path) if frames is None else read_cine(path, frames)
        assert cine.frames.shape == (1, 48, 64, 3) and cine.meta["frame_times"].tolist() == [0]
