# SPDX-License-Identifier: Apache-2.0
"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)  # workers share the cores


@pytest.fixture(scope="session")
def ultrasound_data() -> Path:
    """The folder of real ultrasound named by ULTRASOUND_DATA; tests that need it are skipped without it."""
    folder = os.environ.get("ULTRASOUND_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real ultrasound: set ULTRASOUND_DATA to its folder")
    return Path(folder)
