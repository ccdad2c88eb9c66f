# SPDX-License-Identifier: Apache-2.0
"""The network of contrastive pretraining: encoder, projection head and, for few labels, a classifier."""

from __future__ import annotations

import torch
from torch import nn

from ..errors import InputError
from ..keys import Keys
from .encoder import Encoder
from .heads import LinearClassifier, ProjectionHead


class ContrastiveNet(nn.Module):
    """Views (B, V, C, H, W) -> representation, projection and class logits of each view.

    After USCL (Chen et al., MICCAI 2021, arXiv 2011.13066, figure 2). The output is a dict:

    - ``Keys.REPRESENTATION``: (B, V, D), what the encoder gives and what is kept after pretraining
    - ``Keys.PROJECTION``: (B, V, P), for the contrastive loss
    - ``Keys.LOGITS``: (B, V, K), for the label loss; only with ``num_classes`` > 0

    Differs from the paper: all B * V images go through the encoder in one pass, so batch normalisation sees both views
    together and updates its running figures once a step; the released code passes each view, and the whole batch
    twice. The paper's figure classifies the representation, its released code the projection: ``classify`` chooses,
    and the default follows the figure.

    Args:
        encoder: gives the representation.
        projection_dim: P.
        hidden_dim: width of the projection head's hidden layer; D when not given.
        num_classes: K; 0 builds no classifier.
        classify: ``"representation"`` or ``"projection"``, the classifier's input.

    Raises:
        InputError: for another word in ``classify``, a negative ``num_classes``, or views that are not 5-D with the
            encoder's number of channels.
    """

    def __init__(
        self,
        encoder: Encoder,
        projection_dim: int = 256,
        hidden_dim: int | None = None,
        num_classes: int = 0,
        classify: str = "representation",
    ) -> None:
        super().__init__()
        if classify not in (Keys.REPRESENTATION, Keys.PROJECTION):
            raise InputError(f"classify: found {classify!r}, expected 'representation' or 'projection'")
        if num_classes < 0:
            raise InputError(f"num_classes: found {num_classes}, expected 0 (no classifier) or the number of classes")
        self.classify = classify
        self.encoder = encoder
        self.projector = ProjectionHead(encoder.feature_dim, hidden_dim, projection_dim)
        classifier_dim = projection_dim if classify == Keys.PROJECTION else encoder.feature_dim
        self.classifier = LinearClassifier(classifier_dim, num_classes) if num_classes else None

    def forward(self, views: torch.Tensor) -> dict[str, torch.Tensor]:
        """One forward pass of all views; see the class for what comes out."""
        if views.ndim != 5 or views.shape[2] != self.encoder.in_channels:
            raise InputError(
                f"views: found shape {tuple(views.shape)}, expected (batch, views, {self.encoder.in_channels}, height, "
                f"width) for this {self.encoder.name}; check the transforms and the encoder's in_channels"
            )
        batch_and_views = views.shape[:2]
        flat = {Keys.REPRESENTATION: self.encoder(views.flatten(0, 1))}
        flat[Keys.PROJECTION] = self.projector(flat[Keys.REPRESENTATION])
        if self.classifier is not None:
            flat[Keys.LOGITS] = self.classifier(flat[self.classify])
        return {name: value.unflatten(0, batch_and_views) for name, value in flat.items()}
