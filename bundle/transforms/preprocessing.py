# SPDX-License-Identifier: Apache-2.0
"""The deterministic preprocessing that training, evaluation and inference share."""

from __future__ import annotations

from monai.transforms import Compose

from ..keys import Keys
from .grey import ToGreyd
from .load import LoadCined
from .resize import ResizeFramesd
from .sector import CropToSectord


def preprocessing(image_size: int, key: str = Keys.IMAGE) -> Compose:
    """From a file to a grey cine of the scan sector, ``(1, T, image_size, image_size)`` uint8.

    Load, grey, crop to the sector, pad to a square and resample. Nothing is random and nothing is a float, so the
    result can be cached as it is.

    Args:
        image_size: side in pixels.
        key: the record's key that holds the path, and then the cine.

    Raises:
        InputError: a file that cannot be read as a cine, or a bad size.
    """
    return Compose([LoadCined(key), ToGreyd(key), CropToSectord(key), ResizeFramesd(key, image_size)])
