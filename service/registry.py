"""The models that are served: loaded once, found by name or task, and asked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from service.answers import Answer, Answers, Computation
from service.artifact import Artifact, find_artifacts
from service.config import Settings
from service.cpus import cpus
from service.errors import InputTooLong, InvalidInput, ModelNotFound, Unavailable
from service.job import Job
from service.metrics import PassMetrics, watch_queues
from service.queue import Queue, Urgency
from service.request import Outcome, Request, Served
from service.scheduler import Scheduler, Written
from service.tasks.answering import Answering
from service.tasks.classification import Classification
from service.tasks.rounds import Rows
from service.tasks.summarization import Summarization

log = logging.getLogger(__name__)

_TASKS = {
    "text-classification": Classification,
    "question-answering": Answering,
    "summarization": Summarization,
}
# Tokenizing this many characters takes a few milliseconds; more goes off the event loop, and so do their results.
_CHARS_ON_LOOP = 10_000

# Of the deadline that may be spent waiting, by prediction: the rest is for what is not predicted.
_WAIT_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Inference:
    """What a request is answered with."""

    model: str
    results: list[dict[str, Any]]
    input_tokens: int
    output_tokens: int


class Registry:
    """Loads every model under the settings' folder, and owns the scheduler that runs them."""

    def __init__(self, settings: Settings) -> None:
        """Raises ArtifactError if there is nothing to serve, or a folder cannot be served."""
        self.settings = settings
        self._cpus = cpus()
        self.threads = settings.threads or self._cpus.usable
        self.wide_threads = settings.wide_threads or self.threads
        self._scheduler = Scheduler(
            threads=self.threads,
            deliver=self._deliver,
            tell=self._tell,
            longest_wait_s=_WAIT_SHARE * settings.deadline_s,
        )
        self._advancing: set[asyncio.Task[None]] = set()
        self._answers = Answers(cache_bytes=settings.cache_bytes)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unwatch: Callable[[], None] = lambda: None
        artifacts = find_artifacts(settings.models_dir, settings.model_names())
        with ThreadPoolExecutor(self.threads) as pool:
            self.models = {served.artifact.name: served for served in pool.map(self._load, artifacts)}
        urgency = Urgency()
        for name, served in self.models.items():
            model = served.task.model
            queue = Queue(limit=settings.queue_rows, cost=model.cost, urgency=urgency, rest_s=model.rest_s)
            self._scheduler.add(name, model.run, queue, served.metrics, most=model.most)
            self._scheduler.warm_up(*model.warm_up())

    def _load(self, artifact: Artifact) -> Served:
        artifact.verify()
        task = _TASKS[artifact.task](artifact, batch_tokens=self.settings.batch_tokens, wide_threads=self.wide_threads)
        log.info(
            "loaded %s: %s, %s, %d MB", artifact.name, artifact.task, artifact.precision, artifact.size_bytes >> 20
        )
        return Served(artifact, task, PassMetrics(artifact.name))

    def thread_plan(self) -> str:
        """What runs on how many cores, for the log."""
        wide = f"a lone one on up to {self.wide_threads}" if self.wide_threads > 1 else "none wider"
        return f"{self._cpus}: {self.threads} passes side by side on a core each, {wide}"

    def start(self) -> None:
        """Start the workers; answers come to the event loop that this is called on."""
        self._loop = asyncio.get_running_loop()
        self._unwatch = watch_queues(self._scheduler.depths)
        self._scheduler.start()

    def close(self) -> None:
        """Stop the workers; whatever waits is answered with Unavailable. Blocks for a pass at most.

        A second call does nothing.
        """
        self._unwatch()
        self._unwatch = lambda: None
        self._scheduler.close()

    def healthy(self) -> bool:
        """Whether requests would be answered."""
        return self._scheduler.healthy(self.settings.stuck_after_s)

    def default(self, route: str) -> str | None:
        """The model that a route's requests get when they name none: the first by name."""
        return next((name for name, served in self.models.items() if served.task.route == route), None)

    def find(self, route: str, name: str | None) -> Served:
        """Raises ModelNotFound, saying which names would do."""
        fitting = {each: served for each, served in self.models.items() if served.task.route == route}
        chosen = self.default(route) if name is None else name
        if chosen in fitting:
            return fitting[chosen]
        what = f"Model {name!r} is for another task" if name in self.models else f"No model named {name!r}"
        if name is None:
            what = "No model for this is loaded"
        raise ModelNotFound(f"{what}; /v1/{route} is served by: {', '.join(fitting) or 'none'}.")

    async def infer(self, route: str, inputs: Sequence[Any], parameters: Any, model: str | None) -> Inference:
        """Run `inputs` and answer in their order, what is asked already or kept from before only once.

        Raises InvalidInput, ModelNotFound, Overloaded, DeadlineExceeded, InferenceError.
        """
        served = self.find(route, model)
        found: list[Answer | Computation] = []
        try:
            await self._ask(served, inputs, parameters, found)
            answers = [each if isinstance(each, Answer) else await each.answer() for each in found]
        finally:
            self._leave(found)
        return _inference(served, answers)

    async def stream(
        self, route: str, inputs: Sequence[Any], parameters: Any, model: str | None
    ) -> AsyncGenerator[str | Inference]:
        """Run one input: pieces of its answer's text as they are written, and what `infer` returns at the end.

        Pieces that no later token changes; together they are a beginning of the text, mostly all of it. Raises as
        `infer`, and InvalidInput for several inputs.
        """
        if len(inputs) != 1:
            raise InvalidInput(f'"stream" takes one input at a time, and there are {len(inputs)}.')
        served = self.find(route, model)
        found: list[Answer | Computation] = []
        told = ""
        try:
            await self._ask(served, inputs, parameters, found)
            (asked,) = found
            if isinstance(asked, Computation):
                while await asked.progressed():
                    text = served.task.text_so_far(asked.written)
                    if len(text) > len(told) and text.startswith(told):
                        yield text[len(told) :]
                        told = text
            answer = asked if isinstance(asked, Answer) else await asked.answer()
        finally:
            self._leave(found)
        text = served.task.text_of(answer.result)
        if len(text) > len(told) and text.startswith(told):
            yield text[len(told) :]
        yield _inference(served, [answer])

    async def _ask(
        self, served: Served, inputs: Sequence[Any], parameters: Any, found: list[Answer | Computation]
    ) -> None:
        """Find for each input an answer, or the computation that it comes from, which must be left in the end."""
        request = Request(served, parameters, long=self._checked_chars(inputs) > _CHARS_ON_LOOP)
        for item in inputs:
            found.append(self._find(request, (served.artifact.name, item, parameters), item))  # noqa: PERF401
        if request.computations:
            await self._submit(request)

    def _leave(self, found: list[Answer | Computation]) -> None:
        for each in found:
            if isinstance(each, Computation):
                self._answers.leave(each)

    def _find(self, request: Request, key: Hashable, item: Any) -> Answer | Computation:
        """An answer from before, or the computation that it comes from, begun by somebody else or by this request."""
        metrics = request.served.metrics
        if answer := self._answers.cached(key):
            metrics.cache_hits.inc()
            return answer
        if computation := self._answers.under_way(key) or request.computations.get(key):
            metrics.shared.inc()
            computation.waiting += 1
            return computation
        return request.add(key, item)

    async def _submit(self, request: Request) -> None:
        """Bring a request's rows into the queue; from then on others may wait for them too."""
        assert self._loop is not None, "start() comes first"
        name = request.served.artifact.name
        self._scheduler.check(name)  # before the work of tokenizing: under overload refusing must cost little
        rows = await asyncio.to_thread(request.rows) if request.long else request.rows()
        if len(rows) > self.settings.queue_rows:
            raise InputTooLong(
                f"This request makes {len(rows)} rows for the model and its queue holds "
                f"{self.settings.queue_rows}; send fewer or shorter inputs."
            )
        if request.long:
            work_s = self._scheduler.work_s(name, rows)
            if work_s > self.settings.deadline_s:
                raise InputTooLong(
                    f"This request is {work_s:.0f} s of work and is to be answered within "
                    f"{self.settings.deadline_s:g}; send shorter inputs."
                )
        job = Job(rows, request, expires_s=time.perf_counter() + self.settings.deadline_s)
        self._scheduler.submit(name, job)
        request.begin(job)
        for computation in request.computations.values():
            self._answers.begin(computation)

    def _checked_chars(self, inputs: Sequence[Any]) -> int:
        """Characters in all; raises InvalidInput for too many inputs, InputTooLong for a text over the limit."""
        if len(inputs) > self.settings.max_inputs:
            raise InvalidInput(
                f"{len(inputs)} inputs in one request; the limit is {self.settings.max_inputs}. Send several requests."
            )
        total = 0
        for item in inputs:
            for text in (item,) if isinstance(item, str) else (item.question, item.context):
                total += len(text)
                if len(text) > self.settings.max_input_chars:
                    raise InputTooLong(
                        f"A text of {len(text)} characters; the limit is {self.settings.max_input_chars}. "
                        "Send it in parts."
                    )
        return total

    def _deliver(self, jobs: list[Job]) -> None:
        """From a worker thread: one wake-up of the event loop for all jobs of a pass."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._resolve, jobs)

    def _tell(self, written: list[Written]) -> None:
        """From a worker thread: what rows that are watched have come to."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._progress, written)

    def _progress(self, written: list[Written]) -> None:
        for row, tokens in written:
            request: Request = row.job.waiter
            if request.job is row.job:
                request.computation(row).progress(tokens)

    def _resolve(self, jobs: list[Job]) -> None:
        for job in jobs:
            request: Request = job.waiter
            if request.long:
                advancing = asyncio.ensure_future(self._advance_long(request))
                self._advancing.add(advancing)  # the loop itself would let go of it
                advancing.add_done_callback(self._advancing.discard)
            else:
                self._settle(request, *request.advance())

    async def _advance_long(self, request: Request) -> None:
        self._settle(request, *await asyncio.to_thread(request.advance))

    def _settle(self, request: Request, outcomes: list[Outcome], rows: Rows) -> None:
        """Tell those whose answers are there, and run what the others need next."""
        if rows:
            outcomes += self._go_on(request, rows)
        for computation, outcome in outcomes:
            self._answers.settle(computation, outcome)

    def _go_on(self, request: Request, rows: Rows) -> list[Outcome]:
        """The next round of a request that was accepted: its load is no reason to refuse it now."""
        assert request.job is not None
        job = Job(rows, request, expires_s=request.job.expires_s)
        if request.gone:
            job.cancel()
        try:
            self._scheduler.submit(request.served.artifact.name, job, accepted=True)
        except Unavailable as error:
            return request.fail(error)
        request.begin(job)
        return []


def _inference(served: Served, answers: list[Answer]) -> Inference:
    return Inference(
        served.artifact.name,
        [answer.result for answer in answers],
        sum(answer.input_tokens for answer in answers),
        sum(answer.output_tokens for answer in answers),
    )
