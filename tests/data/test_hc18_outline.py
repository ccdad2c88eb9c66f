# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from bundle.data.public.hc18 import filled_outline
from bundle.errors import InputError


@pytest.mark.parametrize("centre", [(45, 60), (45, 100), (10, 60), (88, 118)])
def test_outlines_are_filled_also_where_they_leave_the_picture(centre: tuple[int, int]) -> None:
    y, x = np.mgrid[:90, :120]
    angle = 0.4
    along = (x - centre[1]) * np.cos(angle) + (y - centre[0]) * np.sin(angle)
    across = (y - centre[0]) * np.cos(angle) - (x - centre[1]) * np.sin(angle)
    radius = np.hypot(along / 30, across / 22)
    outline = np.abs(radius - 1) < 0.03
    filled, inside = filled_outline(outline), radius < 1.03
    assert 2 * (filled & inside).sum() / (filled.sum() + inside.sum()) > 0.99
    assert filled[outline].all() and not filled[radius > 1.05].any()


def test_what_is_no_outline() -> None:
    with pytest.raises(InputError, match="no outline"):
        filled_outline(np.zeros((5, 5), bool))
    line = np.zeros((20, 20), bool)
    line[:, 3] = line[5, :] = True
    with pytest.raises(InputError, match="no ellipse fits it"):
        filled_outline(line)
    with pytest.raises(InputError, match="no ellipse fits it"):
        filled_outline(np.eye(20, dtype=bool))
