"""Inputs that cannot be answered: each has its error for a result, or fails the request, which then names it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from service.engine.engine import Inference, ItemError
from service.engine.registry import Registry
from service.errors import InferenceError, InputTooLong, InvalidInput, Overloaded, ServiceError
from service.metrics import REGISTRY
from tests.service.engine.doubles import (
    PLAIN,
    SUMMARIZE,
    Figures,
    ScriptedClassification,
    gated,
    held,
    run,
    running,
    serve,
    settle,
    skip,
)
from tests.service.serving import samples, total

OTHER = InvalidInput("Not a text.")


def refuse_bad(text: str) -> None:
    if "bad" in text:
        raise InvalidInput("It is bad.")


def infer(registry: Registry, inputs: Sequence[Any], model: str | None = None) -> asyncio.Task[Inference]:
    return asyncio.create_task(registry.infer("classify", inputs, PLAIN, model, per_item=True))


def told(inference: Inference) -> list[str]:
    """Each result's type of error, or its label."""
    return [each.error_type if isinstance(each, ItemError) else each.label for each in inference.results]  # type: ignore[attr-defined]


def test_each_input_fails_alone_wherever_it_fails(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, max_input_chars=100) as registry:
            task = ScriptedClassification(registry.models["moods"], tokenizing=refuse_bad)
            serve(registry, "strict", task)
            inputs = ["good", OTHER, "x" * 101, "bad", "poison", "void", "good", "bad"]
            inference = await infer(registry, inputs, "strict")
            assert told(inference) == [
                "positive", "Validation", "Validation", "Validation", "Backend", "Backend", "positive", "Validation",
            ]  # fmt: skip
            errors = [each.error for each in inference.results if isinstance(each, ItemError)]
            assert errors[:3] == ["Not a text.", "A text of 101 characters; the limit is 100. Send it in parts.",
                                  "It is bad."]  # fmt: skip
            assert inference.input_tokens == 6

    run(story)


def test_without_it_the_first_that_fails_is_named_and_its_neighbours_are_not_run(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, max_input_chars=100) as registry:
            tokenized: list[str] = []

            def refuse(text: str) -> None:
                tokenized.append(text)
                refuse_bad(text)

            serve(registry, "strict", ScriptedClassification(registry.models["moods"], tokenizing=refuse))
            figures = Figures()
            with pytest.raises(InvalidInput, match=r"^inputs\[1\]: It is bad\.$"):
                await registry.infer("classify", ["good", "bad", "slow"], PLAIN, "strict")
            assert tokenized == ["good", "bad"], "what comes behind it costs nothing"
            with pytest.raises(InvalidInput, match=r"^It is bad\.$"):
                await registry.infer("classify", ["bad"], PLAIN, "strict")
            with pytest.raises(InputTooLong, match=r"^inputs\[2\]: A text of 101 characters"):
                await registry.infer("classify", ["good", "bad", "x" * 101], PLAIN, "strict")
            assert figures.rows == 0
            with pytest.raises(InferenceError, match=r"^inputs\[1\]: The model failed on this input\.$"):
                await registry.infer("classify", ["good", "poison"], PLAIN, None)

    run(story)


def test_if_all_fail_the_first_ones_error_is_the_requests(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            with pytest.raises(InferenceError, match=r"^inputs\[0\]: "):
                await infer(registry, ["poison", OTHER])
            with pytest.raises(InvalidInput, match=r"^inputs\[0\]: Not a text\.$"):
                await infer(registry, [OTHER, "poison"])
            with pytest.raises(InvalidInput, match=r"^Not a text\.$"):
                await infer(registry, [OTHER])

    run(story)


@pytest.mark.parametrize("text", ["bad", "bad " * 3000], ids=["short", "tokenized in a thread"])
def test_who_waits_for_the_same_bad_input_is_told_too(zoo: Path, text: str) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            serve(registry, "strict", ScriptedClassification(registry.models["moods"], tokenizing=refuse_bad))
            requests = [infer(registry, [text, "good", text], "strict") for _ in range(2)]
            for inference in await asyncio.gather(*requests):
                assert told(inference) == ["Validation", "positive", "Validation"]

    run(story)


def test_an_input_that_alone_is_too_much_work_fails_alone(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, max_queue_size=4) as registry:
            texts = ["paris is the capital. " * 200, "paris is good"]
            request = registry.infer(
                "summarize", texts, SUMMARIZE.model_copy(update={"strategy": "map_reduce"}), None, per_item=True
            )
            long, short = (await request).results
            assert isinstance(long, ItemError)
            assert long.error.startswith("This input makes ")
            assert not isinstance(short, ItemError)

    run(story)


def test_what_is_done_at_the_deadline_is_answered(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, cache_bytes=100_000) as registry:
            assert told(await infer(registry, ["good"])) == ["positive"]
            with gated(registry, "moods", before=lambda _: True) as gate:
                request = infer(registry, ["good", "bad"])
                await gate.wait_reached()
                skip(3600)
                inference = await request
                gate.open()
            assert told(inference) == ["positive", "DeadlineExceeded"]

    run(story)


def test_a_refusal_for_load_is_the_requests(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, max_queue_size=1) as registry, held(registry):
            waiting = infer(registry, ["good"])
            await settle()
            with pytest.raises(Overloaded):
                await infer(registry, ["bad", OTHER])
        assert told(await waiting) == ["positive"]

    run(story)


def test_errors_of_inputs_are_counted_as_refusals(zoo: Path) -> None:
    def counted() -> float:
        return total(samples(generate_latest(REGISTRY).decode()), "shoal_refusals_total", reason="Backend")

    async def story() -> None:
        async with running(zoo) as registry:
            before = counted()
            await infer(registry, ["good", "poison"])
            assert counted() == before + 1

    run(story)


def test_a_shared_error_keeps_no_traceback(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            requests = [infer(registry, ["poison"]) for _ in range(2)]
            raised = await asyncio.gather(*requests, return_exceptions=True)
            assert raised[0] is not raised[1], "a shared error would collect the tracebacks of all"
            assert all(isinstance(each, ServiceError) for each in raised)

    run(story)
