# SPDX-License-Identifier: Apache-2.0
"""A file in, a cine out."""

from .cine import Cine, read_cine
from .cine_reader import CineReader

__all__ = ["Cine", "CineReader", "read_cine"]
