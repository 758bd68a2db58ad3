"""Inputs of several rounds: each goes on alone, and what was accepted is not refused for load later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from service.engine.engine import Inference
from service.engine.loaded_model import LoadedModel
from service.engine.registry import Registry
from service.errors import DeadlineExceeded, Overloaded, Unavailable
from service.tasks.base import Rounds
from service.tasks.classification import Classification, ClassificationResult
from service.tasks.parameters import ClassifyParameters, TextPair
from tests.service.engine.doubles import (
    Figures,
    Gate,
    ScriptedClassification,
    ScriptedSummarization,
    at_rest,
    classify,
    gated,
    held,
    labels,
    nothing_is_left,
    resumed,
    run,
    running,
    serve,
    settle,
    skip,
    soon,
    summarize,
    summary,
)

TEXT = "paris is the capital. the bad is weak. " * 12
"""Summarized in several pieces, and then their summaries."""
WORDS = ["good", "bad", "weak", "slow", "paris", "rival", "void", "the", "is", "in", "strong", "capital"]
DEADLINE_S = 3600.0


@asynccontextmanager
async def between_rounds(registry: Registry) -> AsyncIterator[tuple[asyncio.Task[Inference], Gate]]:
    """A long summary whose first round is over and whose second does not begin until the gate is opened."""
    gate = Gate()
    task = ScriptedSummarization(registry.models["writer"], between_rounds=lambda _: gate.hold())
    serve(registry, "paused", task, beside="writer")
    # Long for the engine, so that it advances off the event loop; more space says nothing more.
    request = summarize(registry, TEXT + " " * 10_000, model="paused")
    await gate.wait_reached()
    try:
        yield request, gate
    finally:
        gate.open()


class TwoRounds(Classification):
    """A classification whose "slow" texts take a second round, of a row that is 22 tokens long."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__(loaded.artifact, batch_tokens=2048, intra_op_threads=1)

    def run(self, item: str | TextPair, parameters: ClassifyParameters) -> Rounds[ClassificationResult]:
        rounds = super().run(item, parameters)
        outputs = yield next(rounds)
        if item == "slow":
            rounds = super().run("good " * 20, parameters)
            outputs = yield next(rounds)
        return (yield from resumed(rounds, outputs))


def test_an_input_is_not_delayed_by_a_neighbour_that_takes_another_round(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            serve(registry, "two rounds", TwoRounds(registry.models["moods"]))
            with gated(registry, "moods", before=lambda rows: any(row.tokens == 22 for row in rows)) as gate:
                async with held(registry):
                    both, fast = classify(registry, "slow", "good", model="two rounds"), classify(registry, "good")
                    await settle()
                await gate.wait_reached()
                assert labels(await fast) == ["positive"]
                assert not both.done()
            assert labels(await both) == ["positive", "positive"]

    run(story)


def test_an_input_is_not_delayed_by_a_neighbour_whose_result_takes_long_to_read(zoo: Path) -> None:
    async def story() -> None:
        slow, gate = "x" * 5000, Gate()

        def hold(text: str) -> None:
            if text == slow:
                gate.hold()

        async with running(zoo) as registry:
            serve(registry, "slow to finish", ScriptedClassification(registry.models["moods"], finishing=hold))
            figures = Figures()
            try:
                async with held(registry):
                    both = classify(registry, slow, "good", model="slow to finish")
                    await soon(lambda: registry._scheduler.depths()["moods"] == 2)
                    await settle()
                    fast = classify(registry, "good")
                    await settle()
                assert figures.shared == 1
                assert labels(await fast) == ["positive"]
                await gate.wait_reached()
                assert not both.done()
            finally:
                gate.open()
            assert len((await both).results) == 2

    run(story)


def test_a_second_round_is_not_refused_when_the_queue_is_full(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, max_queue_size=12) as registry:
            alone = await summarize(registry, TEXT)
            async with between_rounds(registry) as (request, gate), held(registry):
                filling = summarize(registry, *WORDS)
                await settle()
                with pytest.raises(Overloaded):
                    await summarize(registry, "one more")
                gate.open()
                await soon(lambda: registry._scheduler.depths()["writer"] == 13)
            assert (await request).results == alone.results
            assert len((await filling).results) == 12
        assert summary(alone).pieces > 1

    run(story)


def test_the_deadline_is_kept_between_rounds(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, request_timeout_s=DEADLINE_S) as registry:
            async with between_rounds(registry) as (request, _):
                skip(DEADLINE_S)
                with pytest.raises(DeadlineExceeded, match=r"^Not answered within 3600 s: the model was still at work"):
                    await request
            await nothing_is_left(registry)
            assert (await summarize(registry, "good")).results

    run(story)


def test_the_deadline_is_kept_in_a_second_round(zoo: Path) -> None:
    async def story() -> None:
        async with (
            running(zoo, request_timeout_s=DEADLINE_S) as registry,
            between_rounds(registry) as (request, gate),
            held(registry),
        ):
            gate.open()
            await soon(lambda: registry._scheduler.depths()["writer"] == 1)
            await settle()
            skip(DEADLINE_S)
            with pytest.raises(DeadlineExceeded, match="it was still waiting behind other work"):
                await request

    run(story)


def test_close_between_rounds_is_told(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry, between_rounds(registry) as (request, gate):
            await asyncio.to_thread(registry.close)
            gate.open()
            with pytest.raises(Unavailable):
                await request

    run(story)


def test_who_leaves_between_rounds_leaves_nothing_behind(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            async with between_rounds(registry) as (request, gate):
                request.cancel()
                await asyncio.wait([request])
                assert request.cancelled()
                await at_rest(registry)
                figures = Figures("writer")
                gate.open()
                await nothing_is_left(registry)
            assert figures.rows == 0, "its second round is not run"
            assert (await summarize(registry, "good")).results

    run(story)
