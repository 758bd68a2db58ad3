from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.config import Settings
from service.encoding import Encoding
from service.errors import (
    ArtifactError,
    InferenceError,
    InputTooLong,
    InvalidInput,
    ModelNotFound,
    Overloaded,
    Unavailable,
)
from service.registry import Registry, Served
from service.schemas import AnswerParameters, ClassifyParameters, Question, SummarizeParameters
from tests.service import toys
from tests.service.serving import eventually

PATIENCE_S = 20
PLAIN = ClassifyParameters()


class Gate:
    """Holds the worker that reads an encoding made of this."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()


class HeldEncoding(Encoding):
    """A row whose worker waits in its pass until the gate is opened."""

    gate: Gate

    def __len__(self) -> int:
        self.gate.reached.set()
        assert self.gate.opened.wait(PATIENCE_S)
        return super().__len__()


class HeldTask:
    """A classification that occupies a worker."""

    route = "classify"

    def __init__(self, task: Any, gate: Gate) -> None:
        self._gate = gate
        self.finish, self.usage = task.finish, lambda encoding, outputs: (3, 0)

    def prepare(self, text: str, parameters: Any) -> Any:
        ids = np.array([toys.CLS, toys.IDS["good"], toys.SEP])
        encoding = HeldEncoding(ids, np.zeros_like(ids))
        object.__setattr__(encoding, "gate", self._gate)
        return encoding, [(encoding, 3)]


@asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[Registry]:
    registry = Registry(Settings(models_dir=folder, **{"threads": 1} | settings))
    registry.start()
    try:
        yield registry
    finally:
        await asyncio.to_thread(registry.close)


@asynccontextmanager
async def held(registry: Registry) -> AsyncIterator[Gate]:
    """The only worker is busy until the gate is opened, by the test or in the end."""
    gate = Gate()
    moods = registry.models["moods"]
    registry.models["held"] = Served(moods.artifact, HeldTask(moods.task, gate), moods.metrics)
    holding = asyncio.create_task(registry.infer("classify", ["x"], PLAIN, "held"))
    assert await asyncio.to_thread(gate.reached.wait, PATIENCE_S)
    try:
        yield gate
    finally:
        gate.opened.set()
        assert (await holding).results[0]["label"] == "positive"


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(story(), 2 * PATIENCE_S)

    asyncio.run(bounded())


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


def classify(registry: Registry, *texts: str) -> asyncio.Task[Any]:
    return asyncio.create_task(registry.infer("classify", texts, PLAIN, None))


# --- Finding ---------------------------------------------------------------------------------------------------------


def test_a_task_without_a_name_gets_its_first_model(zoo: Path) -> None:
    registry = Registry(Settings(models_dir=zoo, threads=1))
    assert registry.find("classify", None) is registry.models["moods"]
    assert registry.find("classify", "topics") is registry.models["topics"]
    assert (registry.default("answer"), registry.default("none")) == ("reader", None)


def test_finding_what_is_not_there_says_what_is(zoo: Path) -> None:
    registry = Registry(Settings(models_dir=zoo, threads=1))
    with pytest.raises(ModelNotFound, match=r"No model named 'x'; /v1/classify is served by: moods, topics"):
        registry.find("classify", "x")
    with pytest.raises(ModelNotFound, match=r"Model 'moods' is for another task; /v1/answer is served by: reader"):
        registry.find("answer", "moods")


def test_workers_are_as_many_as_told(zoo: Path) -> None:
    assert Registry(Settings(models_dir=zoo, threads=3)).threads == 3
    assert Registry(Settings(models_dir=zoo)).threads >= 1


def test_a_folder_that_cannot_be_served_is_an_artifact_error(tmp_path: Path) -> None:
    (toys.classifier(tmp_path / "broken") / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ArtifactError, match=r"model\.onnx"):
        Registry(Settings(models_dir=tmp_path, threads=1))


def test_a_file_that_is_not_what_was_published_is_an_artifact_error(tmp_path: Path) -> None:
    (toys.classifier(tmp_path / "changed") / "SHA256SUMS").write_text(f"{'0' * 64}  model.onnx\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match="does not match SHA256SUMS"):
        Registry(Settings(models_dir=tmp_path, threads=1))


# --- Asking ----------------------------------------------------------------------------------------------------------


def test_three_tasks_share_the_workers(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, threads=2) as registry:
            question = Question(question="is?", context="it is paris")
            moods, reader, writer = await asyncio.gather(
                registry.infer("classify", ["good", "bad"], PLAIN, None),
                registry.infer("answer", [question], AnswerParameters(), None),
                registry.infer("summarize", ["paris is good"], SummarizeParameters(), None),
            )
        assert [result["label"] for result in moods.results] == ["positive", "negative"]
        assert (moods.model, moods.input_tokens, moods.output_tokens) == ("moods", 6, 0)
        assert reader.results[0]["answer"] == "paris"
        assert (writer.results[0]["summary"], writer.output_tokens) == ("paris is good", 3)

    run(story)


class NotingTask:
    """A classification that notes on which thread it tokenizes."""

    route = "classify"

    def __init__(self, task: Any) -> None:
        self._task = task
        self.threads: list[threading.Thread] = []
        self.finish, self.usage = task.finish, task.usage

    def prepare(self, text: str, parameters: Any) -> Any:
        self.threads.append(threading.current_thread())
        return self._task.prepare(text, parameters)


def test_a_long_text_is_tokenized_off_the_event_loop(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            moods = registry.models["moods"]
            noting = NotingTask(moods.task)
            registry.models["noting"] = Served(moods.artifact, noting, moods.metrics)
            for text in ("good", "good " * 30_000):
                await registry.infer("classify", [text], PLAIN, "noting")
        short, long = noting.threads
        assert short is threading.current_thread()
        assert long is not threading.current_thread()

    run(story)


def test_limits_are_checked_before_anything_runs(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, max_inputs=2, max_input_chars=10, queue_rows=3) as registry:
            with pytest.raises(InvalidInput, match="3 inputs"):
                await registry.infer("classify", ["a"] * 3, PLAIN, None)
            with pytest.raises(InputTooLong, match="11 characters"):
                await registry.infer("classify", ["a", "a" * 11], PLAIN, None)
            with pytest.raises(InputTooLong, match="11 characters"):
                await registry.infer("answer", [Question(question="a", context="a" * 11)], AnswerParameters(), None)

    run(story)


def test_a_request_that_no_queue_could_ever_hold_is_too_long_not_overloaded(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, queue_rows=3) as registry:
            with pytest.raises(InputTooLong, match="makes 4 rows"):
                await registry.infer("classify", ["a"] * 4, PLAIN, None)
            question = Question(question="is", context="the " * 1000)
            with pytest.raises(InputTooLong, match="rows"):
                await registry.infer("answer", [question], AnswerParameters(), None)

    run(story)


def test_a_failing_neighbour_harms_nobody(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            async with held(registry) as gate:
                asked = [classify(registry, text) for text in ("good", "poison", "bad", "void")]
                await settle()
                gate.opened.set()
                answers = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(answer).__name__ for answer in answers] == [
                "Inference", "InferenceError", "Inference", "InferenceError",
            ]  # fmt: skip
            assert isinstance(answers[1], InferenceError)
            assert registry.healthy()

    run(story)


def test_answers_are_the_same_alone_and_in_company(zoo: Path) -> None:
    texts = ["good", "bad good", "the good is bad", "good paris", "x", "strong good bad", "is"] * 3

    async def story() -> None:
        async with running(zoo, batch_slack_tokens=1000) as registry:
            alone = [(await classify(registry, text)).results for text in texts]
            async with held(registry) as gate:
                asked = [classify(registry, text) for text in texts]
                await settle()
                gate.opened.set()
                together = [(await task).results for task in asked]
        assert together == alone

    run(story)


def test_a_full_queue_refuses_and_answers_what_it_took(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, queue_rows=3) as registry:
            async with held(registry) as gate:
                taken = [classify(registry, "good", "bad")]
                await settle()
                refused = classify(registry, "good", "good")
                with pytest.raises(Overloaded):
                    await refused
                taken.append(classify(registry, "bad"))
                await settle()
                gate.opened.set()
                answers = [await task for task in taken]
            labels = [[result["label"] for result in answer.results] for answer in answers]
            assert labels == [["positive", "negative"], ["negative"]]
            assert (await classify(registry, "good")).results, "and the queue is free again"

    run(story)


def test_a_caller_that_leaves_costs_no_pass(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            ran = registry.models["moods"].metrics
            before = ran._tokens._value.get()
            async with held(registry) as gate:
                leaving, staying = classify(registry, "good bad good bad"), classify(registry, "good")
                await settle()
                leaving.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await leaving
                gate.opened.set()
                assert (await staying).results[0]["label"] == "positive"
            assert ran._tokens._value.get() - before == 3 + 3

    run(story)


def test_close_answers_what_waits(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            async with held(registry) as gate:
                waiting = classify(registry, "good")
                await settle()
                closing = asyncio.create_task(asyncio.to_thread(registry.close))
                await asyncio.to_thread(eventually, lambda: not registry.healthy())
                gate.opened.set()
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
                await asyncio.to_thread(eventually, lambda: not registry.healthy())
            assert (await classify(registry, "good")).results

    run(story)
