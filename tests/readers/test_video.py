# SPDX-License-Identifier: Apache-2.0
"""Videos written by PyAV from known frames, and what is read back."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.readers import read_cine

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options", "error"),
    [
        ("a.mp4", "libx264", "yuv444p", {"crf": "1"}, 6),
        ("a.mov", "libx264", "yuv444p", {"crf": "1", "bf": "2"}, 6),
        ("a.avi", "mjpeg", "yuvj444p", {"qmin": "1", "qmax": "1"}, 10),
        ("a.avi", "mpeg4", "yuv420p", {"qmin": "1", "qmax": "1"}, 14),
        ("a.mpg", "mpeg2video", "yuv420p", {"qmin": "1", "qmax": "1"}, 14),
        ("a.mkv", "ffv1", "bgr0", {}, 0),
        ("a.webm", "libvpx-vp9", "yuv444p", {"lossless": "1"}, 4),
    ],
)
def test_frames_and_times(
    write_video: Write, colour_cine: np.ndarray, name: str, codec: str, pix_fmt: str, options: dict, error: int
) -> None:
    rate = 25
    path = write_video(colour_cine, name, codec, pix_fmt, options, rate=rate)
    cine = read_cine(path)
    assert cine.frames.shape == colour_cine.shape and cine.frames.dtype == np.uint8
    assert np.abs(cine.frames.astype(int) - colour_cine).mean() <= error / 3
    assert np.abs(cine.frames.astype(int) - colour_cine).max() <= error
    # Matroska counts in whole milliseconds
    np.testing.assert_allclose(cine.meta["frame_times"], np.arange(5) / rate, atol=1e-3)
    assert cine.meta["n_frames"] == 5 and cine.meta["source_kind"] == "video"


def luma_ramp() -> np.ndarray:
    """``(T, H, W)`` luma from 16 to 235, the codes of black and white in limited range."""
    return np.broadcast_to(np.repeat(np.arange(16, 236), 2).astype(np.uint8), (3, 32, 440)).copy()


@pytest.mark.parametrize(("codec", "name"), [("ffv1", "a.mkv"), ("libx264", "a.mp4")])
@pytest.mark.parametrize("limited", [True, False])
@pytest.mark.parametrize("layout", ["yuv444p", "gray"])
def test_a_limited_range_ramp_is_expanded(tmp_path: Path, codec: str, name: str, limited: bool, layout: str) -> None:
    import av

    ramp = luma_ramp()
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 20, options={"qp": "0"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = ramp.shape[2], ramp.shape[1], layout
        stream.codec_context.color_range = 1 if limited else 2
        for plane in ramp:
            planes = (
                plane if layout == "gray" else np.stack([plane, np.full_like(plane, 128), np.full_like(plane, 128)])
            )
            frame = av.VideoFrame.from_ndarray(planes, format=layout)
            frame.color_range = 1 if limited else 2
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    expected = np.rint((ramp.astype(float) - 16) * 255 / 219) if limited else ramp
    frames = read_cine(path).frames.astype(int)
    assert frames[..., 0].min() == expected.min() and frames[..., 0].max() == expected.max()
    assert np.abs(frames - expected[..., None]).max() <= 1


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_display_matrix(write_video: Write, colour_cine: np.ndarray, turns: int, mirrored: bool) -> None:
    path = write_video(colour_cine, "a.mp4", "libx264", "yuv444p", {"crf": "1"})
    upright = read_cine(path).frames
    # quarter turns clockwise in a frame whose y axis points down, after a mirroring left to right
    turn = {1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}[turns]
    a, b, c, d = turn if not mirrored else (-turn[0], -turn[1], turn[2], turn[3])
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix stands 40 bytes into the box
    data[at : at + 36] = matrix
    path.write_bytes(data)
    expected = np.rot90(upright[:, :, ::-1] if mirrored else upright, -turns, axes=(1, 2))
    np.testing.assert_array_equal(read_cine(path).frames, expected)


def test_gif_transparency_is_black_and_disposal_is_done(tmp_path: Path) -> None:
    from PIL import Image

    first = np.zeros((20, 30, 4), np.uint8)
    first[4:12, 5:20] = (200, 100, 50, 255)
    second = np.zeros((20, 30, 4), np.uint8)
    second[10:18, 8:25] = (20, 220, 90, 255)
    pictures = [Image.fromarray(rgba) for rgba in (first, second)]
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=70, disposal=2, loop=0)
    cine = read_cine(path)
    np.testing.assert_array_equal(cine.frames, np.stack([first, second])[..., :3])
    np.testing.assert_allclose(cine.meta["frame_times"], [0, 0.07])


def test_half_transparent_video_is_composited_on_black(write_video: Write, colour_cine: np.ndarray) -> None:
    rgba = np.concatenate([colour_cine, np.full_like(colour_cine[..., :1], 128)], axis=-1)
    path = write_video(rgba, "a.mov", "png", "rgba", source="rgba")
    expected = np.rint(colour_cine * (128 / 255))
    assert np.abs(read_cine(path).frames - expected).max() <= 1


@pytest.mark.parametrize(("name", "codec", "pix_fmt"), [("a.mp4", "libx264", "yuv420p"), ("a.gif", "gif", "rgb8")])
def test_chosen_frames_are_those_frames(
    write_video: Write, colour_cine: np.ndarray, name: str, codec: str, pix_fmt: str
) -> None:
    path = write_video(np.concatenate([colour_cine] * 4), name, codec, pix_fmt)
    whole, some = read_cine(path), read_cine(path, [7, 0, 19, 7])
    np.testing.assert_array_equal(some.frames, whole.frames[[7, 0, 19, 7]])
    np.testing.assert_array_equal(some.meta["frame_times"], whole.meta["frame_times"][[7, 0, 19, 7]])
    assert some.meta["n_frames"] == 20


@pytest.mark.parametrize("damage", ["cut", "zeros"])
@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mjpeg"), ("a.mp4", "mjpeg")])
def test_a_damaged_end_costs_only_its_frames(
    tmp_path: Path, write_video: Write, colour_cine: np.ndarray, name: str, codec: str, damage: str
) -> None:
    import av

    path = write_video(np.concatenate([colour_cine] * 4), name, codec, "yuvj444p")
    with av.open(str(path)) as container:  # where the 11th frame starts
        start = [packet.pos for packet in container.demux(video=0) if packet.size][10]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = read_cine(path).frames
    data = bytearray(path.read_bytes())
    index = data.rindex(b"moov") - 4 if name.endswith("mp4") else data.rindex(b"idx1")
    data[start + 40 : index] = bytes(index - start - 40) if damage == "zeros" else data[index:index]
    if damage == "zeros" or name.endswith("avi"):
        path.write_bytes(data)
    else:
        path.write_bytes(data[: start + 40])
    if damage == "cut" and name.endswith("mp4"):  # without its index an mp4 is lost
        with pytest.raises(InputError, match="cannot be read as video"):
            read_cine(path)
        return
    with pytest.warns(UserWarning, match=r"damaged after \d+ frames"):
        cine = read_cine(path)
    assert 10 <= len(cine.frames) < 20 and cine.meta["n_frames"] == len(cine.frames)
    np.testing.assert_array_equal(cine.frames[:10], whole[:10])


def test_frames_outside_the_clip(write_video: Write, colour_cine: np.ndarray) -> None:
    path = write_video(colour_cine, "a.mp4", "libx264", "yuv420p")
    for bad in ([5], [-1], []):
        with pytest.raises(InputError, match="expected indices from 0 to 4"):
            read_cine(path, bad)


def test_unreadable(tmp_path: Path, write_video: Write, colour_cine: np.ndarray) -> None:
    path = write_video(colour_cine, "a.mp4", "libx264", "yuv420p")
    cut = tmp_path / "cut.mp4"  # the index of an mp4 stands at its end
    cut.write_bytes(path.read_bytes()[:600])
    noise = tmp_path / "noise.avi"
    noise.write_bytes(bytes(range(256)) * 8)
    for bad in (cut, noise):
        with pytest.raises(InputError, match="cannot be read as video") as caught:
            read_cine(bad)
        assert str(bad) in str(caught.value)


def test_sound_only(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", 44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="no video stream"):
        read_cine(path)
