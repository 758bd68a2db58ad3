"""Doubles of the scheduler's surroundings: jobs that can be waited for, an observer, models that echo."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from service.scheduling.cost_model import CostModel
from service.scheduling.job import Job, ModelInput, Pass, Passes, Row, rows_of
from service.scheduling.queue import Queue, Urgency
from service.scheduling.scheduler import Scheduler

PATIENCE_S = 20
Run = Callable[[list[Row]], Passes]


class RecordingObserver:
    """An observer that records its calls."""

    def __init__(self) -> None:
        self.waits_s: list[float] = []
        self.batches: list[int] = []
        self.failed_rows = 0
        self.saved_passes = 0

    def started(self, waits_s: list[float]) -> None:
        self.waits_s += waits_s

    def ran(self, *, rows: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        assert tokens <= padded_tokens
        assert seconds >= 0
        self.batches.append(rows)

    def saved(self, passes: int) -> None:
        self.saved_passes += passes

    def failed(self, rows: int) -> None:
        self.failed_rows += rows


class SubmittedJob(Job):
    """A job that knows its rows and can be waited for."""

    __slots__ = ("done", "rows")

    def __init__(self, inputs: Sequence[tuple[Any, int]]) -> None:
        """`inputs` are (what the model reads, its length in tokens)."""
        super().__init__(len(inputs))
        self.rows = rows_of(self, [ModelInput(*each) for each in inputs])
        self.done = threading.Event()


class SchedulerDouble:
    """A scheduler, and the jobs that it delivered in each call."""

    def __init__(self, *, threads: int = 1, max_wait_s: float = math.inf) -> None:
        self.calls: list[list[Job]] = []
        self.observers: dict[str, RecordingObserver] = {}
        self.exclusive: list[bool] = []
        self._urgency = Urgency()
        self.scheduler = Scheduler(threads=threads, deliver=self._deliver, max_wait_s=max_wait_s)

    def _deliver(self, jobs: list[Job]) -> None:
        self.calls.append(jobs)
        for job in jobs:
            assert isinstance(job, SubmittedJob)
            job.done.set()

    def add_model(self, name: str, run: Run, *, limit: int = 1000, free: bool = False) -> None:
        """`free` rows cost almost nothing by the cost model, so that they are due when they arrive."""
        self.observers[name] = RecordingObserver()
        prior = {"pass_s": 1e-9, "token_s": 0.0} if free else {}
        cost = CostModel(max_tokens=512, batch_tokens=256, **prior)
        queue = Queue(limit=limit, cost=cost, urgency=self._urgency)

        def run_batch(rows: list[Row], *, exclusive: bool) -> Passes:
            self.exclusive.append(exclusive)
            return run(rows)

        self.scheduler.add(name, run_batch, queue, self.observers[name])

    def submit(self, name: str, *inputs: Any, tokens: int = 4) -> SubmittedJob:
        job = SubmittedJob([(item, tokens) for item in inputs])
        job.backlog_s = self.scheduler.admit(name)
        self.scheduler.submit(name, job.rows)
        return job

    def delivered(self) -> list[Job]:
        return [job for call in self.calls for job in call]


@contextmanager
def running_scheduler(*, threads: int = 1, free: bool = False, **models: Run) -> Iterator[SchedulerDouble]:
    """A running scheduler with these models, which is closed in the end."""
    made = SchedulerDouble(threads=threads)
    for name, run in models.items():
        made.add_model(name, run, free=free)
    made.scheduler.start()
    try:
        yield made
    finally:
        made.scheduler.close()


def results(job: SubmittedJob) -> list[Any]:
    """Wait for the job and return its outputs; raises the job's error."""
    assert job.done.wait(PATIENCE_S), "no answer"
    return job.results()


def done(rows: list[Row], finished: list[tuple[Row, Any]]) -> Pass:
    tokens = sum(row.tokens for row in rows)
    return Pass(finished, len(rows), tokens, tokens)


def echo(rows: list[Row]) -> Passes:
    """One pass that answers each row with its input; "poison" raises."""
    if any(row.inputs == "poison" for row in rows):
        raise ValueError("poison")
    yield done(rows, [(row, row.inputs) for row in rows])


class Gate:
    """A run that echoes, but stops in the pass of a "hold" row until it is opened."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.held = threading.Event()
        self._opened = threading.Event()

    def __call__(self, rows: list[Row]) -> Passes:
        self.seen += [row.inputs for row in rows]
        if any(row.inputs == "hold" for row in rows):
            self.held.set()
            assert self._opened.wait(PATIENCE_S)
        yield from echo(rows)

    def wait(self) -> None:
        assert self.held.wait(PATIENCE_S), "nothing is held"

    def open(self) -> None:
        self._opened.set()
