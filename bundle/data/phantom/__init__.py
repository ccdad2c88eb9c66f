# SPDX-License-Identifier: Apache-2.0
"""The phantom: simulated ultrasound clips on which every recipe runs without any other data."""

from .clip import CLASSES
from .make import ensure_phantom, make_phantom

__all__ = ["CLASSES", "ensure_phantom", "make_phantom"]
