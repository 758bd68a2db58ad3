"""A model in the scheduler: its queue, the batches under way, and which of them run on together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

from service.job import Passes, Row, Running
from service.queue import Queue


class Run(Protocol):
    """A model, to the scheduler."""

    def __call__(self, rows: list[Row], *, alone: bool) -> Passes:
        """The passes of a batch; `alone`: nobody else runs or waits, nor did just now, so that all cores are free."""


class Observer(Protocol):
    """Where a line's figures go; see metrics.PassMetrics."""

    def started(self, waits_s: list[float]) -> None:
        """A batch left the queue after these waits."""

    def ran(self, *, rows: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """One forward pass is over."""

    def saved(self, passes: int) -> None:
        """So many passes of a row were not made, because nobody waits for it any more."""

    def failed(self, rows: int) -> None:
        """Rows were given up."""


@dataclass(slots=True, eq=False)
class Batch:
    """Rows that run together, between two passes; `passes` is None before the first."""

    line: Line
    rows: list[Row]
    due_s: float
    passes: Passes | None = None
    again: bool = False
    """Whether it runs again after a failure."""
    alone: bool = False
    guests: list[Running] = field(default_factory=list)
    """Batches whose rows are counted here already, and which join before its next pass."""

    @property
    def size(self) -> int:
        """Of its line's room."""
        if not isinstance(self.passes, Running):
            return len(self.rows)
        # Guests first: one that takes its seat meanwhile is counted twice, not left out.
        return sum(guest.size for guest in self.guests) + self.passes.size

    def strain(self, other: Batch) -> float:
        """What it would cost to take `other` in; infinite where it may not join, as what failed in company before."""
        if self.again or other.again or self.size + other.size > self.line.most:
            return math.inf
        if isinstance(self.passes, Running) and isinstance(other.passes, Running):
            return self.passes.strain(other.passes)
        return math.inf

    def take_in(self, guest: Batch) -> None:
        """Let it join before the next pass; its caches are moved then, by the worker, and not under the lock."""
        assert isinstance(guest.passes, Running)
        self.rows += guest.rows
        self.guests += [guest.passes, *guest.guests]

    def seat_guests(self) -> None:
        """Before a pass."""
        while self.guests:
            assert isinstance(self.passes, Running)
            self.passes.absorb(self.guests[0])
            del self.guests[0]  # not before: another worker may be looking for room


def _due_s(batch: Batch) -> float:
    return batch.due_s


def _size(batch: Batch) -> int:
    return batch.size


@dataclass(slots=True, eq=False)
class Line:
    """One model: its queue, the batches that are under way, how it runs and who watches. Not thread-safe."""

    name: str
    queue: Queue
    run: Run
    observer: Observer
    workers: int
    most: float = math.inf
    """What a batch under way may have, by its size; as many as there are workers, and the rest waits in the queue."""
    waiting: list[Batch] = field(default_factory=list)
    """Under way, between two passes."""
    running: list[Batch] = field(default_factory=list)
    """On a worker."""

    def due_s(self) -> float:
        """When its most urgent is due; infinity when there is nothing to run."""
        row = self._next_row()
        times = [batch.due_s for batch in self.waiting]
        if row is not None:
            times.append(row.due_s)
        return min(times, default=math.inf)

    def _next_row(self) -> Row | None:
        under_way = sum(map(_size, (*self.waiting, *self.running))) if self.most < math.inf else 0
        if under_way >= self.most * self.workers:
            return None
        return self.queue.most_urgent()

    def take(self) -> Batch:
        """The batch to run next: the one under way that is due first, or a fresh one from the queue."""
        row = self._next_row()
        batch = min(self.waiting, key=_due_s, default=None)
        if batch is None or (row is not None and row.due_s < batch.due_s):
            rows = self.queue.take()
            batch = Batch(self, rows, rows[0].due_s)
        else:
            self.waiting.remove(batch)
        self.running.append(batch)
        return batch

    def put_back(self, batch: Batch, *, pressed: bool) -> None:
        """After a pass: what is left of it waits for the next, or joins the batch where it costs least.

        Rows are cheaper in one pass, but two workers are faster than one. So they join where the worker is `pressed`,
        having other work to do; who runs that batch at the time takes them in before its next pass.
        """
        self.running.remove(batch)
        batch.rows = [row for row in batch.rows if not row.answered]
        if not batch.rows:
            return
        hosts = (each for each in (*self.waiting, *self.running) if pressed and each.size >= batch.size)
        host = min(hosts, key=lambda each: each.strain(batch), default=None)
        if host is None or host.strain(batch) == math.inf:
            self.waiting.append(batch)
        else:
            host.take_in(batch)

    def clear(self) -> list[Row]:
        """Remove and return every row that waits."""
        left = self.queue.clear()
        while self.waiting:
            left += self.waiting.pop().rows
        return left
