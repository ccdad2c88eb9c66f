# SPDX-License-Identifier: Apache-2.0
"""Programs import what they share by its bare name, as Python does for a program's own folder."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
