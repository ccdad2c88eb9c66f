# SPDX-License-Identifier: Apache-2.0
"""Encoder, heads, the networks of pretraining and of the tasks, weights in and out."""

from __future__ import annotations

from .classifier import FrameClassifier
from .contrastive import ContrastiveHeads
from .encoder import ENCODERS, Encoder
from .heads import LinearClassifier, ProjectionHead
from .order_geometry import OrderGeometryHeads
from .pretext import PretextHeads, PretextNet
from .pretrained import Pretrained, open_encoder
from .state_dict import LoadReport, load_weights
from .tuning import TUNED, parameter_groups, tune
from .weights import load_encoder, save_encoder

__all__ = [
    "ENCODERS",
    "TUNED",
    "ContrastiveHeads",
    "Encoder",
    "FrameClassifier",
    "LinearClassifier",
    "LoadReport",
    "OrderGeometryHeads",
    "PretextHeads",
    "PretextNet",
    "Pretrained",
    "ProjectionHead",
    "load_encoder",
    "load_weights",
    "open_encoder",
    "parameter_groups",
    "save_encoder",
    "tune",
]
