# SPDX-License-Identifier: Apache-2.0
"""Single images and folders of frames."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .base import Cine, chosen_frames
from .grey_levels import to_uint8

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""What counts as a frame in a folder."""

_TURNED = ("JPEG", "TIFF")
"""Formats whose EXIF orientation is heeded: that of a PNG stands after the pixels, so looking costs decoding them."""


def read_still(path: Path, frames: Sequence[int] | None = None) -> Cine:
    """One image as one frame; the pages of a TIFF as frames.

    Palettes become RGB, transparency is composited on black, the EXIF orientation of JPEG and TIFF is applied, 16-bit
    grey is divided down from its full range (0 to 65535).

    Raises:
        InputError: when the image cannot be read, or its pages differ in size.
    """
    with _opened(path) as image:
        with _readable(path):
            pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
        taken = []
        for page in chosen_frames(pages, frames, path):
            with _readable(path):
                if pages > 1:
                    image.seek(page)
                taken.append(_pixels(image, path))
    if len({picture.shape for picture in taken}) > 1:
        raise InputError(f"{path}: found pages of different sizes, expected equal ones; save the page you mean alone")
    meta: dict[str, Any] = {"filename_or_obj": str(path), "source_kind": "image", "n_frames": pages}
    return Cine(np.stack(taken), meta)


def read_folder(path: Path, frames: Sequence[int] | None = None) -> Cine:
    """The images of a folder as frames, in natural order (frame2 before frame10); only those chosen are decoded.

    Grey and colour images together give RGB.

    Raises:
        InputError: when there is no image, one cannot be read, or the sizes differ.
    """
    files = sorted(
        (f for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".")),
        key=lambda f: _natural(f.name),
    )
    if not files:
        inside = sum(1 for _ in path.iterdir())
        raise InputError(
            f"{path}: found a folder of {inside} entries without an image, expected frames "
            f"({', '.join(IMAGE_SUFFIXES)}); name a file, or a folder of frames"
        )
    colour, size = False, None
    for file in files:  # headers only: the size and the number of channels must not depend on the frames chosen
        with _opened(file) as image, _readable(file):
            colour = colour or _has_colour(image)
            size = size or _upright_size(image)
            if _upright_size(image) != size:
                width, height = _upright_size(image)
                raise InputError(
                    f"{file}: found a frame of {width} x {height} pixels, expected {size[0]} x {size[1]} like "
                    f"{files[0].name}; put only the frames of one clip into a folder"
                )
    taken = []
    for k in chosen_frames(len(files), frames, path):
        with _opened(files[k]) as image, _readable(files[k]):
            picture = _pixels(image, files[k])
        taken.append(np.repeat(picture, 3, axis=-1) if colour and picture.shape[-1] == 1 else picture)
    meta: dict[str, Any] = {"filename_or_obj": str(path), "source_kind": "frames", "n_frames": len(files)}
    return Cine(np.stack(taken), meta)


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name.lower()) if part]


def _opened(path: Path) -> Image:
    from PIL import Image

    try:
        return Image.open(path)
    except Exception as error:  # of many kinds
        raise InputError(
            f"{path}: cannot be read as an image ({error}), expected PNG, JPEG, BMP or TIFF; save it again"
        ) from error


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What Pillow raises on damaged images, of many kinds, as an InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: the image is damaged ({error}), expected a whole one; copy it again") from error


def _has_colour(image: Image) -> bool:
    return image.mode not in ("1", "L", "LA", "La") and not image.mode.startswith(("I", "F"))


def _upright_size(image: Image) -> tuple[int, int]:
    width, height = image.size
    turned = image.format in _TURNED and image.getexif().get(0x0112) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


def _pixels(image: Image, path: Path) -> np.ndarray:
    """``(H, W, C)`` uint8 of the image's current page."""
    from PIL import Image, ImageOps

    colour = _has_colour(image)
    upright = ImageOps.exif_transpose(image) if image.format in _TURNED else image
    if image.mode.startswith("I;16"):
        return (np.asarray(upright, np.float32) / 257.0).round().astype(np.uint8)[..., None]
    if image.mode in ("I", "F"):
        return to_uint8(np.asarray(upright), path)[..., None]
    if upright.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in upright.info:
        clear = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", clear.size, (0, 0, 0, 255)), clear)
    pixels = np.array(upright.convert("RGB" if colour else "L"))
    return pixels if colour else pixels[..., None]
