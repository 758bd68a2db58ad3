"""A job: the rows that one input needs in one round, and their outputs as passes produce them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from service.errors import ServiceError


class ModelInput(NamedTuple):
    """What a model reads in one row of a batch."""

    inputs: object
    tokens: int
    streams: bool = False
    """Whether a client that streams is sent this row's output while it is being made."""


class Job:
    """Rows of one input that are submitted together; done when each has an output.

    Rows point to their job and not the other way round, so that no reference cycle keeps either.
    """

    __slots__ = ("backlog_s", "cancelled", "error", "outputs", "pending", "queued")

    def __init__(self, rows: int, *, backlog_s: float = 0.0) -> None:
        """A job of so many rows; `backlog_s` of work waited for each worker when it was submitted."""
        self.outputs: list[object] = [None] * rows
        """By row; None where it was cancelled before its pass."""
        self.pending = rows
        """Rows without an output."""
        self.queued = 0
        """Rows that wait for their first pass."""
        self.error: ServiceError | None = None
        self.backlog_s = backlog_s
        self.cancelled = False

    def results(self) -> list[object]:
        """The rows' outputs in the order given; raises the job's error if a row failed."""
        if self.error is not None:
            raise self.error
        return self.outputs

    def cancel(self) -> None:
        """Mark the job as no longer wanted: its rows leave before their next pass."""
        self.cancelled = True


@dataclass(slots=True, eq=False)
class Row:
    """One row on its way through a queue and a batch."""

    job: Job
    index: int
    """Which of the job's outputs is this row's."""
    inputs: object
    tokens: int
    streaming: bool = False
    """Whether a client is sent its output while it is being made."""
    arrived_s: float = 0.0
    due_s: float = 0.0
    """When it should run; see Queue."""
    number: int = 0
    """Its place in the order of arrival at its queue."""
    queued: bool = False
    amortized_s: float = 0.0
    """Seconds that it adds to its queue's backlog."""
    answered: bool = False


def rows_of(job: Job, inputs: Sequence[ModelInput], *, streaming: bool = False) -> list[Row]:
    """The rows of a new job, one for each of `inputs`."""
    return [Row(job, index, each.inputs, each.tokens, streaming and each.streams) for index, each in enumerate(inputs)]


@dataclass(slots=True)
class Pass:
    """What one forward pass did: the rows it finished with their outputs, and its size."""

    finished: list[tuple[Row, object]]
    rows: int
    tokens: int
    padded_tokens: int
    partial_outputs: list[tuple[Row, list[int]]] = field(default_factory=list)
    """Of streaming rows that go on, the token ids that no later pass changes."""
    saved: int = 0
    """Passes of cancelled rows that were not made."""


Passes = Iterator[Pass]
"""A batch as the scheduler sees it: each `next()` runs one forward pass."""


class RunningPasses(Passes, ABC):
    """A batch of many passes, which others may join between two of them."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Rows of a pass, as `Model.max_batch_rows` limits them."""

    @abstractmethod
    def join_cost(self, other: RunningPasses) -> float:
        """Cost of merging `other` into this, for comparing hosts; inf where it may not join now."""

    @abstractmethod
    def merge(self, other: RunningPasses) -> None:
        """Take over all rows of `other`."""


WarmUps = Sequence[Callable[[], None]]
"""Passes that measure what passes cost."""
