# SPDX-License-Identifier: Apache-2.0
"""USCL's loss: contrast on all pairs plus cross entropy on those that have a label."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InputError
from ..keys import UNLABELLED, Keys
from .across_ranks import total, world_size
from .nt_xent import NTXentLoss


class SemiSupervisedContrastiveLoss(nn.Module):
    """``contrast + label_weight * (CE of view 1 + CE of view 2)``.

    Contrast is `NTXentLoss`; CE is the mean cross entropy over the items that have a label (USCL, Chen et al.,
    MICCAI 2021, arXiv 2011.13066, equation 1, with lambda 0.2). Items with the label ``UNLABELLED``, and views after
    the first two (extra negatives), take part in the contrast only.

    Differs from the paper: a batch without any label has a label part of exactly 0 with finite gradients, where the
    released code gives NaN. In a distributed run the mean is over the labelled items of all ranks.

    Args:
        temperature: of `NTXentLoss`.
        label_weight: weight of the label part.
        mask_same_video: of `NTXentLoss`; needs ``Keys.VIDEO_ID`` in the targets.
        mask_same_patient: of `NTXentLoss`; needs ``Keys.PATIENT_ID`` in the targets.

    Attributes:
        parts: detached scalars of the last call, for logging: ``contrast`` and ``contrast_accuracy`` (the share of
            anchors whose positive is nearer than every negative); with logits also ``label`` (before its weight), and
            if the batch has labels ``label_accuracy`` (the share of labelled views with the right class).
            In a distributed run they are this rank's.
    """

    def __init__(
        self,
        temperature: float = 0.5,
        label_weight: float = 0.2,
        mask_same_video: bool = False,
        mask_same_patient: bool = False,
    ) -> None:
        super().__init__()
        self.label_weight = label_weight
        self.contrast = NTXentLoss(temperature, mask_same_video, mask_same_patient)
        self.parts: dict[str, torch.Tensor] = {}

    def forward(self, outputs: Mapping[str, torch.Tensor], targets: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The loss as a scalar.

        Args:
            outputs: of `ContrastiveHeads`: ``Keys.PROJECTION`` (B, V, P) and, if it classifies, ``Keys.LOGITS``
                (B, V, K); V is 2, or more with extra negatives.
            targets: ``Keys.LABEL`` class indices, needed with logits, (B,) or, where the two views are of two videos,
                (B, 2); optional ``Keys.VIDEO_ID`` and ``Keys.PATIENT_ID`` (B,) integer ids, ``Keys.PAIR_WEIGHT``
                (B,), ``Keys.NEGATIVE_MASK`` (B, V - 2).

        Raises:
            InputError: for logits without labels, labels that are no class, and what `NTXentLoss` refuses.
        """
        logits, positive = self.contrast.compare(
            outputs[Keys.PROJECTION],
            video=targets.get(Keys.VIDEO_ID),
            patient=targets.get(Keys.PATIENT_ID),
            negatives=targets.get(Keys.NEGATIVE_MASK),
        )
        loss = self.contrast.mean_loss(logits, positive, targets.get(Keys.PAIR_WEIGHT))
        self.parts = {
            "contrast": loss.detach(),
            "contrast_accuracy": (logits.detach().argmax(dim=1) == positive).float().mean(),
        }
        if Keys.LOGITS in outputs:
            label_loss = self._label_loss(outputs[Keys.LOGITS], targets.get(Keys.LABEL))
            loss = loss + self.label_weight * label_loss
        return loss

    def _label_loss(self, logits: torch.Tensor, label: torch.Tensor | None) -> torch.Tensor:
        """Sum over the two views of the mean cross entropy over labelled items; fills in its parts."""
        items, _, classes = logits.shape
        if label is None or label.shape not in ((items,), (items, 2)):
            found = "none" if label is None else f"shape {tuple(label.shape)}"
            raise InputError(
                f"labels: found {found}, expected one class index for each of {items} items (or {UNLABELLED}); "
                f"put them into the batch or set num_classes of the network to 0"
            )
        if not bool(((label >= UNLABELLED) & (label < classes)).all()):
            raise InputError(
                f"labels: found {int(label.min())} to {int(label.max())}, expected 0 to {classes - 1} (or "
                f"{UNLABELLED}); num_classes of the network must be the number of classes"
            )
        pair, label = logits[:, :2], label.reshape(items, -1).expand(-1, 2)
        labelled = label != UNLABELLED
        with torch.autocast(logits.device.type, enabled=False):
            pair = pair if pair.dtype == torch.float64 else pair.float()
            losses = F.cross_entropy(pair.mT, label, ignore_index=UNLABELLED, reduction="none")
        # Over the items of all ranks, so that the gradient averaged over ranks is that of the whole batch.
        loss = world_size() * (losses.sum(dim=0) / total(labelled.sum(dim=0)).clamp(min=1)).sum()
        self.parts["label"] = loss.detach()
        if bool(labelled.any()):
            right = pair.detach().argmax(dim=-1) == label
            self.parts["label_accuracy"] = right[labelled].float().mean()
        return loss
