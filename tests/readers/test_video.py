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


LOSSLESS = {"libx264": {"qp": "0"}, "mpeg4": {"qmin": "1", "qmax": "1"}, "mjpeg": {"qmin": "1", "qmax": "1"}}


@pytest.mark.parametrize(
    ("codec", "name", "layout", "limited", "error"),
    [
        *(("ffv1", "a.mkv", layout, limited, 1) for layout in ("yuv444p", "gray") for limited in (True, False)),
        *(("libx264", "a.mp4", layout, True, 1) for layout in ("yuv420p", "yuv444p", "gray")),
        *(("libx264", "a.mp4", layout, False, 0) for layout in ("yuv420p", "yuv444p", "gray")),
        ("mpeg4", "a.avi", "yuv420p", True, 4),
        ("mpeg2video", "a.mpg", "yuv420p", True, 6),
        ("mjpeg", "a.mov", "yuvj420p", False, 3),
    ],
)
def test_a_ramp_comes_out_in_full_range(
    tmp_path: Path, codec: str, name: str, layout: str, limited: bool, error: int
) -> None:
    """Limited-range luma is expanded, full-range luma stays, and grey has no colour."""
    import av

    ramp = luma_ramp()
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 20, options=LOSSLESS.get(codec, {}))
        stream.width, stream.height, stream.pix_fmt = ramp.shape[2], ramp.shape[1], layout
        stream.codec_context.color_range = 1 if limited else 2
        for plane in ramp:
            frame = av.VideoFrame(plane.shape[1], plane.shape[0], layout)
            for k, part in enumerate(frame.planes):
                values = np.full((part.height, part.line_size), 128, np.uint8)
                if k == 0:
                    values[:, : plane.shape[1]] = plane
                part.update(values)
            frame.color_range = 1 if limited else 2
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    expected = np.rint((ramp.astype(float) - 16) * 255 / 219) if limited else ramp
    frames = read_cine(path).frames.astype(int)
    assert np.ptp(frames, axis=-1).max() == 0
    assert abs(frames.min() - expected.min()) <= error and abs(frames.max() - expected.max()) <= error
    assert np.abs(frames - expected[..., None]).max() <= error


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.mp4", "libx264", {"bf": "2"}), ("a.mkv", "libx264", {"bf": "2"}), ("a.webm", "libvpx-vp9", {})],
)
@pytest.mark.parametrize("first", [0, 700])
def test_a_variable_frame_rate(
    write_video: Write, colour_cine: np.ndarray, name: str, codec: str, options: dict, first: int
) -> None:
    """Frames at uneven times, with B-frames, and a first frame that is not at 0."""
    stamps = np.array([0, 30, 110, 130, 400, 433, 467, 900, 910, 1300])
    pictures = np.concatenate([colour_cine, colour_cine[::-1]])
    path = write_video(pictures, name, codec, "yuv420p", options, stamps=(stamps + first).tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        cine = read_cine(path)
    np.testing.assert_allclose(cine.meta["frame_times"], stamps / 1000, atol=6e-4)
    assert np.abs(cine.frames.astype(int) - pictures).mean() < 10  # each at its own place


def test_an_edit_list_hides_frames(write_video: Write, colour_cine: np.ndarray) -> None:
    path = write_video(np.concatenate([colour_cine] * 3), "a.mp4", "libx264", "yuv420p", {"g": "5"}, rate=20)
    whole = read_cine(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 4 + 4 + 4  # version and flags, number of entries; then duration, start of media
    duration, start = struct.unpack_from(">ii", data, at)
    struct.pack_into(">ii", data, at, duration - 350, start + 7 * 512)  # 350 ms are 7 frames, 512 ticks each
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        cine = read_cine(path)
    np.testing.assert_array_equal(cine.frames, whole.frames[7:])
    np.testing.assert_allclose(cine.meta["frame_times"], np.arange(8) / 20)
    np.testing.assert_array_equal(read_cine(path, [6, 1]).frames, whole.frames[[13, 8]])


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


def test_a_gif_that_keeps_what_was_drawn(tmp_path: Path) -> None:
    """Later pictures cover a part, are clear in places, and go back to what was before (disposal 1 and 3)."""
    from PIL import Image, ImageSequence

    rng = np.random.default_rng(0)
    pictures = []
    for k in range(6):
        rgba = np.zeros((24, 32, 4), np.uint8)
        rgba[2 * k : 2 * k + 9, 3 * k : 3 * k + 12, :3] = rng.integers(1, 4, (9, 12, 3)) * 80
        rgba[2 * k : 2 * k + 9, 3 * k : 3 * k + 12, 3] = 255
        pictures.append(Image.fromarray(rgba))
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=70, disposal=[1, 1, 3, 1, 2, 1])
    with Image.open(path) as image:
        drawn = [frame.convert("RGBA") for frame in ImageSequence.Iterator(image)]
    black = [Image.alpha_composite(Image.new("RGBA", d.size, (0, 0, 0, 255)), d).convert("RGB") for d in drawn]
    np.testing.assert_array_equal(read_cine(path).frames, np.stack([np.asarray(picture) for picture in black]))


def test_half_transparent_video_is_composited_on_black(write_video: Write, colour_cine: np.ndarray) -> None:
    rgba = np.concatenate([colour_cine, np.full_like(colour_cine[..., :1], 128)], axis=-1)
    path = write_video(rgba, "a.mov", "png", "rgba", source="rgba")
    expected = np.rint(colour_cine * (128 / 255))
    assert np.abs(read_cine(path).frames - expected).max() <= 1


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


def test_a_title_in_another_alphabet(write_video: Write, colour_cine: np.ndarray) -> None:
    import av

    path = write_video(colour_cine, "a.avi", "mjpeg", "yuvj420p")
    with av.open(str(path)) as container, av.open(str(path.with_name("b.avi")), "w") as other:
        other.metadata["title"] = "QQQQ"
        stream = other.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream = stream
                other.mux(packet)
    named = path.with_name("b.avi")
    named.write_bytes(named.read_bytes().replace(b"QQQQ", "Köpf".encode("latin-1")))
    np.testing.assert_array_equal(read_cine(named).frames, read_cine(path).frames)


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
