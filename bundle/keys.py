# SPDX-License-Identifier: Apache-2.0
"""The names of what travels in a record, a sample, a batch and a network's output.

Strings are written once, here; configs and transforms use the same words.
"""

from __future__ import annotations


class Keys:
    """Names used in datalist records, samples, batches and network outputs."""

    # record (a line of the datalist)
    IMAGE = "image"  # path in the datalist; frames once loaded
    LABEL_NAME = "label_name"  # class name, beside the index
    LABEL = "label"  # class name in the datalist; class index (or UNLABELLED) in a batch, (B,) or one a view (B, 2)
    VIDEO_ID = "video_id"
    PATIENT_ID = "patient_id"  # the unit that must never be in two parts
    FOLD = "fold"
    SIMULATED = "simulated"  # not blank in the records of simulated clips
    PART = "part"  # GALLERY or QUERY in a probe

    # sample and batch
    INDEX = "index"  # place in the data set
    PARTNERS = "partners"  # functions that give the items of the patient's other videos
    VIEWS = "views"  # (V, C, H, W) in a sample, (B, V, C, H, W) in a batch; a pair, then extra negatives
    FRAME_TIMES = "frame_times"  # (T,) seconds
    FRAMES = "frames"  # (T, C, H, W) in a sample, (B, T, C, H, W) in a batch
    FRAME_INDEX = "frame_index"  # (T,) which frames of the cine these are
    PAIR_FRAMES = "pair_frames"  # (V, K) frame indices of each view
    PAIR_MIXING = "pair_mixing"  # (V, K) mixing weights of each view
    PAIR_WEIGHT = "pair_weight"  # weight of the pair in the contrastive loss
    PAIR_INDEX = "pair_index"  # (V,) place in the data set of the video that each view is of
    NEGATIVE_MASK = "negative_mask"  # (V - 2,) or (B, V - 2): which of the extra negatives are there

    # sample and batch of order and geometry
    DRAW = "draw"  # in a record: (k, K), which of its K fixed draws (of its K frames) a sample is
    CLIPS = "clips"  # (2, n, C, H, W) in a sample, (B, 2, n, C, H, W) in a batch: as it is, transformed
    ORDER = "order"  # class index of the order in which the frames are shown
    GEOMETRY = "geometry"  # (P,) parameters of the affine map, mean 0 and unit variance; (B, P) also as output
    MOVING = "moving"  # whether the frames differ enough to have an order
    CLIP_FRAMES = "clip_frames"  # (n,) frame indices as shown
    SHORTENED = "shortened"  # whether the cine was too short for the asked stride

    # record, sample and batch of lesions
    MASK = "mask"  # path in the datalist, (T, H, W) of the original frames in an item; (T, 1, h, w) in a sample
    META = "meta"  # in an item: what the cache says of its frames
    BOXES = "boxes"  # (T, K, 4) xyxy in a sample, x the column; 0 where a frame has fewer than K

    # record, sample and batch of saliency
    GAZE = "gaze"  # a record's `Gaze`: its fixations in the network's square
    FIXATIONS = "fixations"  # (T, 1, h, w) how often each pixel of a frame was fixated
    SALIENCY = "saliency"  # (T, 1, h, w) fixation densities, the pixels of a frame sum to 1

    # record and chunk of inference
    NAME = "name"  # in a record: what its results are called
    ORIGINAL = "original"  # (n, H, W) uint8, the frames in grey as they were
    POSITION = "position"  # place of a chunk's first frame among the chosen ones of its clip
    COUNT = "count"  # chosen frames of the clip

    # output of a contrastive network
    REPRESENTATION = "representation"  # (B, V, D)
    PROJECTION = "projection"  # (B, V, P)
    LOGITS = "logits"  # (B, V, K)

    # output of an order and geometry network, beside GEOMETRY
    ORDER_LOGITS = "order_logits"  # (B, K)


UNLABELLED = -1
"""Class index of an item without a label."""

PHANTOM = "phantom"
"""The name of the simulated data that the project makes itself; other clips are never called so."""

PARTS = ("training", "validation", "testing")
"""The parts of a datalist, in their usual order."""

GALLERY, QUERY = "gallery", "query"
"""The parts of a probe: clips that are the reference, clips that are judged."""

LEGACY = "legacy-uscl"
PROTOCOLS = ("patient", LEGACY)
"""How weights are chosen and figures counted: by patients that training never saw; or as USCL was released, on the
tested fold and by frames."""
