from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from service.config import Settings
from service.engine.loaded_model import LoadedModel
from service.engine.registry import Registry
from service.errors import (
    DeadlineExceeded,
    InputTooLong,
    InvalidInput,
    Overloaded,
    ServiceError,
    Unavailable,
)
from service.tasks.base import Result
from service.tasks.parameters import AnswerParameters, Question, SummarizeParameters
from service.tasks.question_answering import AnswerResult
from service.tasks.summarization import Summarization
from tests.service.engine.doubles import (
    PLAIN,
    SUMMARIZE,
    Figures,
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
    summarize,
    summary,
)

QUESTION = Question(question="is?", context="it is paris")


def test_three_tasks_share_the_workers(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, workers=2) as registry:
            moods, reader, writer = await asyncio.gather(
                registry.infer("classify", ["good", "bad"], PLAIN, None),
                registry.infer("answer", [QUESTION], AnswerParameters(), None),
                registry.infer("summarize", ["paris is good"], SUMMARIZE, None),
            )
        assert labels(moods) == ["positive", "negative"]
        assert (moods.model, moods.input_tokens, moods.output_tokens) == ("moods", 6, 0)
        (answer,) = reader.results
        assert isinstance(answer, AnswerResult)
        assert answer.answer == "paris"
        assert (summary(writer).summary, writer.output_tokens) == ("paris is good", 3)

    run(story)


@pytest.mark.parametrize(
    ("inputs", "on_loop"),
    [
        (["good"], True),
        (["x" * 4000], True),
        (["x" * 4001], False),
        (["x" * 801] * 5, False),
        (["日" * 1334], False),
    ],
    ids=["short", "as long as may be", "long", "long together", "long in bytes"],
)
def test_a_long_request_is_tokenized_and_finished_off_the_event_loop(
    zoo: Path, inputs: list[str], on_loop: bool
) -> None:
    async def story() -> None:
        threads = []

        def note(_: str) -> None:
            threads.append(threading.current_thread())

        async with running(zoo) as registry:
            task = ScriptedClassification(registry.models["moods"], tokenizing=note, finishing=note)
            serve(registry, "noting", task)
            done = await classify(registry, *inputs, model="noting")
        assert len(done.results) == len(inputs)
        assert [thread is threading.current_thread() for thread in threads] == [on_loop] * 2

    run(story)


def test_limits_are_checked_before_anything_runs(zoo: Path) -> None:
    async def story() -> None:
        figures = Figures()
        async with running(zoo, max_inputs_per_request=2, max_input_chars=10, max_queue_size=3) as registry:
            with pytest.raises(InvalidInput, match="3 inputs"):
                await classify(registry, *"aaa")
            with pytest.raises(InputTooLong, match="11 characters"):
                await classify(registry, "a", "a" * 11)
            with pytest.raises(InputTooLong, match="11 characters"):
                await registry.infer("answer", [Question(question="a", context="a" * 11)], AnswerParameters(), None)
        assert figures.rows == 0

    run(story)


def test_a_request_that_no_queue_could_ever_hold_is_too_long_not_overloaded(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, max_queue_size=3) as registry:
            with pytest.raises(InputTooLong, match="makes 4 rows"):
                await classify(registry, *"abcd")
            question = Question(question="is", context="the " * 1000)
            with pytest.raises(InputTooLong, match="rows"):
                await registry.infer("answer", [question], AnswerParameters(), None)

    run(story)


