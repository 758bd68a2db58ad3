"""Requests are freed without the garbage collector: it would stop the event loop for tens of milliseconds."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import CoroutineType, FrameType, GeneratorType
from typing import Any

import pytest

from service.engine.in_flight import Wait
from service.engine.registry import Registry
from service.engine.request import RequestState
from service.errors import InvalidInput, Overloaded
from service.tasks.parameters import AnswerParameters, Question
from tests.service.engine.doubles import (
    LONG,
    PLAIN,
    SUMMARIZE,
    Gate,
    ScriptedClassification,
    ScriptedSummarization,
    classify,
    gated,
    held,
    nothing_is_left,
    run,
    running,
    serve,
    settle,
    skip,
    soon,
)

DEADLINE_S = 3600.0


@contextmanager
def collected() -> Iterator[list[str]]:
    """Of what was made inside, all of ours that the collector alone can free."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found += [f"{type(each).__qualname__}: {each!r:.200}" for each in gc.garbage if is_ours(each)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def alive() -> int:
    """Requests that are kept, by a timer or anything else."""
    return sum(isinstance(each, RequestState | Wait) for each in gc.get_objects())


def is_ours(each: object) -> bool:
    """Whether it is of a type of the service, a future, or one of the service's functions that has not ended."""
    if isinstance(each, FrameType):
        return "/service/" in each.f_code.co_filename.replace("/tests/service/", "/tests/")
    if isinstance(each, GeneratorType | CoroutineType):
        code = each.gi_code if isinstance(each, GeneratorType) else each.cr_code
        return "/service/" in code.co_filename.replace("/tests/service/", "/tests/")
    return type(each).__module__.startswith("service.") or isinstance(each, asyncio.Future)


async def outcome(request: Awaitable[object]) -> str:
    """How a request ends, by name. An error that a test kept would keep the frames that it went through."""
    try:
        return type(await request).__name__
    except Exception as error:  # noqa: BLE001  a fault too
        return type(error).__name__
    finally:
        del request


async def infer(registry: Registry, *texts: str, model: str | None = None) -> str:
    return await outcome(registry.infer("classify", texts, PLAIN, model))


async def read(registry: Registry, text: str, model: str | None = None) -> int:
    return len([event async for event in registry.stream("summarize", [text], SUMMARIZE, model)])


async def together(*requests: Coroutine[Any, Any, str]) -> list[str]:
    return await asyncio.gather(*requests)


async def answered(registry: Registry) -> None:
    assert await together(infer(registry, "good", "bad"), infer(registry, "good")) == ["Inference"] * 2
    question = Question(question="is?", context="it is paris")
    assert await outcome(registry.infer("answer", [question], AnswerParameters(), None)) == "Inference"
    assert await infer(registry, LONG) == "Inference"
    assert await outcome(registry.infer("summarize", ["paris is the capital. " * 20], SUMMARIZE, None)) == "Inference"


async def refused(registry: Registry) -> None:
    async with held(registry):
        full = asyncio.create_task(infer(registry, *"abcd"))
        await settle()
        assert await infer(registry, "good") == "Overloaded"
        assert await infer(registry, LONG) == "Overloaded"
    assert await full == "Inference"
    assert await infer(registry, *"abcde") == "InputTooLong"
    assert await infer(registry, *["a"] * 1000) == "InvalidInput"


async def failed(registry: Registry) -> None:
    assert await together(infer(registry, "poison", "good"), infer(registry, "poison")) == ["InferenceError"] * 2
    assert await infer(registry, "void") == "InferenceError"
    inputs = ["good", "poison", InvalidInput("Not a text."), "void"]
    assert await outcome(registry.infer("classify", inputs, PLAIN, None, per_item=True)) == "Inference"
    assert await outcome(registry.infer("classify", inputs[1:], PLAIN, None, per_item=True)) == "InferenceError"


async def faulty(registry: Registry) -> None:
    def fault(text: str) -> None:
        raise RuntimeError(text)

    serve(registry, "faulty", ScriptedClassification(registry.models["moods"], tokenizing=fault))
    serve(registry, "faulty later", ScriptedClassification(registry.models["moods"], finishing=fault))
    assert await infer(registry, "good", model="faulty") == "RuntimeError"
    assert await infer(registry, LONG, model="faulty") == "RuntimeError"
    assert await infer(registry, "good", model="faulty later") == "ServiceError"
    assert await infer(registry, LONG, model="faulty later") == "ServiceError"


