# SPDX-License-Identifier: Apache-2.0
"""The machine's screen around the sector: pseudonym, settings, clock, a grey bar, a depth scale."""

from __future__ import annotations

import numpy as np

from .device import Device
from .sector import SCREEN, ScanConverter


def draw_screen(device: Device, converter: ScanConverter, name: str) -> np.ndarray:
    """The screen (H, W) uint8 without the echo picture. Nothing on it depends on what is being looked at."""
    from PIL import Image, ImageDraw, ImageFont

    font = getattr(ImageFont, "load_default_imagefont", ImageFont.load_default)()
    width, height = SCREEN
    image = Image.new("L", SCREEN, 0)
    draw = ImageDraw.Draw(image)
    hours, minutes, seconds = device.clock // 3600, device.clock // 60 % 60, device.clock % 60
    draw.text((4, 1), name, fill=190, font=font)
    draw.text((width - 54, 1), f"{hours:02d}:{minutes:02d}:{seconds:02d}", fill=150, font=font)
    mechanical = 0.5 + 0.9 * (device.frequency - 2) / 3
    lines = (
        f"D{device.depth:.1f}cm",
        f"G {100 * device.brightness + 40:.0f}",
        f"DR {device.dynamic_range:.0f}",
        f"{device.frequency:.1f}MHz",
        f"MI {mechanical:.1f}",
        f"TI {0.3 * mechanical:.1f}",
        f"{1 / device.frame_time:.0f}Hz",
    )
    left = 4 if device.layout == 0 else width - 52
    for k, line in enumerate(lines):
        draw.text((left, 20 + 12 * k), line, fill=160, font=font)
    screen = np.array(image)
    bar = slice(left + 2, left + 8)
    screen[120:200, bar] = np.linspace(255, 0, 80).astype(np.uint8)[:, None]
    side = converter.box[2] + 3 if device.layout == 0 else converter.box[0] - 3
    for mark in range(int(device.depth) + 1):  # a tick each centimetre below the probe face
        y = round(converter.top_y + mark / converter.cm_per_pixel)
        long = 2 if mark % 5 == 0 else 1
        if 0 <= y < height:
            screen[y, max(side - long, 0) : side + long] = 130
    screen[converter.inside] = 0
    return screen
