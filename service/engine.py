"""What becomes of a request: answered from before, by what is under way, or by a job, round after round."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from service.answers import Answer, Answers, Computation
from service.config import Settings
from service.errors import InputTooLong, InvalidInput, Unavailable
from service.job import Job
from service.request import Outcome, Request, Served, checked_bytes
from service.scheduler import Scheduler
from service.tasks.rounds import Rows
from service.turn import Written

# Tokenizing this much UTF-8 takes up to 8 ms in any script; a longer request is tokenized and answered in a thread.
_BYTES_ON_LOOP = 4000

# Of the deadline that may be spent waiting, by prediction: the rest is for what is not predicted.
_WAIT_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Inference:
    """What a request is answered with."""

    model: str
    results: list[dict[str, Any]]
    input_tokens: int
    output_tokens: int


class Engine:
    """Asks models for answers, from the event loop that it was started on; owns the scheduler that runs them."""

    def __init__(self, settings: Settings, *, threads: int) -> None:
        self._settings = settings
        self.scheduler = Scheduler(
            threads=threads,
            deliver=self._deliver,
            tell=self._tell,
            longest_wait_s=_WAIT_SHARE * settings.deadline_s,
        )
        self._advancing: set[asyncio.Task[None]] = set()
        self._answers = Answers(cache_bytes=settings.cache_bytes)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Start the workers; answers come to the event loop that this is called on."""
        self._loop = asyncio.get_running_loop()
        self.scheduler.start()

    async def infer(self, served: Served, inputs: Sequence[Any], parameters: Any) -> Inference:
        """Run `inputs` and answer in their order, what is asked already or kept from before only once.

        Raises InvalidInput, Overloaded, DeadlineExceeded, InferenceError.
        """
        found: list[Answer | Computation] = []
        try:
            await self._ask(served, inputs, parameters, found)
            answers = [each if isinstance(each, Answer) else await each.answer() for each in found]
        finally:
            self._leave(found)
        return _inference(served, answers)

    async def stream(self, served: Served, inputs: Sequence[Any], parameters: Any) -> AsyncGenerator[str | Inference]:
        """Run one input: pieces of its answer's text as they are written, and what `infer` returns at the end.

        Pieces that no later token changes; together they are a beginning of the text, mostly all of it. Raises as
        `infer`, and InvalidInput for several inputs.
        """
        if len(inputs) != 1:
            raise InvalidInput(f'"stream" takes one input at a time, and there are {len(inputs)}.')
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
        request = Request(served, parameters, long=checked_bytes(inputs, self._settings) > _BYTES_ON_LOOP)
        name, chosen = served.artifact.name, _content(parameters)
        for item in inputs:
            found.append(self._find(request, (name, _content(item), chosen), item))  # noqa: PERF401
        if request.computations:
            await self._submit(request)

    def _leave(self, found: list[Answer | Computation]) -> None:
        for each in found:
            if isinstance(each, Computation):
                self._answers.leave(each)
        found.clear()  # an error that was raised keeps the frame that has this, and a computation keeps its error

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
        self.scheduler.check(name)  # before the work of tokenizing: under overload refusing must cost little
        rows = await asyncio.to_thread(request.rows) if request.long else request.rows()
        if len(rows) > self._settings.queue_rows:
            raise InputTooLong(
                f"This request makes {len(rows)} rows for the model and its queue holds "
                f"{self._settings.queue_rows}; send fewer or shorter inputs."
            )
        if request.long:
            work_s = self.scheduler.work_s(name, rows)
            if work_s > self._settings.deadline_s:
                raise InputTooLong(
                    f"This request is {work_s:.0f} s of work and is to be answered within "
                    f"{self._settings.deadline_s:g}; send shorter inputs."
                )
        job = Job(rows, request, expires_s=time.perf_counter() + self._settings.deadline_s)
        self.scheduler.submit(name, job)
        request.begin(job)
        for computation in request.computations.values():
            self._answers.begin(computation)

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
            request: Request | None = row.job.waiter
            if request is not None and request.job is row.job:
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
            self.scheduler.submit(request.served.artifact.name, job, accepted=True)
        except Unavailable as error:
            return request.fail(error)
        request.begin(job)
        return []


def _content(given: Any) -> Hashable:
    """A text, or what a model of pydantic's holds, whose own way to a hash is long."""
    return given if isinstance(given, str) else tuple(vars(given).values())


def _inference(served: Served, answers: list[Answer]) -> Inference:
    results, read, written = [], 0, 0
    for answer in answers:
        results.append(answer.result)
        read += answer.input_tokens
        written += answer.output_tokens
    return Inference(served.artifact.name, results, read, written)