async def expired(registry: Registry) -> None:
    gate = Gate()
    serve(registry, "held", ScriptedClassification(registry.models["moods"], tokenizing=lambda _: gate.hold()))
    async with held(registry):
        requests = [asyncio.create_task(infer(registry, text)) for text in ("good", "good", "bad")]
        requests.append(asyncio.create_task(infer(registry, LONG, model="held")))
        await gate.wait_reached()
        await settle()
        skip(DEADLINE_S)
        assert [await request for request in requests] == ["DeadlineExceeded"] * 4
        gate.open()


async def expired_between_rounds(registry: Registry) -> None:
    gate = Gate()
    task = ScriptedSummarization(registry.models["writer"], between_rounds=lambda _: gate.hold())
    serve(registry, "paused", task, beside="writer")
    text = "paris is the capital. the bad is weak. " * 12 + " " * 10_000
    request = asyncio.create_task(outcome(registry.infer("summarize", [text], SUMMARIZE, "paused")))
    await gate.wait_reached()
    skip(DEADLINE_S)
    assert await request == "DeadlineExceeded"
    gate.open()


async def abandoned(registry: Registry) -> None:
    gate = Gate()
    serve(registry, "held", ScriptedClassification(registry.models["moods"], tokenizing=lambda _: gate.hold()))
    async with held(registry):
        requests = [classify(registry, text) for text in ("good", "good", "bad")]
        requests.append(classify(registry, LONG, model="held"))
        await gate.wait_reached()
        await settle()
        for request in requests:
            request.cancel()
        await asyncio.wait(requests)
        gate.open()


async def streamed(registry: Registry) -> None:
    assert await read(registry, "paris is good") > 1
    await asyncio.gather(*(read(registry, "paris is good") for _ in range(2)))
    with gated(registry, "writer", after_partial_outputs=True):
        events = registry.stream("summarize", ["paris is good"], SUMMARIZE, None)
        await anext(events)
        await events.aclose()
        request = asyncio.create_task(outcome(read(registry, "the capital is good")))
        await settle()
        skip(DEADLINE_S)
        assert await request == "DeadlineExceeded"


async def closed(registry: Registry) -> None:
    async with held(registry) as gate:
        request = asyncio.create_task(infer(registry, "good"))
        await settle()
        closing = asyncio.create_task(asyncio.to_thread(registry.close))
        await soon(lambda: not registry.healthy())
        gate.open()
        await closing
        assert await request == "Unavailable"
    assert await infer(registry, "good") == "Unavailable"


@asynccontextmanager
async def watched(registry: Registry) -> AsyncIterator[list[str]]:
    with collected() as left:
        yield left
        await nothing_is_left(registry)


@pytest.mark.parametrize(
    "requests",
    [answered, refused, failed, faulty, expired, expired_between_rounds, abandoned, streamed, closed],
    ids=lambda requests: requests.__name__,
)
def test_nothing_of_requests_is_left_for_the_collector(
    zoo: Path, requests: Callable[[Registry], Awaitable[None]]
) -> None:
    async def story() -> None:
        queue_rows = 4 if requests is refused else 256
        async with (
            running(zoo, max_queue_size=queue_rows, request_timeout_s=DEADLINE_S) as registry,
            watched(registry) as left,
        ):
            await requests(registry)
            await nothing_is_left(registry)
            assert alive() == 0
        assert not left

    run(story)


def test_a_cycle_that_a_kept_error_makes_is_found(zoo: Path) -> None:
    """Or else the test above could not fail."""

    async def story() -> None:
        async with running(zoo, max_queue_size=1) as registry, watched(registry) as left, held(registry):
            await keep_an_error(registry)
        assert any(each.startswith("Overloaded: ") for each in left)
        assert any(each.startswith("RequestState: ") for each in left)

    async def keep_an_error(registry: Registry) -> None:
        waiting = asyncio.create_task(infer(registry, "good"))
        await settle()
        try:
            await registry.infer("classify", ["bad"], PLAIN, None)
        except Overloaded as error:
            kept = [error]
            assert kept
        waiting.cancel()

    run(story)
