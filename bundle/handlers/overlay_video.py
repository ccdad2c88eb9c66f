# SPDX-License-Identifier: Apache-2.0
"""Heat maps on frames, and videos of them that any browser or player shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..files import written_beside

_OPTIONS: dict[str, dict[str, str]] = {
    "libvpx-vp9": {"crf": "32", "b": "0", "deadline": "realtime", "cpu-used": "6"},
    "mpeg4": {"b": "4000000"},
}
"""Codecs; the first is taken that PyAV's FFmpeg can write.

VP9 by libvpx is under the BSD licence and free of royalties, and browsers show it; MPEG-4 by FFmpeg itself (LGPL).
Never x264 or x265, which PyAV's wheels have as well and which are under the GPL.
"""

_OPACITY = 0.6


def overlay(frame: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A grey frame ``(H, W)`` uint8 under a map ``(H, W)``, clear at 0 to dark red at its maximum: RGB uint8."""
    from matplotlib import colormaps

    share = heat / max(float(heat.max()), float(np.finfo(np.float32).tiny))
    opacity = _OPACITY * share[..., None]
    colour = 255 * colormaps["turbo"](share)[..., :3]
    return np.rint((1 - opacity) * frame[..., None] + opacity * colour).astype(np.uint8)


def side_by_side(frame: np.ndarray, points: np.ndarray, picture: np.ndarray, title: str) -> np.ndarray:
    """A grey frame ``(H, W)`` with rings around points ``(n, 2)`` xy, an RGB picture beside it, a title above."""
    from PIL import Image, ImageDraw

    left = Image.fromarray(frame).convert("RGB")
    draw = ImageDraw.Draw(left)
    radius = max(3, round(0.015 * max(frame.shape)))
    for x, y in points.tolist():
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(255, 255, 0), width=max(1, radius // 3))
    return with_title(np.concatenate([np.asarray(left), picture], axis=1), title)


def with_title(picture: np.ndarray, title: str) -> np.ndarray:
    """An RGB picture below a line of text."""
    from PIL import Image, ImageDraw

    size = text_size(picture)
    head = Image.new("RGB", (picture.shape[1], round(1.6 * size)))
    ImageDraw.Draw(head).text((size // 3, size // 5), title, fill=(255, 255, 255), font_size=size)
    return np.concatenate([np.asarray(head), picture])


def text_size(picture: np.ndarray) -> int:
    """Height of letters in pixels that can be read when a picture ``(H, W, ...)`` is seen as a whole."""
    return max(10, round(picture.shape[0] / 40))


def line_width(picture: np.ndarray) -> int:
    """Width in pixels of the lines on a picture ``(H, W, ...)``."""
    return max(1, round(max(picture.shape[:2]) / 300))


def write_video(path: Path, pictures: Iterable[np.ndarray], frames_a_second: float) -> None:
    """Pictures ``(H, W, 3)`` uint8 of one size as an mp4, see `open_video`."""
    with open_video(path, frames_a_second) as add:
        for picture in pictures:
            add(picture)


@contextmanager
def open_video(path: Path, frames_a_second: float) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that adds a picture ``(H, W, 3)`` uint8 to an mp4; all are of one size.

    An odd row or column at the end is left out. The file is there when the block ends well.

    Raises:
        InputError: the file cannot be written.
    """
    import av

    codec = next(name for name in _OPTIONS if name in av.codecs_available)
    with written_beside(path) as beside, av.open(str(beside), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=Fraction(frames_a_second).limit_denominator(1000))
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"
        stream.options = dict(_OPTIONS[codec])
        sized = False

        def add(picture: np.ndarray) -> None:
            nonlocal sized
            even = np.ascontiguousarray(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])
            if not sized:
                stream.height, stream.width = even.shape[:2]
                sized = True
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))

        yield add
        container.mux(stream.encode())
