"""A request: its inputs on their way to rows of a model, and from the rows' results to answers."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from service.answers import Answer, Computation
from service.artifact import Artifact
from service.errors import ServiceError, Unavailable
from service.job import Job, Row
from service.metrics import PassMetrics


@dataclass(frozen=True, slots=True)
class Served:
    """A loaded model."""

    artifact: Artifact
    task: Any
    metrics: PassMetrics


class Request:
    """The inputs of one request that nobody has asked before, each once."""

    def __init__(self, served: Served, parameters: Any, *, long: bool) -> None:
        self.served = served
        self.long = long
        """Whether it is too much to be worked at on the event loop."""
        self.computations: dict[Hashable, Computation] = {}
        self.job: Job | None = None
        self._parameters = parameters
        self._inputs: list[Any] = []
        self._prepared: list[tuple[Any, int]] = []
        self._abandoned = 0

    def add(self, key: Hashable, item: Any) -> Computation:
        """An input to work out."""
        self._inputs.append(item)
        computation = self.computations[key] = Computation(key, self._abandon)
        return computation

    def _abandon(self) -> None:
        """Nobody waits for one of its inputs; when that is so for all, its rows leave the queue."""
        self._abandoned += 1
        if self._abandoned == len(self.computations) and self.job is not None:
            self.job.cancel()

    def rows(self) -> list[tuple[Any, int]]:
        """Tokenize: what the model reads, a row each, and its length. Raises InvalidInput."""
        rows: list[tuple[Any, int]] = []
        for item in self._inputs:
            context, own = self.served.task.prepare(item, self._parameters)
            self._prepared.append((context, len(own)))
            rows += own
        return rows

    def outcomes(self) -> list[Answer | BaseException]:
        """An answer or an error for each input; the failure of one is none of the others'."""
        assert self.job is not None
        found: list[Answer | BaseException] = []
        first = 0
        for context, count in self._prepared:
            rows = self.job.rows[first : first + count]
            first += count
            try:
                found.append(self._answer(context, rows))
            except Exception as error:  # noqa: BLE001  # told to whoever waits for this input
                found.append(error)
        return found

    def _answer(self, context: Any, rows: list[Row]) -> Answer:
        results = [row.result for row in rows]
        if error := next((result for result in results if isinstance(result, ServiceError)), None):
            raise error
        if any(result is None for result in results):
            assert self.job is not None
            raise self.job.error or Unavailable("This was given up, because nobody waited for it any more.")
        result = self.served.task.finish(context, results, self._parameters)
        read, written = self.served.task.usage(context, results)
        if written:
            self.served.metrics.generated.inc(written)
        if result["truncated"]:
            self.served.metrics.truncated.inc()
        return Answer(result, read, written)
