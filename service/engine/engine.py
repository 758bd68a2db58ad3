"""Runs requests: from the cache, by joining an identical input in flight, or by submitting a job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Hashable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from service.config import Settings
from service.engine.cache import ResultCache
from service.engine.deadlines import Deadlines
from service.engine.in_flight import InFlight, InputState, Outcome, Wait
from service.engine.loaded_model import LoadedModel
from service.engine.request import RequestState, advance, checked_sizes, first_rounds, of_item
from service.errors import DeadlineExceeded, InputTooLong, InvalidInput, ServiceError, Unavailable
from service.metrics import REFUSALS
from service.scheduling.job import Job, ModelInput
from service.scheduling.scheduler import Scheduler
from service.scheduling.step import PartialOutput
from service.tasks.base import Result, StreamingTask, TaskResult

log = logging.getLogger(__name__)

# Tokenizing this much UTF-8 takes up to 8 ms in any script; a longer request is tokenized and finished in a thread.
_BYTES_ON_LOOP = 4000

# Share of the deadline that waiting may take, or a request's own work, as estimated; the rest is for wrong estimates.
# Of 100,000 characters the work was 1.07 times the estimate (answer) and 1.24 times (summarize, later rounds left out).
_ESTIMATED_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class ItemError(Result):
    """What stands for the result of an input that could not be answered, if the request asks for that."""

    error: str
    """A sentence that says what was wrong and what to do."""
    error_type: str
    """A word for programs."""


@dataclass(frozen=True, slots=True)
class Inference:
    """What a request is answered with."""

    model: str
    results: list[Result]
    """By input, in their order; of the task's result type or ItemErrors."""
    input_tokens: int
    output_tokens: int


