"""Ours without what it is compared for: a batch is encoded and written to its end before its worker takes another."""

from __future__ import annotations

from service.generation.decoding import ROWS_A_STEP, Decoder
from service.job import Pass, Passes, Row, Running
from service.queue import Queue, Urgency
from service.registry import Registry


class OldestFirst(Queue):
    """Gives out as many of the oldest rows as share a step."""

    def take(self) -> list[Row]:
        rows = self.clear()
        size = max(1, ROWS_A_STEP // rows[0].inputs.options.num_beams)
        self.put(rows[size:], over=True)
        for row in rows[:size]:
            row.queued = False
        return rows[:size]


class ToTheEnd(Running):
    """Rows that are encoded in as many passes as is cheapest and then written side by side; nobody joins them.

    Who has ended leaves the steps, and is answered with all others: a batch is one call.
    """

    def __init__(self, parts: list[Running]) -> None:
        self._new = parts
        self._encoded: list[Running] = []
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
            first.absorb(other)
        self._encoded = [first]
        done = next(first)
        self._finished += done.finished
        done.finished = [] if first.size else self._finished
        return done

    def strain(self, other: Running) -> float:
        del other
        return float("inf")

    def absorb(self, other: Running) -> None:
        raise NotImplementedError


def write_to_the_end(registry: Registry, name: str) -> None:
    """Let this model of a registry that is not started yet decode a batch at a time; the service has no such switch."""
    line = registry._scheduler._lines[name]
    decoder = registry.models[name].task.model
    assert isinstance(decoder, Decoder)
    waiting = line.queue

    def run(rows: list[Row], *, alone: bool) -> Passes:
        cuts = Queue(limit=len(rows), cost=decoder.cost, urgency=Urgency())
        cuts.put(rows)
        parts = []
        while len(cuts):
            part = decoder.run(cuts.take(), alone=alone)
            assert isinstance(part, Running)
            parts.append(part)
        return ToTheEnd(parts)

    line.queue = OldestFirst(limit=waiting.limit, cost=waiting.cost, urgency=Urgency(), rest_s=decoder.rest_s)
    line.run = run
