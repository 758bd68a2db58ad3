"""The rows that wait for one model, and which of them share a pass."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict

from service.job import Row

_Entry = tuple[int, int, Row]


class Queue:
    """A bounded queue that gives out batches of like length, each around its oldest row. Not thread-safe.

    A row joins only if the padding it brings costs less than the pass it saves, and the padded batch stays within
    a token budget: on CPUs throughput saturates at a few hundred tokens a pass and then falls (docs/design.md).
    The oldest row is in every batch, so nobody is passed over for longer than the rows before it take.
    """

    def __init__(self, *, limit: int, batch_tokens: int, slack_tokens: int) -> None:
        """`limit` in rows; `batch_tokens` padded, a longer row runs alone; `slack_tokens`: what a pass costs."""
        self.limit = limit
        self._batch_tokens = batch_tokens
        self._slack_tokens = slack_tokens
        self._by_length: list[_Entry] = []
        self._by_arrival: OrderedDict[int, Row] = OrderedDict()
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._by_arrival)

    def put(self, rows: list[Row]) -> bool:
        """Take all of `rows`, or none and return False."""
        if len(self) + len(rows) > self.limit:
            return False
        for row in rows:
            self._arrivals += 1
            self._by_arrival[self._arrivals] = row
            insort(self._by_length, (row.tokens, self._arrivals, row))
        return True

    def oldest(self) -> Row | None:
        """The row that came first, still queued."""
        return next(iter(self._by_arrival.values()), None)

    def take(self) -> list[Row]:
        """Remove and return the next batch: the oldest row and its neighbours in length."""
        number, oldest = next(iter(self._by_arrival.items()))
        low = bisect_left(self._by_length, (oldest.tokens, number))
        high = low + 1
        while (side := self._cheaper_side(low, high)) is not None:
            low, high = (low - 1, high) if side == "shorter" else (low, high + 1)
        batch = self._by_length[low:high]
        del self._by_length[low:high]
        for _, arrival, _ in batch:
            del self._by_arrival[arrival]
        return [row for _, _, row in batch]

    def _cheaper_side(self, low: int, high: int) -> str | None:
        """Which neighbour of by_length[low:high] joins with less padding; None when none is worth it."""
        rows = high - low
        longest = self._by_length[high - 1][0]
        choices: list[tuple[int, str]] = []
        if low > 0:
            choices.append((longest - self._by_length[low - 1][0], "shorter"))
        if high < len(self._by_length):
            choices.append(((self._by_length[high][0] - longest) * rows, "longer"))
        for padding, side in sorted(choices):
            new_longest = longest if side == "shorter" else self._by_length[high][0]
            if padding <= self._slack_tokens and new_longest * (rows + 1) <= self._batch_tokens:
                return side
        return None

    def clear(self) -> list[Row]:
        """Remove and return every row, oldest first."""
        rows = list(self._by_arrival.values())
        self._by_arrival.clear()
        self._by_length.clear()
        return rows
