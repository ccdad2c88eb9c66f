# SPDX-License-Identifier: Apache-2.0
"""The contrastive loss of SimCLR and USCL."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InputError
from .across_ranks import check_equal_batches, gather, rank, total, world_size


class NTXentLoss(nn.Module):
    """Normalised temperature-scaled cross entropy between the two views of each item.

    Each of the 2B projections is an anchor. Its positive is the other view of its item, its negatives are the other
    2B - 2 projections, and its loss is ``-log(exp(s_pos / t) / sum(exp(s / t)))`` over positive and negatives with
    the cosine similarity s. The result is the mean over anchors (Chen et al., SimCLR, ICML 2020, arXiv 2002.05709,
    equation 1; USCL, arXiv 2011.13066, equation 4).

    Views after the first two are extra negatives: never anchors, compared with every anchor, also with those of their
    own item, whatever the masks say (the hard negatives of Basu et al., MICCAI 2022, arXiv 2207.13148).

    Differs from the papers: items of one video or one patient can be kept from being each other's negatives, pairs
    can carry weights, and the negatives come from all ranks of a distributed run.

    Computed in single precision whatever comes in, also inside autocast (double stays double), through the
    log-sum-exp, so a temperature of 0.01 and half-precision projections are safe. Memory grows with B * B.

    In a distributed run the mean over ranks is the loss of the whole batch and so is the gradient after
    DistributedDataParallel has averaged it. The ranks' batches must be of equal size.

    Args:
        temperature: t, above 0.
        mask_same_video: leave out negatives from the anchor's video. An item's own pair always stays.
        mask_same_patient: the same for the patient.
        gather: take the negatives of all ranks; False compares within each rank.

    Raises:
        InputError: for a temperature not above 0.
    """

    def __init__(
        self,
        temperature: float = 0.5,
        mask_same_video: bool = False,
        mask_same_patient: bool = False,
        gather: bool = True,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise InputError(f"temperature: found {temperature}, expected a number above 0, usually 0.05 to 1")
        self.temperature = temperature
        self.mask_same_video = mask_same_video
        self.mask_same_patient = mask_same_patient
        self.gather = gather

    def forward(
        self,
        projection: torch.Tensor,
        *,
        video: torch.Tensor | None = None,
        patient: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
        negatives: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The loss as a scalar.

        Args:
            projection: (B, V, P), need not be normalised; V is 2, or more with extra negatives.
            video: (B,) integer ids; below 0 means unknown and equals nothing. Only used for masking.
            patient: (B,) integer ids in the same way.
            weights: (B,) weights of the pairs, 0 or more. The loss is then a weighted mean; 0 if all weights are 0.
            negatives: (B, V - 2) bool, which of the extra negatives are there; all when not given.

        Raises:
            InputError: for other shapes, masking without ids, or batches of different size on the ranks.
        """
        logits, positive = self.compare(projection, video=video, patient=patient, negatives=negatives)
        return self.mean_loss(logits, positive, weights)

    def compare(
        self,
        projection: torch.Tensor,
        *,
        video: torch.Tensor | None = None,
        patient: torch.Tensor | None = None,
        negatives: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What each anchor is compared with, and which of it is the positive.

        Returns:
            Similarities over the temperature (2B, V * N), -inf where nothing is compared, and the positives' columns
            (2B,). N is the number of items on all ranks. Rows and columns run over the items of view 1, then of
            view 2, columns then over those of the extra negatives.
        """
        if projection.ndim != 3 or projection.shape[1] < 2:
            raise InputError(
                f"projection: found shape {tuple(projection.shape)}, expected (batch, 2 views or more, features)"
            )
        items, views = projection.shape[:2]
        across = self.gather and world_size() > 1
        if across:
            check_equal_batches(items, projection.device)
        with torch.autocast(projection.device.type, enabled=False):
            own = F.normalize(projection if projection.dtype == torch.float64 else projection.float(), dim=-1)
            everyone = gather(own) if across else own
            anchors = own[:, :2].transpose(0, 1).flatten(0, 1)
            logits = anchors @ everyone.transpose(0, 1).flatten(0, 1).T / self.temperature

        here = torch.arange(items, device=projection.device) + (rank() * items if across else 0)
        itself = torch.cat([here, here + len(everyone)])
        positive = torch.cat([here + len(everyone), here])
        left_out = torch.zeros_like(logits, dtype=torch.bool)
        for name, wanted, ids in (
            ("video", self.mask_same_video, video),
            ("patient", self.mask_same_patient, patient),
        ):
            if wanted:
                left_out |= self._same(name, ids, items, across).repeat(2, views)
        if views > 2:
            extra = here.repeat(2)[:, None] + len(everyone) * torch.arange(2, views, device=projection.device)
            left_out.scatter_(1, extra, False)
            left_out[:, 2 * len(everyone) :] |= ~self._there(negatives, items, views, across).to(left_out.device)
        left_out.scatter_(1, positive[:, None], False)
        left_out.scatter_(1, itself[:, None], True)
        return logits.masked_fill(left_out, float("-inf")), positive

    def mean_loss(
        self, logits: torch.Tensor, positive: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The cross entropy of what `compare` gives, averaged over anchors with the weights (B,) of their pairs."""
        with torch.autocast(logits.device.type, enabled=False):
            losses = F.cross_entropy(logits, positive, reduction="none")
        if weights is None:
            return losses.mean()
        if weights.shape != (len(losses) // 2,):
            raise InputError(f"pair weights: found shape {tuple(weights.shape)}, expected ({len(losses) // 2},)")
        weights = weights.to(losses).repeat(2)
        ranks = world_size() if self.gather else 1
        whole = total(weights.sum()) if self.gather else weights.sum()
        return ranks * (weights * losses).sum() / torch.where(whole > 0, whole, 1)

    @staticmethod
    def _same(name: str, ids: torch.Tensor | None, items: int, across: bool) -> torch.Tensor:
        """(B, N): which items share a known id."""
        if ids is None or ids.shape != (items,) or ids.is_floating_point():
            found = "none" if ids is None else f"{ids.dtype} of shape {tuple(ids.shape)}"
            raise InputError(
                f"mask_same_{name}: found {found}, expected one integer {name} id for each of {items} items; put the "
                f"ids into the batch or set mask_same_{name} to False"
            )
        everyone = gather(ids) if across else ids
        return (ids[:, None] == everyone[None, :]) & (ids[:, None] >= 0)

    @staticmethod
    def _there(negatives: torch.Tensor | None, items: int, views: int, across: bool) -> torch.Tensor:
        """(1, (V - 2) * N): which extra negatives are there, in the order of `compare`'s columns."""
        if negatives is None:
            negatives = torch.ones(items, views - 2, dtype=torch.bool)
        if negatives.shape != (items, views - 2) or negatives.dtype != torch.bool:
            raise InputError(
                f"extra negatives: found {negatives.dtype} of shape {tuple(negatives.shape)}, expected one bool for "
                f"each of {items} items and {views - 2} views"
            )
        everyone = gather(negatives.byte()).bool() if across else negatives
        return everyone.T.flatten()[None, :]
