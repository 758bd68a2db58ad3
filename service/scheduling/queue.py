"""The rows that wait for one model: when each is due, and which of them share a pass."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable

from service.scheduling.cost_model import CostModel
from service.scheduling.job import Row

PATIENCE_S = 1.0
"""A row is never overtaken by one that arrived more than this many seconds later."""
_TYPICAL_ROWS = 256
# Rows that are considered on either side of the most urgent one, in order of length. Rows of a more different length
# share no pass with it, and planning a batch stays below a tenth of a millisecond.
_REACH = 24

_Entry = tuple[int, int, Row]


class Urgency:
    """Decides when a row is due, by its cost beside that of recent rows. Shared by the queues of all models."""

    def __init__(self) -> None:
        self._typical_s = 0.0

    def due_s(self, arrived_s: float, cost_s: float) -> float:
        """`arrived_s` plus cost³ / (typical cost)², at most PATIENCE_S; updates the typical cost with this row's.

        Cheaper rows go first, but a row is never overtaken by one that arrived more than PATIENCE_S later. Rows of
        similar cost hardly overtake each other, while a row of ten times the typical cost lets typical ones pass: this
        keeps their latency low while expensive rows wait.
        """
        typical_s = self._typical_s or cost_s
        self._typical_s = typical_s + (cost_s - typical_s) / _TYPICAL_ROWS
        return arrived_s + min(cost_s * (cost_s / typical_s) ** 2, PATIENCE_S)


class Queue:
    """A bounded queue that gives out batches of rows of similar length, each with the most urgent row. Not thread-safe.

    The waiting rows, sorted by length, are divided into the batches that cost least in all, exactly, by dynamic
    programming over the measured costs (TurboTransformers, PPoPP '21). The one with the most urgent row is given out.
    """

    def __init__(
        self, *, limit: int, cost: CostModel, urgency: Urgency, remaining_s: Callable[[object], float] = lambda _: 0.0
    ) -> None:
        """`limit` in rows. `remaining_s` gives the seconds that a row, by its inputs, costs after its first pass."""
        self.limit = limit
        self.cost = cost
        self._remaining_s = remaining_s
        self._urgency = urgency
        self._by_length: list[_Entry] = []
        self._by_due: list[tuple[float, int, Row]] = []
        self._arrivals = 0
        self.backlog_s = 0.0
        """Seconds that the waiting rows will cost if they run in the cheapest batches."""

    def __len__(self) -> int:
        return len(self._by_length)

    def estimated_s(self, inputs: object, tokens: int) -> float:
        """Seconds that a row costs: its share of a pass, and what comes after."""
        return self.cost.amortized_s(tokens) + self._remaining_s(inputs)

    def put(self, rows: list[Row], *, over_limit: bool = False) -> bool:
        """Take all of `rows`, or none and return False if they exceed the limit and `over_limit` is not set."""
        if len(self) + len(rows) > self.limit and not over_limit:
            return False
        for row in rows:
            self._arrivals += 1
            row.number = self._arrivals
            row.queued = True
            row.job.queued += 1
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
            row.job.queued -= 1
            self.backlog_s -= row.amortized_s
        if not self._by_length:
            self._by_due.clear()
            self.backlog_s = 0.0
        return batch

    def _cut(self, place: int) -> tuple[int, int]:
        """Begin and end of the batch with by_length[place], where dividing its surroundings costs least."""
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
