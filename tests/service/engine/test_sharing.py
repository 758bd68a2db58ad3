"""Identical inputs that are asked for at the same time are computed once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from service.engine.engine import Inference
from service.engine.registry import Registry
from service.errors import InferenceError, InvalidInput, Overloaded
from service.tasks.classification import ClassificationResult
from service.tasks.parameters import ClassifyParameters
from tests.service.engine.doubles import (
    LONG,
    PLAIN,
    SUMMARIZE,
    Figures,
    Gate,
    ScriptedClassification,
    classify,
    gated,
    held,
    labels,
    run,
    running,
    serve,
    settle,
    soon,
)


def test_identical_inputs_at_the_same_time_are_one_row(zoo: Path) -> None:
    async def story() -> None:
        figures = Figures()
        async with running(zoo) as registry:
            async with held(registry):
                requests = [classify(registry, "good") for _ in range(5)]
                await settle()
            answers = [await request for request in requests]
            assert all(answer == answers[0] for answer in answers)
            assert (labels(answers[0]), answers[0].input_tokens) == (["positive"], 3)
            assert await classify(registry, "good") == answers[0]
        assert (figures.rows, figures.shared) == (1 + 1 + 1, 4), "the held one, this, and again: nothing is kept"

    run(story)


def test_identical_inputs_of_one_request_are_one_row(zoo: Path) -> None:
    async def story() -> None:
        figures = Figures()
        async with running(zoo) as registry:
            answer = await classify(registry, "good", "bad", "good", "good")
        assert labels(answer) == ["positive", "negative", "positive", "positive"]
        assert answer.input_tokens == 4 * 3
        assert (figures.rows, figures.shared) == (2, 2)

    run(story)


def test_lists_share_what_they_have_in_common(zoo: Path) -> None:
    async def story() -> None:
        figures = Figures()
        async with running(zoo) as registry:
            async with held(registry):
                one, other = classify(registry, "good", "bad"), classify(registry, "bad", "the")
                await settle()
            assert [labels(await one), labels(await other)] == [["positive", "negative"], ["negative", "negative"]]
        assert figures.rows == 1 + 3

    run(story)


def test_other_parameters_and_other_models_do_not_share(zoo: Path) -> None:
    async def story() -> None:
        moods, topics = Figures(), Figures("topics")
        async with running(zoo) as registry:
            async with held(registry):
                requests = [
                    asyncio.create_task(registry.infer("classify", ["good"], parameters, model))
                    for parameters, model in ((PLAIN, None), (ClassifyParameters(top_k=1), None), (PLAIN, "topics"))
                ]
                await settle()
            results = [(await request).results[0] for request in requests]
        scores = [(each.score, len(each.scores)) for each in results if isinstance(each, ClassificationResult)]
        assert [count for _, count in scores] == [2, 1, 2]
        assert scores[0][0] != scores[2][0]
        assert (moods.rows, topics.rows) == (1 + 2, 1)

    run(story)


def test_an_identical_stream_joins_midway_and_gets_the_whole_text(zoo: Path) -> None:
    async def collect(registry: Registry) -> list[str | Inference]:
        return [event async for event in registry.stream("summarize", ["paris is good"], SUMMARIZE, None)]

    async def story() -> None:
        figures = Figures("writer")
        async with running(zoo) as registry:
            with gated(registry, "writer", after_partial_outputs=True) as gate:
                first = registry.stream("summarize", ["paris is good"], SUMMARIZE, None)
                events: list[str | Inference] = [await anext(first)]
                joined = asyncio.create_task(collect(registry))
                await settle()
                assert figures.shared == 1
                gate.open()
                events += [event async for event in first]
                for each in (events, await joined):
                    assert "".join(event for event in each if isinstance(event, str)) == "paris is good"
                assert events[-1] == (await joined)[-1]
                assert isinstance(events[-1], Inference)

    run(story)


@pytest.mark.parametrize("who", [0, 1])
def test_one_who_leaves_does_not_harm_those_who_share(zoo: Path, who: int) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            async with held(registry):
                requests = [classify(registry, "good") for _ in range(3)]
                await settle()
                requests.pop(who).cancel()
                await settle()
            for request in requests:
                assert labels(await request) == ["positive"]

    run(story)


def test_a_stream_that_leaves_does_not_harm_one_that_joined_it(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            with gated(registry, "writer", after_partial_outputs=True) as gate:
                first, second = (registry.stream("summarize", ["paris is good"], SUMMARIZE, None) for _ in range(2))
                joined = asyncio.ensure_future(anext(second))
                await settle()
                await anext(first)
                await first.aclose()
                gate.open()
                text = [await joined] + [event async for event in second]
                assert "".join(event for event in text if isinstance(event, str)) == "paris is good"

    run(story)


def test_when_all_have_left_the_row_leaves_too_and_a_newcomer_starts_anew(zoo: Path) -> None:
    async def story() -> None:
        figures = Figures()
        async with running(zoo) as registry:
            async with held(registry):
                leaving = [classify(registry, "good"), classify(registry, "good")]
                await settle()
                for request in leaving:
                    request.cancel()
                await asyncio.wait(leaving)
                newcomer = classify(registry, "good")
                await settle()
            assert labels(await newcomer) == ["positive"]
        assert figures.rows == 1 + 1, "the held one's and the newcomer's"
        assert figures.shared == 1

    run(story)


def test_an_error_is_told_to_all_who_share_and_not_kept(zoo: Path) -> None:
    async def story() -> None:
        figures = Figures()
        async with running(zoo, cache_bytes=100_000) as registry:
            async with held(registry):
                requests = [classify(registry, "poison") for _ in range(3)]
                await settle()
            answers = await asyncio.gather(*requests, return_exceptions=True)
            assert [type(answer) for answer in answers] == [InferenceError] * 3
            with pytest.raises(InferenceError):
                await classify(registry, "poison")
        assert figures.failed == 2, "it was tried again"

    run(story)


def test_a_failing_neighbour_in_anothers_list_does_not_harm_those_who_share_the_rest(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            async with held(registry):
                both, mine = classify(registry, "good", "poison"), classify(registry, "good")
                await settle()
            with pytest.raises(InferenceError):
                await both
            assert labels(await mine) == ["positive"]

    run(story)


# --- Off the event loop: others may join when the rows are submitted -------------------------------------------------


@asynccontextmanager
async def tokenizing(registry: Registry, *inputs: str) -> AsyncIterator[tuple[asyncio.Task[Inference], Gate]]:
    """A long request that is being tokenized until its gate is opened."""
    gate = Gate()

    def hold(text: str) -> None:
        gate.hold()
        if text == "refused":
            raise InvalidInput("The text is refused.")

    serve(registry, "held in tokenizing", ScriptedClassification(registry.models["moods"], tokenizing=hold))
    request = classify(registry, *inputs, model="held in tokenizing")
    await gate.wait_reached()
    try:
        yield request, gate
    finally:
        gate.open()


def test_long_inputs_are_shared_once_they_wait_for_a_pass(zoo: Path) -> None:
    async def story() -> None:
        figures = Figures()
        async with running(zoo) as registry:
            async with held(registry), tokenizing(registry, LONG) as (first, gate):
                gate.open()
                await soon(lambda: registry._scheduler.depths()["moods"] == 1)
                await settle()
                second = classify(registry, LONG)
                await settle()
            assert await first == await second
        assert (figures.rows, figures.shared) == (1 + 1, 1)

    run(story)


@pytest.mark.parametrize("end", ["refused", "leaves"])
def test_what_becomes_of_a_request_in_tokenizing_does_not_harm_an_identical_one(zoo: Path, end: str) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            async with tokenizing(registry, LONG, "refused" if end == "refused" else "good") as (first, gate):
                second = classify(registry, LONG)
                await settle()
                if end == "leaves":
                    first.cancel()
                gate.open()
                assert len((await second).results) == 1
                await asyncio.wait([first])
            assert len((await classify(registry, LONG)).results) == 1

    run(story)


def test_an_identical_request_is_not_refused_because_the_first_was_when_there_is_room_again(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, max_queue_size=1) as registry:
            async with held(registry), tokenizing(registry, LONG) as (first, gate):
                full = classify(registry, "good")
                await settle()
                gate.open()
                with pytest.raises(Overloaded):
                    await first
            assert labels(await full) == ["positive"]
            assert len((await classify(registry, LONG)).results) == 1

    run(story)
