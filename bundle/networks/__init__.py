# SPDX-License-Identifier: Apache-2.0
"""Encoder, heads, the network of pretraining, weights in and out."""

from __future__ import annotations

from .contrastive import ContrastiveHeads
from .dilation import reduce_stride
from .encoder import ENCODERS, Encoder
from .heads import LinearClassifier, ProjectionHead
from .order_geometry import OrderGeometryHeads
from .pretext import PretextHeads, PretextNet
from .saliency import SaliencyNet
from .state_dict import LoadReport, load_weights
from .weights import load_encoder, save_encoder

__all__ = [
    "ENCODERS",
    "ContrastiveHeads",
    "Encoder",
    "LinearClassifier",
    "LoadReport",
    "OrderGeometryHeads",
    "PretextHeads",
    "PretextNet",
    "ProjectionHead",
    "SaliencyNet",
    "load_encoder",
    "load_weights",
    "reduce_stride",
    "save_encoder",
]