class Engine:
    """Answers requests on the event loop that it was started on; owns the scheduler that runs their rows.

    A request is accepted, its inputs are looked up, and those that nobody computes yet are enqueued. Workers report
    jobs that are done; each input then goes on to its next round, or its outcome is published to all who wait for it.
    """

    def __init__(self, settings: Settings, *, threads: int) -> None:
        self._settings = settings
        self.scheduler = Scheduler(
            threads=threads,
            deliver=self._deliver,
            on_partial_outputs=self._deliver_partial_outputs,
            max_wait_s=_ESTIMATED_SHARE * settings.request_timeout_s,
        )
        self._cache = ResultCache(max_bytes=settings.cache_bytes)
        self._in_flight = InFlight()
        self._deadlines = Deadlines(self._on_deadline)
        self._running: dict[Job, InputState] = {}
        """By the job of their present round."""
        self._advancing: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Start the workers; call it on the event loop that requests come from."""
        self._loop = asyncio.get_running_loop()
        self.scheduler.start()

    async def infer(
        self,
        model: LoadedModel,
        inputs: Sequence[object],
        parameters: BaseModel,
        *,
        arrived_s: float | None = None,
        per_item: bool = False,
    ) -> Inference:
        """Run `inputs` and return their results in their order. Identical inputs are computed once.

        The deadline counts from `arrived_s`, by the event loop's clock; None is now. Raises InvalidInput, InputTooLong,
        Overloaded, Unavailable, DeadlineExceeded, InferenceError; with `per_item`, what a single input fails by is its
        result, and raised only if all fail. An input may be such an error already.
        """
        request, kept = self._request(model, inputs, parameters, arrived_s, per_item=per_item)
        try:
            await self._accept(request, kept)
            outcomes = await _outcomes(request)
        finally:
            self._release(request)
        return _inference(model, outcomes)

    async def stream(
        self, model: LoadedModel, inputs: Sequence[object], parameters: BaseModel, *, arrived_s: float | None = None
    ) -> AsyncGenerator[str | Inference]:
        """Run one input: pieces of its text while it is made, and in the end what `infer` returns.

        The pieces are final and together a beginning of the text, mostly all of it. Raises as `infer` does, whose
        deadline is that of the whole answer, and InvalidInput for several inputs or a task that does not stream.
        """
        task = model.task
        if not isinstance(task, StreamingTask):
            raise InvalidInput(f"/v1/{task.route} does not stream.")
        if len(inputs) != 1:
            raise InvalidInput(f'"stream" takes one input at a time, and there are {len(inputs)}.')
        request, kept = self._request(model, inputs, parameters, arrived_s, streaming=True)
        sent = ""
        try:
            await self._accept(request, kept)
            (found,) = request.found
            if isinstance(found, Wait):
                while (tokens := await found.partial_outputs()) is not None:
                    text = task.text_so_far(tokens)
                    if len(text) > len(sent) and text.startswith(sent):
                        yield text[len(sent) :]
                        sent = text
            (outcome,) = await _outcomes(request)
        finally:
            self._release(request)
        assert isinstance(outcome, TaskResult), "an error was raised"
        text = task.text_of(outcome.result)
        if len(text) > len(sent) and text.startswith(sent):
            yield text[len(sent) :]
        yield _inference(model, [outcome])

    def _request(
        self,
        model: LoadedModel,
        inputs: Sequence[object],
        parameters: BaseModel,
        arrived_s: float | None,
        *,
        streaming: bool = False,
        per_item: bool = False,
    ) -> tuple[RequestState, list[object]]:
        """A request within the limits, whose deadline's clock runs, and its inputs; see `checked_sizes`."""
        sizes = checked_sizes(model, inputs, self._settings, per_item=per_item)
        loop = asyncio.get_running_loop()
        expires_s = (loop.time() if arrived_s is None else arrived_s) + self._settings.request_timeout_s
        request = RequestState(
            model,
            parameters,
            expires_s,
            streaming=streaming,
            chars=sizes.chars,
            off_loop=sizes.size_bytes > _BYTES_ON_LOOP,
            per_item=per_item,
        )
        self._deadlines.add(request)
        return request, sizes.inputs

    def _on_deadline(self, request: RequestState) -> None:
        for found in request.found:
            if isinstance(found, Wait):
                found.settle(self._deadline_exceeded(found.state.stage))

    def _deadline_exceeded(self, stage: str) -> DeadlineExceeded:
        return DeadlineExceeded(f"Not answered within {self._settings.request_timeout_s:g} s: {stage}.")

    async def _accept(self, request: RequestState, inputs: Sequence[object]) -> None:
        """Find a result or a computation for each input, and submit what nobody computes yet.

        Raises InvalidInput, InputTooLong, Overloaded, Unavailable, DeadlineExceeded.
        """
        parameters = tuple(vars(request.parameters).values())
        for item in inputs:
            if isinstance(item, ServiceError):
                request.found.append(item)
                continue
            key = (request.model.name, _content(item), parameters)
            request.found.append(self._lookup(request, key, item))  # released even if one raises
        if not request.new:
            return
        backlog_s = self.scheduler.admit(request.model.name)  # before tokenizing: a refusal must cost little
        states = list(request.new.values())
        if request.off_loop:
            rounds = await self._tokenized_off_loop(request, states)
        else:
            rounds = first_rounds(states, per_item=request.per_item)
        self._submit(request, states, rounds, backlog_s)

    def _lookup(self, request: RequestState, key: Hashable, item: object) -> TaskResult[Result] | Wait:
        """A result from the cache, or a wait for a computation in flight or a new one."""
        metrics = request.model.metrics
        if result := self._cache.get(key):
            metrics.cache_hits.inc()
            return result
        state = self._in_flight.get(key, streaming=request.streaming) or request.new.get(key)
        if state is not None:
            metrics.shared.inc()
        else:
            rounds = request.model.task.run(item, request.parameters)
            state = InputState(key, request.model, rounds, streaming=request.streaming, off_loop=request.off_loop)
            request.new[key] = state
        return state.join()

    def _submit(
        self,
        request: RequestState,
        states: Sequence[InputState],
        rounds: Sequence[Sequence[ModelInput] | ServiceError],
        backlog_s: float,
    ) -> None:
        """Submit the rows of new inputs; identical inputs may join them from then on."""
        runnable = self._runnable(request, states, rounds)
        self._check_work(request, [each for _, inputs in runnable for each in inputs])
        rows = []
        for state, inputs in runnable:
            rows += state.begin(inputs, backlog_s=backlog_s)
        self.scheduler.submit(request.model.name, rows)
        for state, _ in runnable:
            self._run(state)
            self._in_flight.register(state)

    async def _tokenized_off_loop(
        self, request: RequestState, states: Sequence[InputState]
    ) -> list[Sequence[ModelInput] | ServiceError]:
        try:
            async with asyncio.timeout_at(request.expires_s):
                return await asyncio.to_thread(first_rounds, states, per_item=request.per_item)
        except TimeoutError:
            raise self._deadline_exceeded(states[0].stage) from None

    def _runnable(
        self,
        request: RequestState,
        states: Sequence[InputState],
        rounds: Sequence[Sequence[ModelInput] | ServiceError],
    ) -> list[tuple[InputState, Sequence[ModelInput]]]:
        """The new inputs that can be run, with their rows; raises what another is refused for, unless `per_item`."""
        runnable = []
        for state, inputs in zip(states, rounds, strict=False):  # the rounds may end with the first error
            first = inputs
            if request.per_item and not isinstance(first, ServiceError):
                first = self._checked_alone(request, first)
            if not isinstance(first, ServiceError):
                runnable.append((state, first))
            elif request.per_item:
                self._in_flight.complete(state, first)
            else:
                raise of_item(first, request.index_of(state), len(request.found))
        return runnable

    def _checked_alone(
        self, request: RequestState, inputs: Sequence[ModelInput]
    ) -> Sequence[ModelInput] | InputTooLong:
        try:
            self._check_work(request, inputs, "This input")
        except InputTooLong as error:
            return error.with_traceback(None)
        return inputs

    def _check_work(self, request: RequestState, inputs: Sequence[ModelInput], what: str = "This request") -> None:
        """Raise InputTooLong for what could not be answered in time if nothing else were asked."""
        if len(inputs) > self._settings.max_queue_size:
            raise InputTooLong(
                f"{what} makes {len(inputs)} rows for the model and its queue holds "
                f"{self._settings.max_queue_size}; send fewer or shorter inputs."
            )
        estimated_s = self.scheduler.estimated_s(request.model.name, inputs)
        limit_s = _ESTIMATED_SHARE * self._settings.request_timeout_s
        if estimated_s > limit_s:
            raise InputTooLong(
                f"{what} is about {estimated_s:.2g} s of work and may be {limit_s:.2g} s, enough for about "
                f"{int(request.chars * limit_s / estimated_s)} of its {request.chars} characters. Send shorter inputs."
            )

    def _run(self, state: InputState) -> None:
        assert state.job is not None, "it has begun a round"
        self._running[state.job] = state

    def _release(self, request: RequestState) -> None:
        """The request waits for nothing any more; what nobody else waits for is cancelled."""
        self._deadlines.remove(request)
        for found in request.found:
            if isinstance(found, Wait) and self._in_flight.release(found) and found.state.job is not None:
                found.state.job.cancel()

    def _deliver(self, jobs: list[Job]) -> None:
        """Called on a worker thread: wake the event loop once for all jobs of a pass."""
        assert self._loop is not None, "start() comes first"
        self._loop.call_soon_threadsafe(self._on_jobs_done, jobs)

    def _deliver_partial_outputs(self, outputs: list[PartialOutput]) -> None:
        """Called on a worker thread: what streaming rows have come to."""
        assert self._loop is not None, "start() comes first"
        self._loop.call_soon_threadsafe(self._on_partial_outputs, outputs)

    def _on_partial_outputs(self, outputs: list[PartialOutput]) -> None:
        for row, tokens in outputs:
            if state := self._running.get(row.job):
                state.report_progress(tokens)

    def _on_jobs_done(self, jobs: list[Job]) -> None:
        for job in jobs:
            state = self._running.pop(job)
            if state.abandoned:
                continue
            if state.off_loop:
                advancing = asyncio.ensure_future(self._advance_off_loop(state))
                self._advancing.add(advancing)  # the event loop itself keeps only a weak reference
                advancing.add_done_callback(self._advancing.discard)
            else:
                self._go_on(state, _advanced(state))

    async def _advance_off_loop(self, state: InputState) -> None:
        self._go_on(state, await asyncio.to_thread(_advanced, state))

    def _go_on(self, state: InputState, advanced: Outcome | Sequence[ModelInput]) -> None:
        """Publish an outcome, or submit the rows of the next round."""
        if isinstance(advanced, TaskResult | ServiceError):
            self._publish(state, advanced)
        elif not state.abandoned:
            self._submit_next_round(state, advanced)

    def _publish(self, state: InputState, outcome: Outcome) -> None:
        """Give the outcome of an input to all who wait for it, and keep a result."""
        if isinstance(outcome, TaskResult):
            state.model.metrics.computed(output_tokens=outcome.output_tokens, truncated=outcome.truncated)
            self._cache.add(state.key, outcome)
        self._in_flight.complete(state, outcome)

    def _submit_next_round(self, state: InputState, inputs: Sequence[ModelInput]) -> None:
        """The input was accepted before, so its further rounds are not refused for load."""
        rows = state.begin(inputs)
        try:
            self.scheduler.submit(state.model.name, rows, over_limit=True)
        except Unavailable as error:
            self._publish(state, error.with_traceback(None))
            return
        self._run(state)


