"""Every request is answered within its deadline, whatever the workers do then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from service.engine.engine import Inference
from service.errors import DeadlineExceeded, InputTooLong
from tests.service.engine.doubles import (
    HELD,
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
    skip,
)

DEADLINE_S = 3600.0
"""Never over by itself: a test puts the clock forward."""


async def expired(request: asyncio.Task[Inference]) -> str:
    """What a request says whose deadline passes now."""
    assert not request.done()
    skip(DEADLINE_S)
    with pytest.raises(DeadlineExceeded) as raised:
        await request
    return str(raised.value)


def test_it_is_kept_while_every_worker_is_busy_and_the_late_rows_cost_no_pass(zoo: Path) -> None:
    async def story() -> None:
        figures = Figures()
        async with running(zoo, request_timeout_s=DEADLINE_S) as registry, held(registry):
            request = classify(registry, "good", "bad")
            await settle()
            assert await expired(request) == "Not answered within 3600 s: it was still waiting behind other work."
        assert figures.rows == 1, "of what was held"

    run(story)


def test_it_is_kept_in_the_midst_of_a_pass(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, request_timeout_s=DEADLINE_S) as registry, held(registry):
            shared = classify(registry, HELD)
            await settle()
            assert await expired(shared) == "Not answered within 3600 s: the model was still at work on it."

    run(story)


def test_it_is_kept_while_a_text_is_tokenized(zoo: Path) -> None:
    async def story() -> None:
        gate = Gate()
        async with running(zoo, request_timeout_s=DEADLINE_S) as registry:
            task = ScriptedClassification(registry.models["moods"], tokenizing=lambda _: gate.hold())
            serve(registry, "held in tokenizing", task)
            try:
                request = classify(registry, LONG, model="held in tokenizing")
                await gate.wait_reached()
                sentence = "Not answered within 3600 s: its inputs were still being tokenized."
                assert await expired(request) == sentence
            finally:
                gate.open()

    run(story)


def test_it_counts_from_the_arrival(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, request_timeout_s=DEADLINE_S) as registry, held(registry):
            late_s = asyncio.get_running_loop().time() - DEADLINE_S
            with pytest.raises(DeadlineExceeded):
                await registry.infer("classify", ["good"], PLAIN, None, arrived_s=late_s)

    run(story)


def test_who_came_later_to_the_same_computation_has_a_deadline_of_its_own(zoo: Path) -> None:
    async def story() -> None:
        figures = Figures()
        async with running(zoo, request_timeout_s=DEADLINE_S) as registry:
            async with held(registry):
                first = classify(registry, "good")
                await settle()
                skip(DEADLINE_S / 2)
                second = classify(registry, "good")
                await settle()
                skip(DEADLINE_S / 2)
                with pytest.raises(DeadlineExceeded):
                    await first
            assert labels(await second) == ["positive"]
        assert (figures.rows, figures.shared) == (2, 1), "one of both, beside what was held"

    run(story)


def test_an_identical_request_is_answered_when_the_first_expired_in_tokenizing(zoo: Path) -> None:
    async def story() -> None:
        gate = Gate()
        async with running(zoo, request_timeout_s=DEADLINE_S) as registry:
            task = ScriptedClassification(registry.models["moods"], tokenizing=lambda _: gate.hold())
            serve(registry, "held in tokenizing", task)
            first = classify(registry, LONG, model="held in tokenizing")
            await gate.wait_reached()
            await expired(first)
            second = classify(registry, LONG)
            gate.open()
            assert len((await second).results) == 1

    run(story)


async def read(events: AsyncGenerator[str | Inference]) -> list[str | Inference]:
    return [event async for event in events]


def test_that_of_a_stream_is_that_of_the_whole_answer(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, request_timeout_s=DEADLINE_S) as registry:
            with gated(registry, "writer", after_partial_outputs=True):
                events = registry.stream("summarize", ["paris is good"], SUMMARIZE, None)
                await anext(events)
                rest = asyncio.create_task(read(events))
                await settle()
                skip(DEADLINE_S)
                with pytest.raises(DeadlineExceeded, match="the model was still at work on it"):
                    await rest

    run(story)


def test_of_a_stream_before_its_first_piece(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, request_timeout_s=DEADLINE_S) as registry, held(registry):
            events = asyncio.create_task(read(registry.stream("summarize", ["good"], SUMMARIZE, None)))
            await settle()
            skip(DEADLINE_S)
            with pytest.raises(DeadlineExceeded, match="waiting behind other work"):
                await events

    run(story)


def test_what_is_too_long_alone_is_refused_at_once_with_the_limit(zoo: Path) -> None:
    async def story() -> None:
        figures = Figures()
        async with running(zoo, request_timeout_s=1e-9) as registry:
            sentence = r"^This request is about \S+ s of work and may be 7e-10 s, enough for about \d of its 4 "
            with pytest.raises(InputTooLong, match=sentence):
                await classify(registry, "good")
        assert figures.rows == 0

    run(story)


@pytest.mark.parametrize(("share", "accepted"), [(0.69, True), (0.71, False)])
def test_work_may_be_a_share_of_the_deadline_as_estimates_may_be_wrong(
    zoo: Path, monkeypatch: pytest.MonkeyPatch, share: float, accepted: bool
) -> None:
    async def story() -> None:
        async with running(zoo, request_timeout_s=DEADLINE_S) as registry:
            monkeypatch.setattr(registry._scheduler, "estimated_s", lambda *_: share * DEADLINE_S)
            if accepted:
                assert labels(await classify(registry, "good")) == ["positive"]
            else:
                with pytest.raises(InputTooLong, match="may be"):
                    await classify(registry, "good")

    run(story)


def test_a_lone_row_is_not_shared_by_the_threads(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, workers=4) as registry:
            scheduler = registry._scheduler
            (row,) = next(registry.models["moods"].task.run("good", PLAIN))
            one, four = (scheduler.estimated_s("moods", [row] * count) for count in (1, 4))
            assert one == pytest.approx(four, rel=0.5)

    run(story)
