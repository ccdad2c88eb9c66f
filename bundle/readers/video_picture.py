# SPDX-License-Identifier: Apache-2.0
"""A decoded video frame as a player shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from av import VideoFrame

_LIMITED = 1  # AVCOL_RANGE_MPEG: black is 16, white 235


class PictureMaker:
    """Frames of one stream as ``(H, W, 3)`` uint8 RGB.

    Limited-range luma (16 to 235) is expanded to 0 to 255, to within one level for 8-bit 4:2:0 (libswscale rounds
    down); transparency is composited on black; the display matrix turns and mirrors the picture (quarter turns only).
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._converter = VideoReformatter()  # one for all frames: setting it up costs more than a frame

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        luma_range = int(frame.color_range)
        clear = any(component.is_alpha for component in frame.format.components)
        # PyAV below 17 takes 8-bit YUV for limited range unless told otherwise
        shown = self._converter.reformat(frame, format="rgba" if clear else "rgb24", src_color_range=luma_range or None)
        picture = shown.to_ndarray()
        if clear:
            composited = (picture[..., :3].astype(np.uint16) * picture[..., 3:] + 127) // 255
            picture = composited.astype(np.uint8)
        elif frame.format.name.startswith("gray") and luma_range == _LIMITED:
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