def _advanced(state: InputState) -> Outcome | Sequence[ModelInput]:
    """As `advance`; a fault in the task is logged, and is one input's error only."""
    try:
        return advance(state)
    except Exception:
        log.exception("a result of %s could not be made", state.model.name)
        return ServiceError("A fault of the server; its log says more.")


async def _outcomes(request: RequestState) -> list[Outcome]:
    """Wait for the outcome of each input. Raises the first error, with `per_item` only if all inputs have failed."""
    outcomes: list[Outcome] = []
    for index, found in enumerate(request.found):
        outcome = await found.future if isinstance(found, Wait) else found
        if isinstance(outcome, ServiceError) and not request.per_item:
            raise of_item(outcome, index, len(request.found))
        outcomes.append(outcome)
    first = outcomes[0]
    if isinstance(first, ServiceError) and not any(isinstance(each, TaskResult) for each in outcomes):
        raise of_item(first, 0, len(outcomes))
    return outcomes


def _content(item: object) -> Hashable:
    """A text, or the fields of a pydantic model, which takes long to hash itself."""
    return item if isinstance(item, str) else tuple(vars(item).values())


def _item_error(error: ServiceError) -> ItemError:
    REFUSALS.labels(error.code).inc()
    return ItemError(str(error), error.code)


def _inference(model: LoadedModel, outcomes: list[Outcome]) -> Inference:
    results = [each for each in outcomes if isinstance(each, TaskResult)]
    return Inference(
        model.name,
        [each.result if isinstance(each, TaskResult) else _item_error(each) for each in outcomes],
        sum(each.input_tokens for each in results),
        sum(each.output_tokens for each in results),
    )
