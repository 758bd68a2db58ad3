"""Clients that ask, wait, think a little and ask again, and what they saw."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from load_tests.generation.engine import Answer, Engine
from load_tests.generation.inputs import Crowd, plan

_WARM_S = 0.5


@dataclass(frozen=True)
class Sample:
    """One system with so many clients, for a few seconds."""

    tokens_per_s: float
    p50_ms: float
    p95_ms: float
    answers: int


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below `share` of all."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def overlap(begun_s: float, ended_s: float, window: tuple[float, float]) -> float:
    """The share of a span that lies in the window."""
    inside_s = min(ended_s, window[1]) - max(begun_s, window[0])
    return max(0.0, inside_s) / (ended_s - begun_s)


def summed_up(answers: Sequence[tuple[float, Answer]], window: tuple[float, float]) -> Sample:
    """Of (when it was asked, its answer).

    A text at an edge of the window counts for the share of its writing that lies inside, so that a batch which ends
    just before or after moves nothing. Latencies are those of texts that end inside. Raises RuntimeError for none.
    """
    tokens = sum(each.tokens * overlap(each.begun_s, each.ended_s, window) for _, each in answers)
    times_ms = [1000 * (each.ended_s - asked_s) for asked_s, each in answers if window[0] <= each.ended_s < window[1]]
    if not times_ms:
        raise RuntimeError("nothing was answered in this time: give it more --seconds")
    return Sample(
        tokens / (window[1] - window[0]), percentile(times_ms, 0.5), percentile(times_ms, 0.95), len(times_ms)
    )


async def sample(engine: Engine, pool: Sequence[str], crowd: Crowd, *, seconds: float, seed: int) -> Sample:
    """Measured once every client has had an answer. Raises RuntimeError if an answer is no good."""
    answers: list[tuple[float, Answer]] = []
    served: set[int] = set()
    warm, over = asyncio.Event(), asyncio.Event()

    async def client(number: int) -> None:
        for think_s, request in plan(pool, crowd, client=number, seed=seed):
            await asyncio.sleep(think_s)
            if over.is_set():
                return
            asked_s = time.perf_counter()
            try:
                answer = await engine.ask(request)
            except asyncio.CancelledError:  # dropped: its time was over before its turn came
                return
            answers.append((asked_s, answer))
            served.add(number)
            if len(served) == crowd.clients:
                warm.set()

    running = [asyncio.create_task(client(number)) for number in range(crowd.clients)]
    await asyncio.sleep(_WARM_S)
    warmed = asyncio.create_task(warm.wait())
    await asyncio.wait([warmed, *running], return_when=asyncio.FIRST_COMPLETED)
    warmed.cancel()
    begun_s = time.perf_counter()
    await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    window = begun_s, time.perf_counter()
    over.set()
    engine.drop()
    await asyncio.gather(*running)
    return summed_up(answers, window)
