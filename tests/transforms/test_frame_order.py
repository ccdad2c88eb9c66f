# SPDX-License-Identifier: Apache-2.0
"""The order classes: all permutations of up to five frames."""

from __future__ import annotations

from itertools import permutations
from math import factorial

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.transforms import FrameOrders

SIZES = [2, 3, 4, 5]


@pytest.mark.parametrize("n", SIZES)
def test_two_orders_share_a_class_exactly_when_one_is_the_other_of_the_reversed_source(n):
    orders = FrameOrders(n)
    every = list(permutations(range(n)))
    for first in every:
        backwards = tuple(list(reversed(range(n)))[time] for time in first)  # the same frames, the source reversed
        for second in every:
            assert (orders.index(first) == orders.index(second)) == (second in (first, backwards))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("merge", [True, False])
def test_table_and_index_are_inverse_and_every_class_is_as_likely(n, merge):
    orders = FrameOrders(n, merge)
    assert len(orders) == len(orders.table) == (factorial(n) // 2 if merge else factorial(n))
    assert [orders.index(order) for order in orders.table] == list(range(len(orders)))
    counts = np.bincount([orders.index(order) for order in permutations(range(n))], minlength=len(orders))
    assert set(counts) == {2 if merge else 1}
    table = [tuple(order) for order in orders.table.tolist()]
    assert table == sorted(table) and table[0] == tuple(range(n))
    if merge:
        assert all(order < tuple(n - 1 - time for time in order) for order in table)


@pytest.mark.parametrize("n", SIZES)
def test_a_clip_and_the_same_clip_played_backwards_agree(n):
    """Without the arrow of time the class can still be told; the reversal of the places is another thing."""
    orders = FrameOrders(n)
    disagreed = 0
    for order in permutations(range(n)):
        assert orders.index(order) == orders.index(tuple(n - 1 - time for time in order))
        disagreed += orders.index(order) != orders.index(order[::-1])
    assert (disagreed > 0) == (n > 2)


def test_the_papers_twelve_classes_and_some_by_hand():
    orders = FrameOrders()
    assert orders.table.shape == (12, 4)
    assert orders.table[:3].tolist() == [[0, 1, 2, 3], [0, 1, 3, 2], [0, 2, 1, 3]]
    assert orders.index([3, 2, 1, 0]) == 0 and orders.index([3, 2, 0, 1]) == 1
    assert orders.index([1, 0, 3, 2]) == orders.index([2, 3, 0, 1]) != orders.index([0, 1, 3, 2])


def test_drawn_orders_are_of_every_class_about_as_often():
    orders, random = FrameOrders(3), np.random.RandomState(0)
    counts = np.bincount([orders.index(orders.draw(random)) for _ in range(3000)], minlength=3)
    assert np.abs(counts - 1000).max() < 4 * np.sqrt(3000 * 2 / 9)


@pytest.mark.parametrize("n", [0, 1, 8])
def test_other_numbers_of_frames_are_refused(n):
    with pytest.raises(InputError, match=f"found {n}; expected 2 to 7"):
        FrameOrders(n)


@pytest.mark.parametrize("order", [[0, 1, 2], [0, 0, 1, 2], [1, 2, 3, 4], [-1, 0, 1, 2]])
def test_what_is_no_order_is_refused(order):
    with pytest.raises(InputError, match="each of 0 to 3 once"):
        FrameOrders().index(order)
