"""Rows of like length together, for passes that train nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_AT_ONCE = 32


def run_by_length(sizes: Sequence[int], run: Callable[[list[int]], Any]) -> list[Any]:
    """What `run` makes of each row, in the rows' order.

    `run` gets the numbers of up to 32 rows, short ones first, and gives something for each. `sizes` are the rows'.
    """
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    found: list[Any] = [None] * len(sizes)
    for begin in range(0, len(order), _AT_ONCE):
        part = order[begin : begin + _AT_ONCE]
        for index, made in zip(part, run(part), strict=True):
            found[index] = made
    return found
