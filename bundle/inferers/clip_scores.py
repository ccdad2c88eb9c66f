# SPDX-License-Identifier: Apache-2.0
"""From the frames of one clip to the scores of its classes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..errors import told_to_client
from ..metrics.classification import probabilities_of_clip


class ClipScoresd(MapTransform):
    """What `FrameClassifier` says of a clip's frames, ``(n, K)`` or ``(n, K + 1)`` -> probabilities ``(K,)``.

    A MetaTensor without a place in space, which is what MONAI Label's writer of classes takes.

    Args:
        keys: of the logits.
        num_classes: K.
        clip_score: from frames to a clip, see `clip_probabilities`; an unknown one is told to the client.
    """

    def __init__(self, keys: KeysCollection, num_classes: int, clip_score: str = "mean") -> None:
        super().__init__(keys)
        self.num_classes = num_classes
        self.clip_score = clip_score

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        for key in self.key_iterator(sample):
            outputs = torch.as_tensor(sample[key]).double().cpu().numpy()
            with told_to_client():
                probabilities = probabilities_of_clip(outputs, self.num_classes, self.clip_score)
            sample[key] = MetaTensor(torch.from_numpy(probabilities))
        return sample
