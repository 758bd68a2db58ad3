from __future__ import annotations

import asyncio
import gc
import threading
import time
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from service.answers import Answer
from service.config import Settings
from service.encoding import Encoding
from service.errors import (
    DeadlineExceeded,
    InferenceError,
    InputTooLong,
    InvalidInput,
    Overloaded,
    Unavailable,
)
from service.job import Job
from service.metrics import REGISTRY
from service.registry import Registry
from service.request import Request, Served
from service.schemas import AnswerParameters, ClassifyParameters, Question, SummarizeParameters
from tests.service import toys
from tests.service.serving import eventually, samples, total

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
        self._task = task

    def run(self, text: str, parameters: Any) -> Any:
        ids = array("q", [toys.CLS, toys.IDS["good"], toys.SEP])
        encoding = HeldEncoding(ids, array("q", [0] * 3))
        object.__setattr__(encoding, "gate", self._gate)
        outputs = yield [(encoding, 3)]
        return Answer(self._task.finish(encoding, outputs, parameters), 3, 0)


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
    later_s = asyncio.get_running_loop().time() + 3600  # so that no deadline is over for it
    holding = asyncio.create_task(registry.infer("classify", ["(held)"], PLAIN, "held", arrived_s=later_s))
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
    """A classification that notes on which thread it tokenizes and finishes."""

    route = "classify"

    def __init__(self, task: Any) -> None:
        self._task = task
        self.threads: list[threading.Thread] = []

    def run(self, text: str, parameters: Any) -> Any:
        self.threads.append(threading.current_thread())
        rounds = self._task.run(text, parameters)
        outputs = yield next(rounds)
        self.threads.append(threading.current_thread())
        try:
            rounds.send(outputs)
        except StopIteration as end:
            return end.value


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
        async with running(zoo) as registry:
            moods = registry.models["moods"]
            noting = NotingTask(moods.task)
            registry.models["noting"] = Served(moods.artifact, noting, moods.metrics)
            done = await registry.infer("classify", inputs, PLAIN, "noting")
        assert len(done.results) == len(inputs)
        assert len(noting.threads) == 2
        assert [thread is threading.current_thread() for thread in noting.threads] == [on_loop] * 2

    run(story)


@pytest.mark.parametrize(("tokens", "on_loop"), [(1000, True), (1001, False)])
def test_a_request_of_many_tokens_is_finished_off_the_event_loop(zoo: Path, tokens: int, on_loop: bool) -> None:
    """However few bytes they are: its results grow with the tokens."""
    # Distinct, as equal ones share a row; each has 98 tokens beside the two special ones.
    texts = ["," * number + "." + "," * (97 - number) for number in range(9)]
    texts.append("?" * (tokens - 902))

    async def story() -> None:
        async with running(zoo) as registry:
            moods = registry.models["moods"]
            noting = NotingTask(moods.task)
            registry.models["noting"] = Served(moods.artifact, noting, moods.metrics)
            done = await registry.infer("classify", texts, PLAIN, "noting")
        assert done.input_tokens == tokens
        assert [thread is threading.current_thread() for thread in noting.threads] == [True] * 10 + [on_loop] * 10

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
                await registry.infer("classify", [*"abcd"], PLAIN, None)
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
        async with running(zoo) as registry:
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
                refused = classify(registry, "the", "is")
                with pytest.raises(Overloaded):
                    await refused
                taken.append(classify(registry, "the bad"))
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


# --- Sharing ---------------------------------------------------------------------------------------------------------


def figure(name: str, model: str = "moods") -> float:
    return total(samples(generate_latest(REGISTRY).decode()), name, model=model)


class Figures:
    """How much a model's figures grew since this was made."""

    def __init__(self, model: str = "moods") -> None:
        self._model = model
        self._rows, self._shared, self._hits = self._now()

    def _now(self) -> tuple[float, float, float]:
        names = ("shoal_batch_rows_sum", "shoal_shared_answers_total", "shoal_cache_hits_total")
        rows, shared, hits = (figure(name, self._model) for name in names)
        return rows, shared, hits

    @property
    def rows(self) -> float:
        """Rows that were run."""
        return self._now()[0] - self._rows

    @property
    def shared(self) -> float:
        return self._now()[1] - self._shared

    @property
    def hits(self) -> float:
        return self._now()[2] - self._hits


