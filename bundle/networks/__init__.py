# SPDX-License-Identifier: Apache-2.0
"""Encoder, heads, the networks of pretraining and of the tasks, weights in and out."""

from __future__ import annotations

from .anchors import AnchorGrid, swap_axes
from .classifier import FrameClassifier
from .contrastive import ContrastiveHeads
from .detection import DetectionNet
from .dilation import reduce_stride
from .encoder import ENCODERS, Encoder
from .heads import LinearClassifier, ProjectionHead
from .order_geometry import OrderGeometryHeads
from .pretext import PretextHeads, PretextNet
from .pretrained import Pretrained, open_encoder
from .provenance import only_simulated, origin, sources
from .published import description_of, publish, write_model
from .pyramid import PyramidNet
from .saliency import SaliencyNet
from .segmentation import SegmentationNet
from .state_dict import LoadReport, load_weights
from .trained_model import EMBEDDING, TrainedModel, open_model, write_description
from .tuning import TUNED, parameter_groups, tune
from .weights import load_encoder, read_state_dict, save_encoder

__all__ = [
    "EMBEDDING",
    "ENCODERS",
    "AnchorGrid",
    "TUNED",
    "TrainedModel",
    "ContrastiveHeads",
    "DetectionNet",
    "Encoder",
    "FrameClassifier",
    "LinearClassifier",
    "LoadReport",
    "OrderGeometryHeads",
    "PretextHeads",
    "PretextNet",
    "Pretrained",
    "ProjectionHead",
    "PyramidNet",
    "SegmentationNet",
    "SaliencyNet",
    "description_of",
    "load_encoder",
    "load_weights",
    "open_encoder",
    "only_simulated",
    "open_model",
    "origin",
    "parameter_groups",
    "publish",
    "read_state_dict",
    "reduce_stride",
    "save_encoder",
    "sources",
    "swap_axes",
    "tune",
    "write_description",
    "write_model",
]
