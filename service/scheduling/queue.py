"""The rows that wait for one model, when each is due, and which of them share a pass."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Any

from service.scheduling.cost_model import CostModel
from service.scheduling.job import Row

PATIENCE_S = 1.0
"""Rows that come later pass a waiting row over for this long at most."""
_TYPICAL_ROWS = 256
# Rows around the most urgent that a plan looks at on either side: what lies farther off in length shares no pass with
# it, and planning stays below a tenth of a millisecond.
_REACH = 24

_Entry = tuple[int, int, Row]


class Urgency:
    """When a row is due, by what it costs beside what rows cost lately; shared by the queues of all models."""

    def __init__(self) -> None:
        self._typical_s = 0.0

    def due_s(self, arrived_s: float, cost_s: float) -> float:
        """`arrived_s` plus cost³ / (typical cost)², PATIENCE_S at most; the row counts among the lately seen.

        Of two rows that came together the cheaper goes first, and nobody goes before a row who came a second later.
        Rows of about one cost hardly overtake each other, while a row of ten times the usual cost lets the usual ones
        by: that is what keeps their latency while it and its like are waiting.
        """
        typical_s = self._typical_s or cost_s
        self._typical_s = typical_s + (cost_s - typical_s) / _TYPICAL_ROWS
        return arrived_s + min(cost_s * (cost_s / typical_s) ** 2, PATIENCE_S)


class Queue:
    """A bounded queue that gives out batches of like length, each around its most urgent row. Not thread-safe.

    A batch is the part with the most urgent row in it of the cheapest way to cut the waiting rows, sorted by length,
    into passes: exact, by dynamic programming over the measured costs (TurboTransformers, PPoPP '21).
    """

    def __init__(
        self, *, limit: int, cost: CostModel, urgency: Urgency, remaining_s: Callable[[Any], float] = lambda _: 0.0
    ) -> None:
        """`limit` in rows; `rest_s`, of a row's inputs, is what it will cost after the pass that it waits for."""
        self.limit = limit
        self.cost = cost
        self._remaining_s = remaining_s
        self._urgency = urgency
        self._by_length: list[_Entry] = []
        self._by_due: list[tuple[float, int, Row]] = []
        self._arrivals = 0
        self.backlog_s = 0.0
        """What the waiting rows will cost, if their passes are as good as they can be."""

    def __len__(self) -> int:
        return len(self._by_length)

    def estimated_s(self, inputs: Any, tokens: int) -> float:
        """What a row costs, its pass and what comes after."""
        return self.cost.amortized_s(tokens) + self._remaining_s(inputs)

    def put(self, rows: list[Row], *, over: bool = False) -> bool:
        """Take all of `rows`, or none and return False; `over` the limit too, if that is said."""
        if len(self) + len(rows) > self.limit and not over:
            return False
        for row in rows:
            self._arrivals += 1
            row.number = self._arrivals
            row.queued = True
            row.amortized_s = self.estimated_s(row.inputs, row.tokens)
            row.due_s = self._urgency.due_s(row.arrived_s, self.cost.amortized_s(row.tokens))
            insort(self._by_length, (row.tokens, row.number, row))
            heapq.heappush(self._by_due, (row.due_s, row.number, row))
            self.backlog_s += row.amortized_s
        return True

    def most_urgent(self) -> Row | None:
        """The row that is due first, still queued."""
        due = self._by_due
        while due and not due[0][2].queued:
            heapq.heappop(due)
        return due[0][2] if due else None

    def take(self) -> list[Row]:
        """Remove and return the next batch: the most urgent row and those that it is cheapest to run with."""
        first = self.most_urgent()
        assert first is not None, "nothing is queued"
        low, high = self._cut(bisect_left(self._by_length, (first.tokens, first.number)))
        batch = [row for _, _, row in self._by_length[low:high]]
        del self._by_length[low:high]
        for row in batch:
            row.queued = False
            self.backlog_s -= row.amortized_s
        if not self._by_length:
            self._by_due.clear()
            self.backlog_s = 0.0
        return batch

    def _cut(self, place: int) -> tuple[int, int]:
        """Where the part with by_length[place] begins and ends, in the cheapest way to cut its surroundings."""
        begin = max(0, place - _REACH)
        around = self._by_length[begin : place + _REACH + 1]
        cheapest = [0.0]  # of the first n rows
        sizes = [0]  # of the last part in that
        for end, (tokens, _, _) in enumerate(around, 1):
            column = self.cost.column(tokens)
            best, size = cheapest[end - 1] + column[1], 1
            for rows in range(2, min(len(column), end + 1)):
                total = cheapest[end - rows] + column[rows]
                if total < best:
                    best, size = total, rows
            cheapest.append(best)
            sizes.append(size)
        end = len(around)
        while end - sizes[end] > place - begin:
            end -= sizes[end]
        return begin + end - sizes[end], begin + end

    def clear(self) -> list[Row]:
        """Remove and return every row, oldest first."""
        rows = sorted((row for _, _, row in self._by_length), key=lambda row: row.number)
        self._by_length.clear()
        self._by_due.clear()
        self.backlog_s = 0.0
        return rows
