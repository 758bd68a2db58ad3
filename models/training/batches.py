"""Inference over rows in batches of similar length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_AT_ONCE = 32


def run_by_length(sizes: Sequence[int], run: Callable[[list[int]], Any]) -> list[Any]:
    """Call `run` on batches of row indexes, shortest rows first, and return its results in the order of the rows.

    `sizes` are the lengths of the rows; `run` gets at most 32 indexes and returns one result for each.
    """
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    found: list[Any] = [None] * len(sizes)
    for begin in range(0, len(order), _AT_ONCE):
        part = order[begin : begin + _AT_ONCE]
        for index, made in zip(part, run(part), strict=True):
            found[index] = made
    return found
