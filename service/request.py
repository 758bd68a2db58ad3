"""A request: its inputs on their way to rows of a model, and from the rows' results to answers."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from service.answers import Answer, Computation
from service.artifact import Artifact
from service.config import Settings
from service.errors import InputTooLong, InvalidInput, ServiceError, Unavailable
from service.job import Job, Row
from service.metrics import PassMetrics
from service.tasks.rounds import Rounds, Rows

# Making an answer of a row's results takes 0.5 to 20 microseconds a token, by how many spans of it are compared. A
# request with more tokens than this is worked at in a thread.
_TOKENS_ON_LOOP = 1000

Outcome = tuple[Computation, Answer | BaseException]
_NOBODY_WAITED = "This was given up, because nobody waited for it any more."


@dataclass(frozen=True, slots=True)
class Served:
    """A loaded model."""

    artifact: Artifact
    task: Any
    metrics: PassMetrics


@dataclass(slots=True)
class _Work:
    """An input between two rounds: who waits for it, its task, and how many rows it has in this one."""

    computation: Computation
    rounds: Rounds
    rows: int = 0


def check_count(count: int, max_inputs: int) -> None:
    """Raises InvalidInput for too many inputs."""
    if count > max_inputs:
        raise InvalidInput(f"{count} inputs in one request; the limit is {max_inputs}. Send several requests.")


def checked_size(inputs: Sequence[Any], settings: Settings) -> tuple[int, int]:
    """Characters and bytes of UTF-8 in all.

    Raises InvalidInput for too many inputs, InputTooLong for a text over the limit.
    """
    check_count(len(inputs), settings.max_inputs)
    chars = size_bytes = 0
    for item in inputs:
        for text in (item,) if isinstance(item, str) else (item.question, item.context):
            chars += len(text)
            size_bytes += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
            if len(text) > settings.max_input_chars:
                raise InputTooLong(
                    f"A text of {len(text)} characters; the limit is {settings.max_input_chars}. Send it in parts."
                )
    return chars, size_bytes


class Request:
    """The inputs of one request that nobody has asked before, each once."""

    def __init__(self, served: Served, parameters: Any, *, long: bool) -> None:
        self.served = served
        self.long = long
        """Whether it is too much to be worked at on the event loop."""
        self.computations: dict[Hashable, Computation] = {}
        self.job: Job | None = None
        self.gone = False
        """Whether nobody waits for any of its inputs."""
        self._parameters = parameters
        self._work: list[_Work] = []

    def add(self, key: Hashable, item: Any) -> Computation:
        """An input to work out."""
        computation = self.computations[key] = Computation(key, self._abandon, self._mark_watched, self._stage)
        self._work.append(_Work(computation, self.served.task.run(item, self._parameters)))
        return computation

    def _abandon(self) -> None:
        """Nobody waits for one of its inputs; when that is so for all that are left, its rows leave the queue."""
        self.gone = not any(work.computation.waiting for work in self._work)
        if self.gone and self.job is not None:
            self.job.cancel()

    def _stage(self) -> str:
        """What it waits for, as a clause."""
        if self.job is None:
            return "its inputs were still being tokenized"
        if self.job.rows and all(row.queued for row in self.job.rows):  # else it waits for rows of its own
            return "it was still waiting behind other work"
        return "the model was still at work on it"

    def rows(self) -> Rows:
        """Tokenize: what the model reads in the first round. Raises InvalidInput."""
        rows: Rows = []
        for work in self._work:
            own = next(work.rounds)
            work.rows = len(own)
            rows += own
        self._weigh(rows)
        return rows

    def _weigh(self, rows: Rows) -> None:
        self.long = self.long or sum(tokens for _, tokens in rows) > _TOKENS_ON_LOOP

    def begin(self, job: Job) -> None:
        """`job` has the rows of this round."""
        self.job = job
        if any(work.computation.watched for work in self._work):
            self._mark_watched()

    def _mark_watched(self) -> None:
        """Let the model tell what it writes for those who watch."""
        for work, rows in self._own_rows():
            for row in rows:
                row.watched = work.computation.watched and getattr(row.inputs, "final", False)

    def _own_rows(self) -> Iterator[tuple[_Work, list[Row]]]:
        first = 0
        for work in self._work:
            yield work, self.job.rows[first : first + work.rows] if self.job is not None else []
            first += work.rows

    def computation(self, row: Row) -> Computation:
        """Whose row of the present round it is."""
        return next(work.computation for work, rows in self._own_rows() if row in rows)

    def advance(self) -> tuple[list[Outcome], Rows]:
        """After a round: an answer or an error for the inputs that are through, and the rows of the others' next.

        The failure of one input is none of the others'.
        """
        outcomes: list[Outcome] = []
        further: list[_Work] = []
        rows: Rows = []
        for work, own in self._own_rows():
            try:
                more = work.rounds.send(self._results(own))
            except StopIteration as end:
                outcomes.append((work.computation, self._counted(end.value)))
            except ServiceError as error:
                # Without its traceback, whose frames keep it: nobody reads that.
                outcomes.append((work.computation, error.with_traceback(None)))
            except Exception as error:  # noqa: BLE001  # told to whoever waits for this input
                outcomes.append((work.computation, error))
            else:
                work.rows = len(more)
                rows += more
                further.append(work)
        self._work = further
        if self.job is not None:
            self.job.release()
        self._weigh(rows)
        return outcomes, rows

    def fail(self, error: BaseException) -> list[Outcome]:
        """The inputs that are not through yet, none of which will be."""
        left, self._work = self._work, []
        return [(work.computation, error) for work in left]

    def _results(self, rows: list[Row]) -> list[Any]:
        """Raises the error of the first row that has one, or that was given up."""
        assert self.job is not None
        results = [row.result for row in rows]
        if error := next((result for result in results if isinstance(result, ServiceError)), None):
            raise error
        if any(result is None for result in results):
            raise self.job.error or Unavailable(_NOBODY_WAITED)
        return results

    def _counted(self, answer: Answer) -> Answer:
        if answer.output_tokens:
            self.served.metrics.generated.inc(answer.output_tokens)
        if answer.result["truncated"]:
            self.served.metrics.truncated.inc()
        return answer
