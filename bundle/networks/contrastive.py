# SPDX-License-Identifier: Apache-2.0
"""The heads of contrastive pretraining: a projection and, for few labels, a classifier."""

from __future__ import annotations

import torch

from ..errors import InputError
from ..keys import Keys
from .heads import LinearClassifier, ProjectionHead
from .pretext import PretextHeads


class ContrastiveHeads(PretextHeads):
    """Views (B, V, C, H, W) -> representation, projection and class logits of each view.

    After USCL (Chen et al., MICCAI 2021, arXiv 2011.13066, figure 2). The outputs are

    - ``Keys.REPRESENTATION``: (B, V, D), what the encoder gives and what is kept after pretraining
    - ``Keys.PROJECTION``: (B, V, P), for the contrastive loss
    - ``Keys.LOGITS``: (B, V, K), for the label loss; only with ``num_classes`` > 0

    Differs from the paper: all B * V images go through the encoder in one pass (`PretextNet`), so batch normalisation
    sees both views together and updates its running figures once a step; the released code passes each view, and the
    whole batch twice. The paper's figure classifies the representation, its released code the projection: ``classify``
    chooses, and the default follows the figure.

    Args:
        feature_dim: D.
        projection_dim: P.
        hidden_dim: width of the projection head's hidden layer; D when not given.
        num_classes: K; 0 builds no classifier.
        classify: ``"representation"`` or ``"projection"``, the classifier's input.

    Raises:
        InputError: for another word in ``classify``, a negative ``num_classes``, or views that are not 5-D.
    """

    reads = Keys.VIEWS

    def __init__(
        self,
        feature_dim: int = 512,
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
        self.projector = ProjectionHead(feature_dim, hidden_dim, projection_dim)
        classifier_dim = projection_dim if classify == Keys.PROJECTION else feature_dim
        self.classifier = LinearClassifier(classifier_dim, num_classes) if num_classes else None

    def frames(self, images: torch.Tensor) -> torch.Tensor:
        """Views (B, V, C, H, W) -> (B * V, C, H, W)."""
        if images.ndim != 5:
            raise InputError(
                f"views: found shape {tuple(images.shape)}, expected (batch, views, channels, height, width); check "
                "the transforms"
            )
        return images.flatten(0, 1)

    def forward(self, features: torch.Tensor, batch: int) -> dict[str, torch.Tensor]:
        """Features (B * V, D) -> see the class."""
        flat = {Keys.REPRESENTATION: features, Keys.PROJECTION: self.projector(features)}
        if self.classifier is not None:
            flat[Keys.LOGITS] = self.classifier(flat[self.classify])
        return {name: value.unflatten(0, (batch, -1)) for name, value in flat.items()}
