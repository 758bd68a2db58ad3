"""What becomes of a request: answered from before, by what is under way, or by a job, round after round."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from service.answers import Answer, Answers, Computation
from service.config import Settings
from service.errors import DeadlineExceeded, InputTooLong, InvalidInput, Unavailable
from service.job import Job
from service.request import Outcome, Request, Served, checked_size
from service.scheduler import Scheduler
from service.tasks.rounds import Rows
from service.turn import Written

# Tokenizing this much UTF-8 takes up to 8 ms in any script; a longer request is tokenized and answered in a thread.
_BYTES_ON_LOOP = 4000

# Of the deadline that waiting may take, or a request's own work, by prediction; the rest is for what is not predicted.
# Of 100,000 characters the work was 1.07 times that (answer), and 1.24 (summarize, whose later rounds are not in it).
_PREDICTED_SHARE = 0.7

_Result = TypeVar("_Result")


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
        self._longest_s = _PREDICTED_SHARE * settings.deadline_s
        self.scheduler = Scheduler(
            threads=threads,
            deliver=self._deliver,
            tell=self._tell,
            longest_wait_s=self._longest_s,
        )
        self._advancing: set[asyncio.Task[None]] = set()
        self._answers = Answers(cache_bytes=settings.cache_bytes)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Start the workers; answers come to the event loop that this is called on."""
        self._loop = asyncio.get_running_loop()
        self.scheduler.start()

    async def infer(
        self, served: Served, inputs: Sequence[Any], parameters: Any, *, arrived_s: float | None = None
    ) -> Inference:
        """Run `inputs` and answer in their order, what is asked already or kept from before only once.

        The deadline counts from `arrived_s`, by the event loop's clock; None is now. When it passes DeadlineExceeded is
        raised, whatever the workers do then. Raises InvalidInput, Overloaded, InferenceError too.
        """
        found: list[Answer | Computation] = []
        ends_s = self._ends_s(arrived_s)
        try:
            answers = await self._in_time(self._answers_to(served, inputs, parameters, found), found, ends_s)
        finally:
            self._leave(found)
        return _inference(served, answers)

    async def stream(
        self, served: Served, inputs: Sequence[Any], parameters: Any, *, arrived_s: float | None = None
    ) -> AsyncGenerator[str | Inference]:
        """Run one input: pieces of its answer's text as they are written, and what `infer` returns at the end.

        Pieces that no later token changes; together they are a beginning of the text, mostly all of it. Raises as
        `infer`, whose deadline is that of the whole answer, and InvalidInput for several inputs.
        """
        if len(inputs) != 1:
            raise InvalidInput(f'"stream" takes one input at a time, and there are {len(inputs)}.')
        found: list[Answer | Computation] = []
        told = ""
        ends_s = self._ends_s(arrived_s)
        try:
            await self._in_time(self._ask(served, inputs, parameters, found), found, ends_s)
            (asked,) = found
            if isinstance(asked, Computation):
                while await self._in_time(asked.progressed(), found, ends_s):
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

    def _ends_s(self, arrived_s: float | None) -> float:
        """When the deadline of what arrived then is over."""
        if arrived_s is None:
            arrived_s = asyncio.get_running_loop().time()
        return arrived_s + self._settings.deadline_s

    async def _in_time(
        self, work: Coroutine[Any, Any, _Result], found: list[Answer | Computation], ends_s: float
    ) -> _Result:
        """What `work` comes to; raises DeadlineExceeded, saying what was waited for, if that takes until `ends_s`."""
        clock = asyncio.timeout_at(ends_s)
        try:
            async with clock:
                return await work
        except TimeoutError:
            if not clock.expired():
                raise  # a fault of its own
            waiting = (each.stage() for each in found if isinstance(each, Computation) and not each.done)
            stage = next(waiting, "its answer was not sent yet")
            raise DeadlineExceeded(f"Not answered within {self._settings.deadline_s:g} s: {stage}.") from None
        finally:
            del clock  # an error that is raised keeps this frame; the clock keeps the task, and that the error

    async def _answers_to(
        self, served: Served, inputs: Sequence[Any], parameters: Any, found: list[Answer | Computation]
    ) -> list[Answer]:
        await self._ask(served, inputs, parameters, found)
        return [each if isinstance(each, Answer) else await each.answer() for each in found]

    async def _ask(
        self, served: Served, inputs: Sequence[Any], parameters: Any, found: list[Answer | Computation]
    ) -> None:
        """Find for each input an answer, or the computation that it comes from, which must be left in the end."""
        chars, size_bytes = checked_size(inputs, self._settings)
        request = Request(served, parameters, long=size_bytes > _BYTES_ON_LOOP)
        name, chosen = served.artifact.name, _content(parameters)
        for item in inputs:
            found.append(self._find(request, (name, _content(item), chosen), item))  # noqa: PERF401
        if request.computations:
            await self._submit(request, chars)

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

    async def _submit(self, request: Request, chars: int) -> None:
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
        work_s = self.scheduler.work_s(name, rows)
        if work_s > self._longest_s:
            raise InputTooLong(
                f"This request is about {work_s:.2g} s of work and may be {self._longest_s:.2g} s, enough for about "
                f"{int(chars * self._longest_s / work_s)} of its {chars} characters. Send shorter inputs."
            )
        job = Job(rows, request)
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
        job = Job(rows, request)
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
