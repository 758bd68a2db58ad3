"""Inputs that are being computed now. Identical ones that arrive meanwhile wait for the same computation."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import TypeAlias

from service.engine.loaded_model import LoadedModel
from service.errors import ServiceError
from service.scheduling.job import Job, ModelInput, Row, rows_of
from service.tasks.base import Result, Rounds, TaskResult

# Reading the outputs of rows with this many tokens takes a few milliseconds; those of more are read in a thread.
_TOKENS_ON_LOOP = 1000

Outcome: TypeAlias = "TaskResult[Result] | ServiceError"


class InputState:
    """One input on its way from rows to a result, and who waits for it. Lives on the event loop."""

    __slots__ = (
        "completed",
        "job",
        "key",
        "model",
        "off_loop",
        "partial_outputs",
        "rounds",
        "streaming",
        "waits",
    )

    def __init__(
        self, key: Hashable, model: LoadedModel, rounds: Rounds[Result], *, streaming: bool, off_loop: bool
    ) -> None:
        """`off_loop`: tokenizing it and finishing its result take long, and belong into a thread."""
        self.key = key
        self.model = model
        self.rounds = rounds
        self.streaming = streaming
        self.off_loop = off_loop
        self.job: Job | None = None
        """The rows of the present round; None before the first."""
        self.partial_outputs: list[int] = []
        """Token ids of the result's text that no later pass changes, if it streams."""
        self.waits: list[Wait] = []
        self.completed = False

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits any more."""
        return not self.waits

    @property
    def stage(self) -> str:
        """What it waits for, as a clause for error messages."""
        if self.job is None:
            return "its inputs were still being tokenized"
        if self.job.queued == len(self.job.outputs):
            return "it was still waiting behind other work"
        return "the model was still at work on it"

    def join(self) -> Wait:
        """Wait for its outcome."""
        wait = Wait(self)
        self.waits.append(wait)
        return wait

    def begin(self, inputs: Sequence[ModelInput], *, backlog_s: float = 0.0) -> list[Row]:
        """The rows of its next round, whose outputs its new job collects."""
        self.off_loop = self.off_loop or sum(each.tokens for each in inputs) > _TOKENS_ON_LOOP
        self.job = Job(len(inputs), backlog_s=backlog_s)
        return rows_of(self.job, inputs, streaming=self.streaming)

    def report_progress(self, tokens: list[int]) -> None:
        """Its text goes on: wake those who stream it."""
        if len(tokens) > len(self.partial_outputs):
            self.partial_outputs = tokens
            for wait in self.waits:
                wait.report_progress()


class Wait:
    """One request's interest in one input: a future, and an event if the input streams."""

    __slots__ = ("future", "progressed", "state")

    def __init__(self, state: InputState) -> None:
        self.state = state
        self.future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.progressed = asyncio.Event() if state.streaming else None

    def settle(self, outcome: Outcome) -> None:
        """Set the future's outcome; only the first call counts."""
        if not self.future.done():
            self.future.set_result(outcome)
            self.report_progress()

    def report_progress(self) -> None:
        """Wake who streams."""
        if self.progressed is not None:
            self.progressed.set()

    async def partial_outputs(self) -> list[int] | None:
        """Wait until the text has gone on, and return its token ids; None when the result is there."""
        assert self.progressed is not None, "the input streams"
        await self.progressed.wait()
        self.progressed.clear()
        return None if self.future.done() else self.state.partial_outputs


class InFlight:
    """The inputs that are being computed, by their content. Lives on the event loop."""

    def __init__(self) -> None:
        self._states: dict[tuple[Hashable, bool], InputState] = {}
        """By content and whether they stream: what no stream asked for reports no partial outputs."""

    def __len__(self) -> int:
        return len(self._states)

    def get(self, key: Hashable, *, streaming: bool) -> InputState | None:
        """The computation that an identical input may wait for. A stream cannot join one that does not stream."""
        return self._states.get((key, streaming)) or self._states.get((key, True))

    def register(self, state: InputState) -> None:
        """Let identical inputs join from now on."""
        self._states[state.key, state.streaming] = state

    def release(self, wait: Wait) -> bool:
        """Wait no longer; returns whether this was the last one to wait for a result that is not there yet."""
        state = wait.state
        state.waits.remove(wait)
        if state.waits or state.completed:
            return False
        self._remove(state)
        return True

    def complete(self, state: InputState, outcome: Outcome) -> None:
        """Give the outcome to all who wait. Whoever asks from now on starts anew."""
        state.completed = True
        self._remove(state)
        for wait in state.waits:
            wait.settle(outcome)

    def _remove(self, state: InputState) -> None:
        if self.get(state.key, streaming=state.streaming) is state:
            del self._states[state.key, state.streaming]
