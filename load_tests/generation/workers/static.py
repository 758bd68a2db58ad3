"""Ours without what it is compared for: a batch is encoded and written to its end before its worker takes another."""

from __future__ import annotations

from service.engine.registry import Registry
from service.scheduling.job import Pass, Passes, Row, RunningPasses
from service.scheduling.queue import Queue, Urgency
from service.seq2seq.model import ROWS_A_STEP, GenerateInput, Seq2SeqModel


class OldestFirst(Queue):
    """Gives out as many of the oldest rows as share a step."""

    def take(self) -> list[Row]:
        rows = self.clear()
        first = rows[0].inputs
        assert isinstance(first, GenerateInput)
        size = max(1, ROWS_A_STEP // first.options.num_beams)
        self.put(rows[size:], over_limit=True)
        for row in rows[:size]:
            row.queued = False
        return rows[:size]


class ToTheEnd(RunningPasses):
    """Rows that are encoded in as many passes as is cheapest and then written side by side; nobody joins them.

    Who has ended leaves the steps, and is answered with all others: a batch is one call.
    """

    def __init__(self, parts: list[RunningPasses]) -> None:
        self._new = parts
        self._encoded: list[RunningPasses] = []
        self._finished = Pass([], 0, 0, 0).finished

    @property
    def size(self) -> int:
        """Full, whatever it holds, so that its worker takes no second batch meanwhile."""
        return ROWS_A_STEP

    def __next__(self) -> Pass:
        if self._new:
            self._encoded.append(self._new.pop(0))
            return next(self._encoded[-1])
        first, *others = self._encoded
        for other in others:
            first.merge(other)
        self._encoded = [first]
        done = next(first)
        self._finished += done.finished
        done.finished = [] if first.size else self._finished
        return done

    def join_cost(self, other: RunningPasses) -> float:
        del other
        return float("inf")

    def merge(self, other: RunningPasses) -> None:
        raise NotImplementedError


def write_to_the_end(registry: Registry, name: str) -> None:
    """Let this model of a registry that is not started yet decode a batch at a time; the service has no such switch."""
    line = registry._scheduler._models[name]
    decoder = registry.models[name].task.model
    assert isinstance(decoder, Seq2SeqModel)
    waiting = line.queue

    def run(rows: list[Row], *, exclusive: bool) -> Passes:
        cuts = Queue(limit=len(rows), cost=decoder.cost, urgency=Urgency())
        cuts.put(rows)
        parts = []
        while len(cuts):
            part = decoder.run(cuts.take(), exclusive=exclusive)
            assert isinstance(part, RunningPasses)
            parts.append(part)
        return ToTheEnd(parts)

    line.queue = OldestFirst(limit=waiting.limit, cost=waiting.cost, urgency=Urgency(), remaining_s=decoder.remaining_s)
    line.run = run
