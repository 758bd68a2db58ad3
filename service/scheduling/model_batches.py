"""One model in the scheduler: its queue, its batches that wait or run, and which of them merge."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

from service.scheduling.job import Passes, Row, RunningPasses
from service.scheduling.queue import Queue


class Run(Protocol):
    """How a model runs a batch."""

    def __call__(self, rows: list[Row], *, exclusive: bool) -> Passes:
        """The passes of a batch. `exclusive`: no other batch runs or waits, so it may use all cores."""


class Observer(Protocol):
    """Where a model's figures go; see metrics.PassMetrics."""

    def started(self, waits_s: list[float]) -> None:
        """A batch left the queue after its rows had waited for so many seconds."""

    def ran(self, *, rows: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """One forward pass is over."""

    def saved(self, passes: int) -> None:
        """So many passes of cancelled rows were not made."""

    def failed(self, rows: int) -> None:
        """So many rows were given up because their pass raised."""


@dataclass(slots=True, eq=False)
class Batch:
    """Rows that run together, between two passes."""

    model: ModelBatches
    rows: list[Row]
    due_s: float
    passes: Passes | None = None
    """None before the first pass."""
    is_retry: bool = False
    """Whether its row runs again, alone, because a batch that held it failed."""
    exclusive: bool = False
    """Whether it may use all cores."""
    joining: list[RunningPasses] = field(default_factory=list)
    """Batches that merge into this one before its next pass; their rows are in `rows` already."""

    @property
    def size(self) -> int:
        """Decoder rows this batch occupies, batches that are about to join included."""
        if not isinstance(self.passes, RunningPasses):
            return len(self.rows)
        # Read `joining` before `passes`: a batch merged in between is then counted twice, never missed.
        return sum(each.size for each in self.joining) + self.passes.size

    def join_cost(self, other: Batch) -> float:
        """Cost of merging `other` into this batch; inf if it must not merge (retries never do)."""
        if self.is_retry or other.is_retry or self.size + other.size > self.model.max_batch_rows:
            return math.inf
        if isinstance(self.passes, RunningPasses) and isinstance(other.passes, RunningPasses):
            return self.passes.join_cost(other.passes)
        return math.inf

    def add_joining(self, other: Batch) -> None:
        """Let `other` merge before the next pass. The worker moves its caches then, outside the scheduler's lock."""
        assert isinstance(other.passes, RunningPasses)
        self.rows += other.rows
        self.joining += [other.passes, *other.joining]

    def merge_joining(self) -> None:
        """Merge the batches that are about to join. Called by the worker that runs this batch, before a pass."""
        while self.joining:
            assert isinstance(self.passes, RunningPasses)
            self.passes.merge(self.joining[0])
            del self.joining[0]  # only now: another worker may be reading `size`


def _due_s(batch: Batch) -> float:
    return batch.due_s


def _size(batch: Batch) -> int:
    return batch.size


@dataclass(slots=True, eq=False)
class ModelBatches:
    """The queue and the batches of one model. Not thread-safe: the scheduler calls it under its lock."""

    name: str
    queue: Queue
    run: Run
    observer: Observer
    workers: int
    max_batch_rows: float = math.inf
    """Rows of a batch of many passes. There are as many such batches as workers; other rows wait in the queue."""
    waiting: list[Batch] = field(default_factory=list)
    """Between two passes, on no worker."""
    running: list[Batch] = field(default_factory=list)
    """On a worker."""

    def due_s(self) -> float:
        """When the most urgent row or batch is due; inf when there is nothing to run."""
        row = self._next_row()
        times = [batch.due_s for batch in self.waiting]
        if row is not None:
            times.append(row.due_s)
        return min(times, default=math.inf)

    def _next_row(self) -> Row | None:
        """The most urgent row in the queue, if there is room for it."""
        if self.max_batch_rows < math.inf:
            occupied = sum(map(_size, (*self.waiting, *self.running)))
            if occupied >= self.max_batch_rows * self.workers:
                return None
        return self.queue.most_urgent()

    def take(self) -> Batch:
        """The batch to run next: the waiting one that is due first, or a new one from the queue."""
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
        """Take a batch back after a pass: what is left of it waits for the next one, or merges where it costs least.

        Rows are cheaper in one pass, but two workers are faster than one. So batches merge only while `workers_busy`,
        that is while the worker has other work to do. A batch that is running merges them before its next pass.
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
        rows = self.queue.clear()
        while self.waiting:
            rows += self.waiting.pop().rows
        return rows
