"""A job: the rows of one request, and the count of those that still have no answer; the passes that answer them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.errors import ServiceError


@dataclass(slots=True, eq=False)
class Row:
    """What a model reads in one row of a batch, its length, and where its answer goes."""

    job: Job
    inputs: Any
    tokens: int
    arrived_s: float = 0.0
    due_s: float = 0.0
    """When it should run; see Queue."""
    number: int = 0
    """Its place in the order of arrival at its queue."""
    queued: bool = False
    watched: bool = False
    """Whether somebody wants to see it written."""
    share_s: float = 0.0
    """What the queue counts it for in its backlog."""
    result: Any = None
    answered: bool = False


class Job:
    """Rows that belong to one request; done when each has its answer."""

    __slots__ = ("backlog_s", "cancelled", "error", "pending", "rows", "waiter")

    def __init__(self, inputs: Sequence[tuple[Any, int]], waiter: Any = None) -> None:
        """`inputs` are (what the model reads, its length in tokens); `waiter` is the caller's own."""
        self.rows = [Row(self, item, tokens) for item, tokens in inputs]
        self.pending = len(self.rows)
        self.error: ServiceError | None = None
        self.waiter = waiter
        self.backlog_s = 0.0
        self.cancelled = False

    def results(self) -> list[Any]:
        """The rows' results in the order given; raises the job's error if a row failed."""
        if self.error is not None:
            raise self.error
        return [row.result for row in self.rows]

    def release(self) -> None:
        """Its results were read. Rows and job, and whoever waits, would else keep each other until a collection."""
        self.rows = []
        self.waiter = None

    def cancel(self) -> None:
        """Nobody waits any more: its rows leave before their next pass, and count as answered."""
        self.cancelled = True


@dataclass(slots=True)
class Pass:
    """What one forward pass did: the rows it finished with their results, and its size."""

    finished: list[tuple[Row, Any]]
    rows: int
    tokens: int
    padded_tokens: int
    written: list[tuple[Row, list[int]]] = field(default_factory=list)
    """Of watched rows that go on, the token ids that stand by now."""
    saved: int = 0
    """Passes of a row that were not made, because nobody waits for it."""


Passes = Iterator[Pass]
"""A batch as the scheduler sees it: each `next()` runs one forward pass."""


class Running(Passes, ABC):
    """A batch of many passes, which others may join between two of them."""

    @property
    @abstractmethod
    def size(self) -> int:
        """What its line's `most` limits."""

    @abstractmethod
    def strain(self, other: Running) -> float:
        """What `other` would cost it, beside what it would cost another batch; infinite where it may not join now."""

    @abstractmethod
    def absorb(self, other: Running) -> None:
        """Take over all that `other` has."""


WarmUps = Sequence[Callable[[], None]]
"""Passes that measure what passes cost."""
