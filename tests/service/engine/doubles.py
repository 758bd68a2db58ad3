"""A registry of the toys, tasks that do what a test tells them, and gates that hold workers and threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest

from service.config import Settings
from service.engine.engine import Inference
from service.engine.loaded_model import LoadedModel
from service.engine.registry import Registry
from service.metrics import REGISTRY
from service.scheduling.job import Passes, Row
from service.tasks.base import AnyTask, Rounds, TaskResult
from service.tasks.classification import Classification, ClassificationResult
from service.tasks.parameters import ClassifyParameters, SummarizeParameters, TextPair
from service.tasks.summarization import Summarization
from service.tasks.summary_result import SummaryResult
from tests.service.serving import samples, total

PATIENCE_S = 20
PLAIN = ClassifyParameters()
SUMMARIZE = SummarizeParameters()
LONG = "x" * 10_001
"""Tokenized off the event loop."""
HELD = "strong good"
"""The text whose pass `held` keeps from beginning."""

# --- Running ---------------------------------------------------------------------------------------------------------


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock a test can put forward, so that deadlines pass when the test wants it."""

    skipped_s = 0.0

    def time(self) -> float:
        return super().time() + self.skipped_s


def skip(seconds: float) -> None:
    """Put the running event loop's clock forward."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SkippingLoop)
    loop.skipped_s += seconds


def run(story: Callable[[], Awaitable[None]]) -> None:
    """Run a test's story on an event loop of its own; one that hangs is cancelled."""

    async def bounded() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        watchdog = threading.Timer(2 * PATIENCE_S, loop.call_soon_threadsafe, [task.cancel, "the test hung"])
        watchdog.daemon = True
        watchdog.start()
        try:
            await story()
        finally:
            watchdog.cancel()

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(bounded())


@asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[Registry]:
    """A registry with one worker, closed in the end; nothing of any request may be left then."""
    registry = Registry(Settings(models_dir=folder, **{"workers": 1} | settings))
    registry.start()
    try:
        yield registry
        await nothing_is_left(registry)
    finally:
        await asyncio.to_thread(registry.close)


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def soon(condition: Callable[[], bool]) -> None:
    """Wait until it is so; the event loop runs meanwhile, and `run` ends a wait without end."""
    while not condition():  # noqa: ASYNC110  what it asks about changes on other threads too
        await asyncio.sleep(0.002)


async def at_rest(registry: Registry) -> None:
    """Wait until no row waits or runs and the last pass is reported."""
    batches = registry._scheduler._models.values()
    await soon(lambda: not any(each.waiting or each.running or len(each.queue) for each in batches))
    await settle()


async def nothing_is_left(registry: Registry) -> None:
    """Wait until no row waits or runs; then no request and no input may be known to the engine any more."""
    engine = registry._engine
    await soon(lambda: not engine._running and not engine._advancing)
    await at_rest(registry)
    assert len(engine._in_flight) == 0
    assert not engine._running


def classify(registry: Registry, *texts: str, model: str | None = None) -> asyncio.Task[Inference]:
    return asyncio.create_task(registry.infer("classify", texts, PLAIN, model))


def summarize(registry: Registry, *texts: str, model: str | None = None) -> asyncio.Task[Inference]:
    return asyncio.create_task(registry.infer("summarize", texts, SUMMARIZE, model))


def labels(inference: Inference) -> list[str]:
    assert all(isinstance(each, ClassificationResult) for each in inference.results)
    return [each.label for each in inference.results if isinstance(each, ClassificationResult)]


def summary(inference: Inference) -> SummaryResult:
    (result,) = inference.results
    assert isinstance(result, SummaryResult)
    return result


# --- Gates -----------------------------------------------------------------------------------------------------------


