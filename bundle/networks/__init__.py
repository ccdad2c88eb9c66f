# SPDX-License-Identifier: Apache-2.0
"""Encoder, heads, the network of pretraining, weights in and out."""

from __future__ import annotations

from .anchors import AnchorGrid, swap_axes
from .contrastive import ContrastiveHeads
from .detection import DetectionNet
from .encoder import ENCODERS, Encoder
from .heads import LinearClassifier, ProjectionHead
from .order_geometry import OrderGeometryHeads
from .pretext import PretextHeads, PretextNet
from .pyramid import PyramidNet
from .segmentation import SegmentationNet
from .state_dict import LoadReport, load_weights
from .weights import load_encoder, save_encoder

__all__ = [
    "ENCODERS",
    "AnchorGrid",
    "ContrastiveHeads",
    "DetectionNet",
    "Encoder",
    "LinearClassifier",
    "LoadReport",
    "OrderGeometryHeads",
    "PretextHeads",
    "PretextNet",
    "ProjectionHead",
    "PyramidNet",
    "SegmentationNet",
    "load_encoder",
    "load_weights",
    "save_encoder",
    "swap_axes",
]