def test_a_failing_neighbour_harms_nobody(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            async with held(registry):
                requests = [classify(registry, text) for text in ("good", "poison", "bad", "void")]
                await settle()
            answers = await asyncio.gather(*requests, return_exceptions=True)
            assert [type(answer).__name__ for answer in answers] == [
                "Inference", "InferenceError", "Inference", "InferenceError",
            ]  # fmt: skip
            assert registry.healthy()

    run(story)


@pytest.mark.parametrize("text", ["mine", "mine " * 1000], ids=["on the loop", "off the loop"])
def test_a_fault_in_a_task_is_one_inputs_error_and_does_not_leak(zoo: Path, text: str) -> None:
    def fault(text: str) -> None:
        if "mine" in text:
            raise RuntimeError(f"secret of {text}")

    async def story() -> None:
        async with running(zoo) as registry:
            serve(registry, "faulty", ScriptedClassification(registry.models["moods"], finishing=fault))
            async with held(registry):
                faulty, neighbour = (classify(registry, each, model="faulty") for each in (text, "good"))
                await settle()
            with pytest.raises(ServiceError, match=r"^A fault of the server; its log says more\.$") as raised:
                await faulty
            assert raised.value.code == "Internal"
            assert labels(await neighbour) == ["positive"]

    run(story)


def test_answers_are_the_same_alone_and_in_company(zoo: Path) -> None:
    texts = ["good", "bad good", "the good is bad", "good paris", "x", "strong good bad", "is"] * 3

    async def story() -> None:
        async with running(zoo) as registry:
            alone = [(await classify(registry, text)).results for text in texts]
            async with held(registry):
                requests = [classify(registry, text) for text in texts]
                await settle()
            together = [(await request).results for request in requests]
        assert together == alone

    run(story)


def test_a_full_queue_refuses_and_answers_what_it_took(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, max_queue_size=3) as registry:
            async with held(registry):
                taken = [classify(registry, "good", "bad")]
                await settle()
                with pytest.raises(Overloaded):
                    await classify(registry, "the", "is")
                taken.append(classify(registry, "the bad"))
                await settle()
            assert [labels(await request) for request in taken] == [["positive", "negative"], ["negative"]]
            assert labels(await classify(registry, "good")) == ["positive"], "and the queue is free again"

    run(story)


def test_a_caller_that_leaves_costs_no_pass(zoo: Path) -> None:
    async def story() -> None:
        figures = Figures()
        async with running(zoo) as registry, held(registry):
            leaving, staying = classify(registry, "good bad good bad"), classify(registry, "good")
            await settle()
            leaving.cancel()
            await asyncio.wait([leaving])
            assert leaving.cancelled()
        assert labels(await staying) == ["positive"]
        assert figures.rows == 1 + 1, "what was held, and who stayed"

    run(story)


def test_close_answers_what_waits(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            async with held(registry) as gate:
                waiting = classify(registry, "good")
                await settle()
                closing = asyncio.create_task(asyncio.to_thread(registry.close))
                await soon(lambda: not registry.healthy())
                gate.open()
                await closing
                with pytest.raises(Unavailable):
                    await waiting
            with pytest.raises(Unavailable):
                await classify(registry, "good")

    run(story)


def test_a_stuck_pass_turns_health_false(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, stuck_after_s=0.05) as registry:
            assert registry.healthy()
            async with held(registry):
                await soon(lambda: not registry.healthy())
            await soon(registry.healthy)

    run(story)


# --- Streams ---------------------------------------------------------------------------------------------------------


def test_a_stream_gives_pieces_while_the_text_is_made_and_then_what_infer_returns(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            with gated(registry, "writer", after_partial_outputs=True) as gate:
                events = registry.stream("summarize", ["paris is good"], SUMMARIZE, None)
                first = await anext(events)
                assert not gate.opened.is_set()
                gate.open()
                rest = [event async for event in events]
            whole = await summarize(registry, "paris is good")
        pieces, inference = [first, *rest[:-1]], rest[-1]
        assert inference == whole
        assert "".join(str(piece) for piece in pieces) == "paris is good"

    run(story)


class Rewording(Summarization):
    """A summarization that takes back what it said."""

    def __init__(self, loaded: LoadedModel, *, final: str) -> None:
        super().__init__(loaded.artifact, batch_tokens=2048, intra_op_threads=1)
        self._final = final

    def text_so_far(self, tokens: list[int]) -> str:
        return "paris" if len(tokens) == 1 else "another text"

    def text_of(self, result: Result) -> str:
        return self._final


@pytest.mark.parametrize(("final", "rest"), [("paris is good", " is good"), ("another text in the end", "")])
def test_a_stream_sends_only_what_goes_on_from_what_it_sent(zoo: Path, final: str, rest: str) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            serve(registry, "rewording", Rewording(registry.models["writer"], final=final), beside="writer")
            with gated(registry, "writer", after_partial_outputs=True) as gate:
                events = registry.stream("summarize", ["paris is good"], SUMMARIZE, "rewording")
                assert await anext(events) == "paris"
                gate.open()
                assert "".join([event async for event in events if isinstance(event, str)]) == rest

    run(story)


def test_what_does_not_stream_is_refused(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            with pytest.raises(InvalidInput, match=r"^/v1/classify does not stream\.$"):
                await anext(registry.stream("classify", ["good"], PLAIN, None))
            with pytest.raises(InvalidInput, match="there are 2"):
                await anext(registry.stream("summarize", ["good", "bad"], SUMMARIZE, None))

    run(story)


def test_a_stream_whose_reader_leaves_is_given_up(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            with gated(registry, "writer", after_partial_outputs=True):
                events = registry.stream("summarize", ["paris is good"], SUMMARIZE, None)
                await anext(events)
                await events.aclose()
                (job,) = registry._engine._running
                assert job.cancelled

    run(story)


# --- Cache -----------------------------------------------------------------------------------------------------------


def test_what_was_answered_is_answered_from_the_cache(zoo: Path) -> None:
    async def story() -> None:
        moods, reader = Figures(), Figures("reader")
        async with running(zoo, cache_bytes=100_000) as registry:
            first = await classify(registry, "good", "bad")
            again = await classify(registry, "bad", "good")
            assert again.results == first.results[::-1]
            assert (again.model, again.input_tokens) == (first.model, first.input_tokens)
            answers = [await registry.infer("answer", [QUESTION], AnswerParameters(), None) for _ in range(2)]
            assert answers[0] == answers[1]
        assert (moods.rows, moods.hits) == (2, 2)
        assert (reader.rows, reader.hits) == (1, 1)

    run(story)


def test_a_stream_and_a_plain_request_are_answered_from_one_cache(zoo: Path) -> None:
    async def streamed(registry: Registry, text: str) -> list[object]:
        return [event async for event in registry.stream("summarize", [text], SUMMARIZE, None)]

    async def story() -> None:
        figures = Figures("writer")
        async with running(zoo, cache_bytes=100_000) as registry:
            plain = await summarize(registry, "paris is good")
            assert await streamed(registry, "paris is good") == ["paris is good", plain]
            *_, inference = await streamed(registry, "good")
            assert await summarize(registry, "good") == inference
        assert figures.hits == 2

    run(story)


def test_the_cache_answers_what_a_full_queue_would_refuse(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, cache_bytes=100_000, max_queue_size=1) as registry:
            known = await classify(registry, "good")
            async with held(registry):
                waiting = classify(registry, "bad")
                await settle()
                assert await classify(registry, "good") == known
                with pytest.raises(Overloaded):
                    await classify(registry, "the")
            assert labels(await waiting) == ["negative"]

    run(story)


@pytest.mark.slow
def test_a_text_of_the_largest_size_is_answered_by_the_default_model_or_refused() -> None:
    words = (
        "The committee of the town met on Tuesday to talk about bridge number {}. Nobody from {} was there to object. "
    )
    text = "".join(words.format(number, number * 7) for number in range(3000))[:200_000]

    async def story() -> None:
        settings = Settings(models="summarizer")
        registry = Registry(settings)
        registry.start()
        try:
            parameters = SummarizeParameters(strategy="extractive")
            began_s = time.monotonic()
            request = registry.infer("summarize", [text], parameters, None)
            (done,) = await asyncio.gather(request, return_exceptions=True)
            if isinstance(done, BaseException):
                assert isinstance(done, InputTooLong | DeadlineExceeded), done
            else:
                result = summary(done)
                assert result.sentences is not None
                assert [text[each.start : each.end][-1] for each in result.sentences] == ["."] * 3
                assert result.truncated is False
            assert time.monotonic() - began_s < settings.request_timeout_s + 2
        finally:
            await asyncio.to_thread(registry.close)

    run(story)
