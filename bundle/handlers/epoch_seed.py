# SPDX-License-Identifier: Apache-2.0
"""The random draws of an epoch as a function of the seed and the epoch alone."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.transforms.transform import Randomizable


class EpochSeed:
    """Reseeds torch and the training transforms at the start of every epoch.

    What epoch 7 draws (order of the clips, frames, augmentation, dropout) then depends on ``seed`` and 7 only, and a
    resumed run continues exactly as the uninterrupted one would have, without random states in the checkpoint.
    An epoch that is shorter or longer than a pass over the clips draws its order anew, too. Each rank of a distributed
    run draws for itself, the first as a single process does. Worker processes are covered: MONAI's loader seeds them
    from torch's generator.

    Args:
        seed: the run's seed.
        transform: the random transform of the training data; anything else is left alone.
    """

    def __init__(self, seed: int, transform: Any = None) -> None:
        self.seed = seed
        self.transform = transform

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        place = [self.seed, engine.state.epoch, idist.get_rank()]
        torch_seed, transform_seed = np.random.SeedSequence(place).generate_state(2)
        torch.manual_seed(int(torch_seed))
        if isinstance(self.transform, Randomizable):
            self.transform.set_random_state(seed=int(transform_seed))
        loader: Any = engine.state.dataloader
        if engine.state.epoch_length != len(loader):  # ignite would go on in the order of the epoch before
            engine.set_data(loader)
