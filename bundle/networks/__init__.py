# SPDX-License-Identifier: Apache-2.0
"""Encoder, heads, one network per task, weights in and out."""

from __future__ import annotations

from .contrastive import ContrastiveNet
from .encoder import ENCODERS, Encoder
from .heads import LinearClassifier, ProjectionHead
from .order_geometry import OrderGeometryNet
from .state_dict import LoadReport, load_weights
from .weights import load_encoder, save_encoder

__all__ = [
    "ENCODERS",
    "ContrastiveNet",
    "Encoder",
    "LinearClassifier",
    "LoadReport",
    "OrderGeometryNet",
    "ProjectionHead",
    "load_encoder",
    "load_weights",
    "save_encoder",
]
