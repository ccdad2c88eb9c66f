# SPDX-License-Identifier: Apache-2.0
"""The heads of order and geometry pretraining."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import nn

from ..errors import InputError
from ..keys import Keys
from .heads import ProjectionHead
from .pretext import PretextHeads

AS_IS, TRANSFORMED = 0, 1  # places of the two clips in a sample


class OrderHead(nn.Module):
    """Frame features (B, n, D) in the shown order -> logits of the order classes (B, K).

    ``"concatenated"``: the n features as one, linear, ReLU, linear. ``"pairwise"``: each pair of places goes through
    one shared linear layer and ReLU, and the pairs are concatenated for the last layer, as in the order prediction
    network of Lee et al. (ICCV 2017, arXiv 1708.01246). Jiao et al. do not say which; the default is ours.

    Frames of one clip have nearly the same features, and what tells their order is the little in which they differ. So
    the head starts with the difference of each from their mean, batch-normalised: this is ours, and without it nothing
    was learned in a thousand iterations in which it was with it.
    """

    def __init__(self, in_dim: int, n_frames: int, n_orders: int, hidden_dim: int, features: str) -> None:
        super().__init__()
        if features == "concatenated":
            self.pairs = [tuple(range(n_frames))]
        elif features == "pairwise":
            self.pairs = list(combinations(range(n_frames), 2))
        else:
            raise InputError(f"order_features: found {features!r}, expected 'concatenated' or 'pairwise'")
        self.normalise = nn.BatchNorm1d(in_dim)
        self.compare = nn.Sequential(nn.Linear(len(self.pairs[0]) * in_dim, hidden_dim), nn.ReLU(inplace=True))
        self.classify = nn.Linear(len(self.pairs) * hidden_dim, n_orders)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        features = features - features.mean(dim=1, keepdim=True)
        features = self.normalise(features.flatten(0, 1)).view_as(features)
        compared = [self.compare(features[:, places].flatten(1)) for places in self.pairs]
        return self.classify(torch.cat(compared, dim=1))


class OrderGeometryHeads(PretextHeads):
    """Clips (B, 2, n, C, H, W), as they are and transformed -> order logits and parameters of the transform.

    After Jiao et al. (ISBI 2020, arXiv 2003.00105, figure 2). The outputs are

    - ``Keys.ORDER_LOGITS``: (B, K), with ``n_orders`` > 0
    - ``Keys.GEOMETRY``: (B, P), with ``n_parameters`` > 0

    Two ways of combining the tasks. *Parallel*: one input is shuffled, another transformed; the order is read from the
    clip as it is, the geometry from the transformed one. *Sequential*: one input is both, and both are read from it.

    The geometry head sees each frame's features of both clips (the paper's figure) or of the transformed one only,
    layer-normalised, and its answers are averaged over the frames, since all share one map. The order in which they are
    shown does not matter to it. A clip that no head reads is not encoded. The normalisation is ours: without it the
    head's ReLUs all died within three epochs of learning the order beside it, and over the batch instead it told
    rotations of new patients hardly better than their mean.

    Differs from the paper: the shuffled clip of the parallel way is also the original of the geometry head, which a
    per-frame encoder makes possible, so parallel and sequential cost the same 2n frames. The group's sister papers
    name SE-ResNeXt with half its width; the nearest encoder here, ``seresnext50``, is MONAI's with its full width.

    Args:
        feature_dim: D, of the encoder.
        n_frames: n.
        n_orders: K, the length of `FrameOrders`; 0 builds no order head.
        n_parameters: P, the length of `ClipGeometry`; 0 builds no geometry head.
        combination: ``"parallel"`` or ``"sequential"``.
        order_features: of `OrderHead`.
        geometry_input: ``"both"`` or ``"transformed"``.
        hidden_dim: width of the heads' hidden layers.

    Raises:
        InputError: for other words, no head at all, or clips of another shape.
    """

    reads = Keys.CLIPS

    def __init__(
        self,
        feature_dim: int = 512,
        n_frames: int = 4,
        n_orders: int = 12,
        n_parameters: int = 5,
        combination: str = "parallel",
        order_features: str = "pairwise",
        geometry_input: str = "both",
        hidden_dim: int = 512,
    ) -> None:
        super().__init__()
        if combination not in ("parallel", "sequential"):
            raise InputError(f"combination: found {combination!r}, expected 'parallel' or 'sequential'")
        if geometry_input not in ("both", "transformed"):
            raise InputError(f"geometry_input: found {geometry_input!r}, expected 'both' or 'transformed'")
        if n_orders < 1 and n_parameters < 1:
            raise InputError("order and geometry: both are off; switch on at least one")
        self.n_frames = n_frames
        self.order_clip = AS_IS if combination == "parallel" else TRANSFORMED
        self.geometry_clips = [AS_IS, TRANSFORMED] if geometry_input == "both" else [TRANSFORMED]
        self.order_head = self.geometry_head = None
        if n_orders:
            self.order_head = OrderHead(feature_dim, n_frames, n_orders, hidden_dim, order_features)
        if n_parameters:
            seen_dim = len(self.geometry_clips) * feature_dim
            self.geometry_head = nn.Sequential(
                nn.LayerNorm(seen_dim), ProjectionHead(seen_dim, hidden_dim, n_parameters)
            )
        by_order = [self.order_clip] if n_orders else []
        by_geometry = self.geometry_clips if n_parameters else []
        self.clips = sorted({*by_order, *by_geometry})  # those that a head reads

    def frames(self, images: torch.Tensor) -> torch.Tensor:
        """Clips (B, 2, n, C, H, W) -> (B * R * n, C, H, W), of the R clips that are read."""
        if images.ndim != 6 or tuple(images.shape[1:3]) != (2, self.n_frames):
            raise InputError(
                f"clips: found shape {tuple(images.shape)}, expected (batch, 2, {self.n_frames} frames, channels, "
                "height, width); check the transform's n_frames"
            )
        return images[:, self.clips].flatten(0, 2)

    def forward(self, features: torch.Tensor, batch: int) -> dict[str, torch.Tensor]:
        """Features (B * R * n, D) -> see the class."""
        features = features.unflatten(0, (batch, len(self.clips), self.n_frames))
        of_clip = dict(zip(self.clips, features.unbind(1), strict=True))
        out = {}
        if self.order_head is not None:
            out[Keys.ORDER_LOGITS] = self.order_head(of_clip[self.order_clip])
        if self.geometry_head is not None:
            seen = torch.cat([of_clip[clip] for clip in self.geometry_clips], dim=-1)
            told = self.geometry_head(seen.flatten(0, 1))
            out[Keys.GEOMETRY] = told.unflatten(0, (batch, self.n_frames)).mean(dim=1)
        return out