class Gate:
    """Holds whoever comes until a test opens it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def hold(self) -> None:
        self.reached.set()
        assert self.opened.wait(PATIENCE_S), "nobody opened the gate"

    def open(self) -> None:
        self.opened.set()

    async def wait_reached(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, PATIENCE_S)


@contextmanager
def gated(
    registry: Registry,
    model: str,
    *,
    before: Callable[[list[Row]], bool] = lambda _: False,
    after_partial_outputs: bool = False,
) -> Iterator[Gate]:
    """A gate for workers: before batches that `before` is true of, or after the first pass with partial outputs.

    It is opened in the end, if the test did not.
    """
    gate, batches = Gate(), registry._scheduler._models[model]
    run = batches.run

    def held(rows: list[Row], *, exclusive: bool) -> Passes:
        if before(rows):
            gate.hold()
        passes = run(rows, exclusive=exclusive)
        return _held_after_partial_outputs(passes, gate) if after_partial_outputs else passes

    batches.run = held
    try:
        yield gate
    finally:
        gate.open()
        batches.run = run


def _held_after_partial_outputs(passes: Passes, gate: Gate) -> Passes:
    for done in passes:
        yield done
        if done.partial_outputs:
            gate.hold()


@asynccontextmanager
async def held(registry: Registry) -> AsyncIterator[Gate]:
    """The only worker is at work on HELD until the gate is opened, by the test or in the end."""
    with gated(registry, "moods", before=lambda _: True) as gate:
        never_s = asyncio.get_running_loop().time() + 1e6  # so that no deadline is over for it
        holding = asyncio.create_task(registry.infer("classify", [HELD], PLAIN, "moods", arrived_s=never_s))
        await gate.wait_reached()
        try:
            yield gate
        finally:
            gate.open()
            assert labels(await holding) == ["positive"]


# --- Tasks -----------------------------------------------------------------------------------------------------------

Script = Callable[[str], None]


def nothing(_: str) -> None:
    """What a task does beside its work where a test does not say."""


class ScriptedClassification(Classification):
    """A classification that calls a test's functions before it tokenizes a text and before it reads the outputs."""

    def __init__(self, loaded: LoadedModel, *, tokenizing: Script = nothing, finishing: Script = nothing) -> None:
        super().__init__(loaded.artifact, batch_tokens=2048, intra_op_threads=1)
        self._tokenizing = tokenizing
        self._finishing = finishing

    def run(self, item: str | TextPair, parameters: ClassifyParameters) -> Rounds[ClassificationResult]:
        assert isinstance(item, str)
        self._tokenizing(item)
        rounds = super().run(item, parameters)
        outputs = yield next(rounds)
        self._finishing(item)
        return (yield from resumed(rounds, outputs))


class ScriptedSummarization(Summarization):
    """A summarization that calls a test's function between its first round and its second."""

    def __init__(self, loaded: LoadedModel, *, between_rounds: Script) -> None:
        super().__init__(loaded.artifact, batch_tokens=2048, intra_op_threads=1)
        self._between_rounds = between_rounds

    def run(self, item: str, parameters: SummarizeParameters) -> Rounds[SummaryResult]:
        rounds = super().run(item, parameters)
        outputs = yield next(rounds)
        self._between_rounds(item)
        return (yield from resumed(rounds, outputs))


def resumed(rounds: Rounds[Any], outputs: Sequence[object]) -> Rounds[Any]:
    """What is left of rounds whose first one has these outputs."""
    while True:
        try:
            inputs = rounds.send(outputs)
        except StopIteration as end:
            result: TaskResult[Any] = end.value
            return result
        outputs = yield inputs


def serve(registry: Registry, name: str, task: AnyTask, *, beside: str = "moods") -> None:
    """Let a registry serve a task under a name; the scheduler runs its rows with the model that it stands beside."""
    loaded = registry.models[beside]
    registry.models[name] = LoadedModel(loaded.artifact, task, loaded.metrics)


# --- Figures ---------------------------------------------------------------------------------------------------------


class Figures:
    """How much a model's metrics grew since this was made."""

    def __init__(self, model: str = "moods") -> None:
        self._model = model
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        names = ("shoal_batch_rows_sum", "shoal_shared_answers_total", "shoal_cache_hits_total")
        now = samples(generate_latest(REGISTRY).decode())
        return {name: total(now, name, model=self._model) for name in (*names, "shoal_failed_rows_total")}

    def _grown(self, name: str) -> float:
        return self._now()[name] - self._before[name]

    @property
    def rows(self) -> float:
        """Rows that were run."""
        return self._grown("shoal_batch_rows_sum")

    @property
    def shared(self) -> float:
        return self._grown("shoal_shared_answers_total")

    @property
    def hits(self) -> float:
        return self._grown("shoal_cache_hits_total")

    @property
    def failed(self) -> float:
        return self._grown("shoal_failed_rows_total")
