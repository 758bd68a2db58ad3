"""A model in the scheduler: its queue, the batches under way, and which of them run on together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

from service.scheduling.job import Passes, Row, RunningPasses
from service.scheduling.queue import Queue


class Run(Protocol):
    """A model, to the scheduler."""

    def __call__(self, rows: list[Row], *, exclusive: bool) -> Passes:
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

    line: ModelBatches
    rows: list[Row]
    due_s: float
    passes: Passes | None = None
    is_retry: bool = False
    """Whether it runs again after a failure."""
    exclusive: bool = False
    joining: list[RunningPasses] = field(default_factory=list)
    """Batches whose rows are counted here already, and which join before its next pass."""

    @property
    def size(self) -> int:
        """Of its line's room."""
        if not isinstance(self.passes, RunningPasses):
            return len(self.rows)
        # Guests first: one that takes its seat meanwhile is counted twice, not left out.
        return sum(guest.size for guest in self.joining) + self.passes.size

    def join_cost(self, other: Batch) -> float:
        """What it would cost to take `other` in; infinite where it may not join, as what failed in company before."""
        if self.is_retry or other.is_retry or self.size + other.size > self.line.max_batch_rows:
            return math.inf
        if isinstance(self.passes, RunningPasses) and isinstance(other.passes, RunningPasses):
            return self.passes.join_cost(other.passes)
        return math.inf

    def add_joining(self, guest: Batch) -> None:
        """Let it join before the next pass; its caches are moved then, by the worker, and not under the lock."""
        assert isinstance(guest.passes, RunningPasses)
        self.rows += guest.rows
        self.joining += [guest.passes, *guest.joining]

    def merge_joining(self) -> None:
        """Before a pass."""
        while self.joining:
            assert isinstance(self.passes, RunningPasses)
            self.passes.merge(self.joining[0])
            del self.joining[0]  # not before: another worker may be looking for room


def _due_s(batch: Batch) -> float:
    return batch.due_s


def _size(batch: Batch) -> int:
    return batch.size


@dataclass(slots=True, eq=False)
class ModelBatches:
    """One model: its queue, the batches that are under way, how it runs and who watches. Not thread-safe."""

    name: str
    queue: Queue
    run: Run
    observer: Observer
    workers: int
    max_batch_rows: float = math.inf
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
        under_way = sum(map(_size, (*self.waiting, *self.running))) if self.max_batch_rows < math.inf else 0
        if under_way >= self.max_batch_rows * self.workers:
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

    def put_back(self, batch: Batch, *, workers_busy: bool) -> None:
        """After a pass: what is left of it waits for the next, or joins the batch where it costs least.

        Rows are cheaper in one pass, but two workers are faster than one. So they join where the worker is `pressed`,
        having other work to do; who runs that batch at the time takes them in before its next pass.
        """
        self.running.remove(batch)
        batch.rows = [row for row in batch.rows if not row.answered]
        if not batch.rows:
            return
        hosts = (each for each in (*self.waiting, *self.running) if workers_busy and each.size >= batch.size)
        host = min(hosts, key=lambda each: each.join_cost(batch), default=None)
        if host is None or host.join_cost(batch) == math.inf:
            self.waiting.append(batch)
        else:
            host.add_joining(batch)

    def clear(self) -> list[Row]:
        """Remove and return every row that waits."""
        left = self.queue.clear()
        while self.waiting:
            left += self.waiting.pop().rows
        return left