def test_identical_inputs_at_the_same_time_are_one_row(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            async with held(registry) as gate:
                figures = Figures()
                asked = [classify(registry, "good") for _ in range(5)]
                await settle()
                gate.opened.set()
                answers = [await task for task in asked]
            assert all(answer == answers[0] for answer in answers)
            assert answers[0].results[0]["label"] == "positive"
            assert answers[0].input_tokens == 3
            assert (await classify(registry, "good")).results == answers[0].results
        assert (figures.rows, figures.shared) == (1 + 1 + 1, 4), "the held one, this, and again: nothing is kept"

    run(story)


def test_identical_inputs_of_one_request_are_one_row(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            figures = Figures()
            answer = await classify(registry, "good", "bad", "good", "good")
        assert [result["label"] for result in answer.results] == ["positive", "negative", "positive", "positive"]
        assert answer.input_tokens == 4 * 3
        assert (figures.rows, figures.shared) == (2, 2)

    run(story)


def test_lists_share_what_they_have_in_common(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry, held(registry) as gate:
            figures = Figures()
            one, other = classify(registry, "good", "bad"), classify(registry, "bad", "the")
            await settle()
            gate.opened.set()
            labels = [[result["label"] for result in (await task).results] for task in (one, other)]
        assert labels == [["positive", "negative"], ["negative", "negative"]]
        assert figures.rows == 1 + 3

    run(story)


def test_other_parameters_and_other_models_do_not_share(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry, held(registry) as gate:
            moods, topics = Figures(), Figures("topics")
            best = ClassifyParameters(top_k=1)
            asked = [
                asyncio.create_task(registry.infer("classify", ["good"], parameters, model))
                for parameters, model in ((PLAIN, None), (best, None), (PLAIN, "topics"))
            ]
            await settle()
            gate.opened.set()
            answers = [await task for task in asked]
        assert [len(answer.results[0]["scores"]) for answer in answers] == [2, 1, 2]
        assert answers[0].results[0]["score"] != answers[2].results[0]["score"]
        assert (moods.rows, topics.rows) == (1 + 2, 1)

    run(story)


@pytest.mark.parametrize("who", [0, 1])
def test_one_who_leaves_does_not_harm_those_who_share(zoo: Path, who: int) -> None:
    async def story() -> None:
        async with running(zoo) as registry, held(registry) as gate:
            asked = [classify(registry, "good") for _ in range(3)]
            await settle()
            asked.pop(who).cancel()
            await settle()
            gate.opened.set()
            for task in asked:
                assert (await task).results[0]["label"] == "positive"

    run(story)


def test_when_all_have_left_the_row_leaves_too_and_a_newcomer_starts_anew(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry, held(registry) as gate:
            figures = Figures()
            leaving = [classify(registry, "good"), classify(registry, "good")]
            await settle()
            for task in leaving:
                task.cancel()
            await asyncio.gather(*leaving, return_exceptions=True)
            newcomer = classify(registry, "good")
            await settle()
            gate.opened.set()
            assert (await newcomer).results[0]["label"] == "positive"
        assert figures.rows == 1 + 1, "the held one's and the newcomer's"
        assert figures.shared == 1

    run(story)


def test_an_error_is_told_to_all_who_share_and_not_kept(zoo: Path) -> None:
    async def story() -> None:
        failed = figure("shoal_failed_rows_total")
        async with running(zoo, cache_bytes=100_000) as registry:
            async with held(registry) as gate:
                asked = [classify(registry, "poison") for _ in range(3)]
                await settle()
                gate.opened.set()
                answers = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(answer) for answer in answers] == [InferenceError] * 3
            with pytest.raises(InferenceError):
                await classify(registry, "poison")
        assert figure("shoal_failed_rows_total") == failed + 2, "it was tried again"

    run(story)


def test_a_failing_neighbour_in_anothers_list_does_not_harm_those_who_share_the_rest(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry, held(registry) as gate:
            both, mine = classify(registry, "good", "poison"), classify(registry, "good")
            await settle()
            gate.opened.set()
            with pytest.raises(InferenceError):
                await both
            assert (await mine).results[0]["label"] == "positive"

    run(story)


class HeldPreparation(NotingTask):
    """A classification that tokenizes long texts when it is let."""

    def __init__(self, task: Any) -> None:
        super().__init__(task)
        self.gate = Gate()

    def run(self, text: str, parameters: Any) -> Any:
        if len(text) > 100:
            self.gate.reached.set()
            assert self.gate.opened.wait(PATIENCE_S)
        if "refused" in text:
            raise InvalidInput("The text is refused.")
        return (yield from super().run(text, parameters))


@asynccontextmanager
async def preparing(registry: Registry, *inputs: str) -> AsyncIterator[tuple[asyncio.Task[Any], HeldPreparation]]:
    """A long request that is being tokenized until its gate is opened."""
    moods = registry.models["moods"]
    task = HeldPreparation(moods.task)
    registry.models["slow"] = Served(moods.artifact, task, moods.metrics)
    asked = asyncio.create_task(registry.infer("classify", inputs, PLAIN, "slow"))
    assert await asyncio.to_thread(task.gate.reached.wait, PATIENCE_S)
    try:
        yield asked, task
    finally:
        task.gate.opened.set()


LONG = "x" * 10_001


def test_a_request_that_is_refused_tells_those_who_joined_it(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, queue_rows=1) as registry, held(registry) as gate:
            async with preparing(registry, LONG) as (first, task):
                joined = classify(registry, LONG)
                full = classify(registry, "good")
                await settle()
                task.gate.opened.set()
                for each in (first, joined):
                    with pytest.raises(Overloaded):
                        await each
            gate.opened.set()
            assert (await full).results
            assert (await classify(registry, LONG)).results, "and whoever comes then starts anew"

    run(story)


def test_one_who_leaves_while_tokenizing_does_not_harm_those_who_joined(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry, preparing(registry, LONG) as (first, task):
            joined = classify(registry, LONG)
            await settle()
            first.cancel()
            await settle()
            task.gate.opened.set()
            assert (await joined).results

    run(story)


def test_who_shares_is_not_refused_for_anothers_inputs(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry, preparing(registry, LONG, "refused") as (first, task):
            joined = classify(registry, LONG)
            await settle()
            task.gate.opened.set()
            with pytest.raises(InvalidInput):
                await first
            assert (await joined).results

    run(story)


# --- Deadlines -------------------------------------------------------------------------------------------------------


def test_the_deadline_is_kept_while_every_worker_is_busy(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, deadline_s=0.1) as registry:
            figures = Figures()
            async with held(registry):
                with pytest.raises(DeadlineExceeded, match=r"^Not answered within 0\.1 s: it was still waiting behind"):
                    await classify(registry, "good", "bad")
            await nothing_is_left(registry)
            assert figures.rows == 1, "of what was held: the late rows cost no pass"

    run(story)


def test_the_deadline_is_kept_in_the_midst_of_a_pass(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, deadline_s=0.1) as registry:
            async with held(registry):
                shared = registry.infer("classify", ["(held)"], PLAIN, "held")
                with pytest.raises(DeadlineExceeded, match=r"the model was still at work on it\.$"):
                    await shared
            await nothing_is_left(registry)

    run(story)


def test_rows_that_wait_for_their_own_request_wait_for_no_other_work(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            request = Request(registry.models["moods"], PLAIN, long=False)
            computation = request.add("key", "good")
            assert computation.stage() == "its inputs were still being tokenized"
            job = Job(request.rows() * 2, request)
            request.begin(job)
            for row in job.rows:
                row.queued = True
            assert computation.stage() == "it was still waiting behind other work"
            job.rows[0].queued = False
            assert computation.stage() == "the model was still at work on it"

    run(story)


def test_the_deadline_counts_from_the_arrival(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, deadline_s=3600) as registry, held(registry):
            now_s = asyncio.get_running_loop().time()
            with pytest.raises(DeadlineExceeded):
                await registry.infer("classify", ["good"], PLAIN, None, arrived_s=now_s - 3600)

    run(story)


def test_who_came_later_to_the_same_computation_has_a_deadline_of_its_own(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, deadline_s=3600) as registry:
            figures = Figures()
            async with held(registry) as gate:
                arrived_s = asyncio.get_running_loop().time() - 3600 + 0.05
                first = asyncio.create_task(registry.infer("classify", ["good"], PLAIN, None, arrived_s=arrived_s))
                second = classify(registry, "good")
                with pytest.raises(DeadlineExceeded):
                    await first
                gate.opened.set()
                assert (await second).results
            await nothing_is_left(registry)
            assert figures.rows == 2, "one of both, beside what was held"

    run(story)


def test_the_deadline_is_kept_while_a_text_is_tokenized(zoo: Path) -> None:
    class Endless(HeldTask):
        def run(self, text: str, parameters: Any) -> Any:
            assert self._gate.opened.wait(PATIENCE_S)
            return (yield from super().run(text, parameters))

    async def story() -> None:
        async with running(zoo, deadline_s=0.1) as registry:
            gate = Gate()
            moods = registry.models["moods"]
            registry.models["endless"] = Served(moods.artifact, Endless(moods.task, gate), moods.metrics)
            try:
                with pytest.raises(DeadlineExceeded, match=r"its inputs were still being tokenized\.$"):
                    await registry.infer("classify", ["x" * 10_001], PLAIN, "endless")
            finally:
                gate.opened.set()
            await nothing_is_left(registry)

    run(story)


def test_the_deadline_of_a_stream_is_that_of_the_whole_answer(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, deadline_s=0.1) as registry:
            async with held(registry):
                pieces = registry.stream("summarize", ["paris is good"], SummarizeParameters(), None)
                with pytest.raises(DeadlineExceeded):
                    await anext(pieces)
            await nothing_is_left(registry)

    run(story)


def test_what_is_too_long_alone_is_refused_at_once_with_the_limit(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, deadline_s=1e-9) as registry:
            figures = Figures()
            sentence = r"^This request is about \S+ s of work and may be 7e-10 s, enough for about \d of its 4 "
            with pytest.raises(InputTooLong, match=sentence):
                await classify(registry, "good")
            await nothing_is_left(registry)
            assert figures.rows == 0

    run(story)


def test_a_lone_row_is_not_shared_by_the_threads(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, threads=4) as registry:
            scheduler = registry._scheduler
            row = registry.models["moods"].task.prepare("good", PLAIN)[1][0]
            assert scheduler.work_s("moods", [row]) == pytest.approx(scheduler.work_s("moods", [row] * 4), rel=0.5)

    run(story)


# --- What is left behind ---------------------------------------------------------------------------------------------


@contextmanager
def collected() -> Iterator[Counter[str]]:
    """By type, what the collector alone can free of all that was made inside."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found.update(type(each).__name__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


OF_A_REQUEST = {"Request", "Job", "Row", "Encoding", "_Work"}


def test_requests_are_freed_without_the_collector(zoo: Path) -> None:
    """Under load it would stop the event loop for tens of milliseconds to find them."""

    async def story() -> None:
        question = Question(question="is?", context="it is paris")
        async with running(zoo, queue_rows=4) as registry:
            with collected() as left:
                for text in ("good", "bad", "poison"):
                    await asyncio.gather(classify(registry, text, "the"), return_exceptions=True)
                    await registry.infer("answer", [question], AnswerParameters(), None)
                async with held(registry) as gate:
                    full = classify(registry, *"abcd")
                    await settle()
                    with pytest.raises(Overloaded):
                        await classify(registry, "good")
                    gate.opened.set()
                    await full
                del full, gate
        assert not OF_A_REQUEST & set(left), left

    run(story)


def test_requests_that_come_too_late_are_freed_without_the_collector(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, deadline_s=0.1) as registry:
            with collected() as left:
                async with held(registry):
                    for text in ("good", "bad"):
                        with pytest.raises(DeadlineExceeded):
                            await classify(registry, text)
                await nothing_is_left(registry)
        assert not OF_A_REQUEST & set(left), left

    run(story)


# --- Cache -----------------------------------------------------------------------------------------------------------


def test_what_was_answered_is_answered_from_the_cache(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, cache_bytes=100_000) as registry:
            figures = Figures()
            first = await classify(registry, "good", "bad")
            again = await classify(registry, "bad", "good")
            assert again.results == first.results[::-1]
            assert (again.model, again.input_tokens) == (first.model, first.input_tokens)
            assert figures.hits == 2
            question, text = Question(question="is?", context="it is paris"), "paris is good"
            for _ in range(2):
                answer = await registry.infer("answer", [question], AnswerParameters(), None)
                summary = await registry.infer("summarize", [text], SummarizeParameters(), None)
                assert answer.results[0]["answer"] == "paris"
                assert (summary.results[0]["summary"], summary.output_tokens) == (text, 3)
        assert (figures.rows, figures.hits) == (2, 2)

    run(story)


def test_the_cache_answers_what_a_full_queue_would_refuse(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, cache_bytes=100_000, queue_rows=1) as registry:
            known = await classify(registry, "good")
            async with held(registry) as gate:
                waiting = classify(registry, "bad")
                await settle()
                assert (await classify(registry, "good")).results == known.results
                with pytest.raises(Overloaded):
                    await classify(registry, "the")
                gate.opened.set()
                await waiting

    run(story)


# --- Requests of several rounds --------------------------------------------------------------------------------------

TEXT = "paris is the capital. the bad is weak. " * 12


class Paused:
    """A summarization that waits between its rounds, on the thread that asks it, until its gate is opened."""

    route = "summarize"

    def __init__(self, task: Any) -> None:
        self._task = task
        self.gate = Gate()

    def run(self, text: str, parameters: Any) -> Any:
        rounds = self._task.run(text, parameters)
        outputs = yield next(rounds)
        self.gate.reached.set()
        assert self.gate.opened.wait(PATIENCE_S)
        while True:
            try:
                rows = rounds.send(outputs)
            except StopIteration as end:
                return end.value
            outputs = yield rows


@asynccontextmanager
async def between_rounds(registry: Registry) -> AsyncIterator[tuple[asyncio.Task[Any], Paused]]:
    """A long summary whose first round is over and whose second has not begun."""
    writer = registry.models["writer"]
    task = Paused(writer.task)
    registry.models["paused"] = Served(writer.artifact, task, writer.metrics)
    # Long for the registry, so that it advances off the event loop; more space says nothing more.
    text = TEXT + " " * 10_000
    asked = asyncio.create_task(registry.infer("summarize", [text], SummarizeParameters(), "paused"))
    assert await asyncio.to_thread(task.gate.reached.wait, PATIENCE_S)
    try:
        yield asked, task
    finally:
        task.gate.opened.set()


async def at_rest(registry: Registry) -> None:
    """No row waits or runs, and the last pass is reported."""
    lines = registry._scheduler._lines.values()

    def empty() -> bool:
        return not any(line.waiting or line.running or len(line.queue) for line in lines)

    await asyncio.to_thread(eventually, empty)
    await settle()


async def nothing_is_left(registry: Registry) -> None:
    """Of any request: what a long one still does in its own thread ends, and begins nothing."""
    await at_rest(registry)
    while advancing := registry._engine._advancing:
        await asyncio.gather(*advancing)
        await at_rest(registry)
    assert not registry._engine._answers._under_way


def test_a_second_round_is_not_refused_when_the_queue_is_full(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, queue_rows=12) as registry:
            alone = await registry.infer("summarize", [TEXT], SummarizeParameters(), None)
            async with between_rounds(registry) as (asked, task), held(registry) as gate:
                words = [
                    "good",
                    "bad",
                    "weak",
                    "slow",
                    "paris",
                    "rival",
                    "void",
                    "the",
                    "is",
                    "in",
                    "strong",
                    "capital",
                ]
                filling = asyncio.create_task(registry.infer("summarize", words, SummarizeParameters(), None))
                await settle()
                with pytest.raises(Overloaded):
                    await registry.infer("summarize", ["one more"], SummarizeParameters(), None)
                task.gate.opened.set()
                await asyncio.to_thread(eventually, lambda: registry._scheduler.depths()["writer"] == 13)
                gate.opened.set()
                assert (await asked).results == alone.results
                assert len((await filling).results) == 12
            await nothing_is_left(registry)
        assert alone.results[0]["pieces"] > 1

    run(story)


def test_a_deadline_in_the_second_round_is_told(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo, deadline_s=0.5) as registry:
            async with between_rounds(registry) as (asked, task):
                expires_s = time.monotonic() + 0.5
                await asyncio.to_thread(eventually, lambda: time.monotonic() > expires_s)
                task.gate.opened.set()
                with pytest.raises(DeadlineExceeded):
                    await asked
            await nothing_is_left(registry)
            assert (await registry.infer("summarize", ["good"], SummarizeParameters(), None)).results

    run(story)


def test_close_between_rounds_is_told(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            async with between_rounds(registry) as (asked, task):
                await asyncio.to_thread(registry.close)
                task.gate.opened.set()
                with pytest.raises(Unavailable):
                    await asked
            await nothing_is_left(registry)

    run(story)


def test_who_leaves_between_rounds_leaves_nothing_behind(zoo: Path) -> None:
    async def story() -> None:
        async with running(zoo) as registry:
            async with between_rounds(registry) as (asked, task):
                asked.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asked
                await at_rest(registry)
                ran = figure("shoal_batch_rows_sum", "writer")
                task.gate.opened.set()
                await asyncio.gather(*registry._engine._advancing)
            await nothing_is_left(registry)
            assert figure("shoal_batch_rows_sum", "writer") == ran, "its second round is not run"
            assert (await registry.infer("summarize", ["good"], SummarizeParameters(), None)).results

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
            asked = registry.infer("summarize", [text], parameters, None)
            (done,) = await asyncio.gather(asked, return_exceptions=True)
            if isinstance(done, BaseException):
                assert isinstance(done, InputTooLong | DeadlineExceeded), done
            else:
                (result,) = done.results
                assert [text[each["start"] : each["end"]][-1] for each in result["sentences"]] == ["."] * 3
                assert result["truncated"] is False
            assert time.monotonic() - began_s < settings.deadline_s + 2
        finally:
            await asyncio.to_thread(registry.close)

    run(story)
