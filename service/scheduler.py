"""Worker threads that take turns over the models' queues; one turn is one forward pass.

Rules: a lone row never waits for company (no timer: what piled up while the workers were busy is the batch);
every accepted row is answered exactly once; a batch that raises runs again row by row, so a failing row fails
alone; queues are bounded and take all rows of a job or none.

The scheduler knows neither HTTP nor ONNX. A model is a callable `run(rows)` that returns an iterator of passes:
each `next()` runs one forward pass and says which rows it finished. An encoder's iterator has one pass. A decoder's
has one a step, and is put back in line after each, behind whoever came meanwhile: a long summary holds up a short
classification by one step at most (Orca's iteration-level scheduling, OSDI '22, at the grain of a batch).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.errors import InferenceError, Overloaded, ServiceError, Unavailable
from service.job import Job, Passes, Row
from service.queue import Queue

log = logging.getLogger(__name__)

Run = Callable[[list[Row]], Passes]


class Observer(Protocol):
    """Where a line's figures go; see metrics.PassMetrics."""

    def started(self, waits_s: list[float]) -> None:
        """A batch left the queue after these waits."""

    def ran(self, *, rows: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """One forward pass is over."""

    def failed(self, rows: int) -> None:
        """Rows were given up."""


@dataclass(slots=True, eq=False)
class _Batch:
    """Rows that run together, between two passes; `passes` is None before the first."""

    line: _Line
    rows: list[Row]
    since_s: float
    passes: Passes | None = None
    again: bool = False
    """Whether it runs again after a failure."""


@dataclass(slots=True, eq=False)
class _Line:
    """One model: its queue, the batches that are under way, how it runs and who watches."""

    name: str
    queue: Queue
    run: Run
    observer: Observer
    batches: deque[_Batch] = field(default_factory=deque)

    def waiting_since_s(self) -> float | None:
        """When the one that waits longest got in line, None when nobody waits."""
        oldest = self.queue.oldest()
        times = [self.batches[0].since_s] if self.batches else []
        if oldest is not None:
            times.append(oldest.arrived_s)
        return min(times, default=None)

    def take(self) -> _Batch:
        """The batch to run next: the one under way that waits longest, or a fresh one from the queue."""
        oldest = self.queue.oldest()
        if self.batches and (oldest is None or self.batches[0].since_s <= oldest.arrived_s):
            return self.batches.popleft()
        rows = self.queue.take()
        return _Batch(self, rows, rows[0].arrived_s)


def _since(entry: tuple[float, _Line]) -> float:
    return entry[0]


class Scheduler:
    """Owns the worker threads and the lines. `deliver` gets the jobs that a pass completed, from a worker thread."""

    def __init__(self, *, threads: int, deliver: Callable[[list[Job]], None]) -> None:
        self._deliver = deliver
        self._lines: dict[str, _Line] = {}
        self._lock = threading.Condition()
        self._closing = False
        self._pass_began_s: list[float | None] = [None] * threads
        self._threads = [
            threading.Thread(target=self._work, args=(index,), name=f"shoal-worker-{index}", daemon=True)
            for index in range(threads)
        ]

    def add(self, name: str, run: Run, queue: Queue, observer: Observer) -> None:
        """Give a model its line. Call before `start`."""
        self._lines[name] = _Line(name, queue, run, observer)

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()

    def submit(self, name: str, job: Job) -> None:
        """Queue all rows of `job`, or none: raises Overloaded when they don't fit, Unavailable after `close`."""
        now_s = time.perf_counter()
        for row in job.rows:
            row.arrived_s = now_s
        with self._lock:
            if self._closing:
                raise Unavailable("The server is shutting down; send the request to another one.")
            queue = self._lines[name].queue
            if not queue.put(job.rows):
                raise Overloaded(
                    f"Model {name!r} has {len(queue)} rows waiting and room for {queue.limit}; this request brings "
                    f"{len(job.rows)}. Try again in a moment, or send fewer inputs at once."
                )
            self._lock.notify(min(len(job.rows), len(self._threads)))

    def depths(self) -> dict[str, int]:
        """Rows that wait for their first pass, by model."""
        with self._lock:
            return {name: len(line.queue) for name, line in self._lines.items()}

    def healthy(self, stuck_after_s: float) -> bool:
        """Whether every worker lives and none has been in one pass for longer than `stuck_after_s`. Takes no lock."""
        since_s = min((began for began in self._pass_began_s if began is not None), default=None)
        stuck = since_s is not None and time.perf_counter() - since_s > stuck_after_s
        return not stuck and not self._closing and all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Let the passes that run end, answer whatever still waits with Unavailable. A second call does nothing."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        left: list[Row] = []
        for line in self._lines.values():
            left += line.queue.clear()
            while line.batches:
                left += line.batches.popleft().rows
        self._answer([(row, Unavailable("The server shut down before this request was run.")) for row in left])

    # Everything below runs on the worker threads.

    def _work(self, worker: int) -> None:
        while (batch := self._next_batch()) is not None:
            self._pass_began_s[worker] = time.perf_counter()
            # Whatever is raised, SystemExit too, rows are answered and the worker lives.
            try:
                self._turn(batch)
            except BaseException as error:  # noqa: BLE001
                self._give_up(batch, error)
            self._pass_began_s[worker] = None

    def _next_batch(self) -> _Batch | None:
        """Wait for work, then serve the line whose first has waited longest. None means stop."""
        with self._lock:
            while not self._closing:
                waiting = ((line.waiting_since_s(), line) for line in self._lines.values())
                oldest = min(((since, line) for since, line in waiting if since is not None), key=_since, default=None)
                if oldest is not None:
                    return oldest[1].take()
                self._lock.wait()
        return None

    def _turn(self, batch: _Batch) -> None:
        """Run one pass, answer the rows that it finished, put the rest back in line."""
        line = batch.line
        began_s = time.perf_counter()
        if batch.passes is None:
            self._drop_cancelled(batch)
            if not batch.rows:
                return
            if not batch.again:
                line.observer.started([began_s - row.arrived_s for row in batch.rows])
            batch.passes = line.run(batch.rows)
        done = next(batch.passes)
        ended_s = time.perf_counter()
        line.observer.ran(
            rows=done.rows, tokens=done.tokens, padded_tokens=done.padded_tokens, seconds=ended_s - began_s
        )
        self._answer(done.finished)
        batch.rows = [row for row in batch.rows if not row.answered]
        if batch.rows:
            batch.since_s = ended_s
            with self._lock:
                line.batches.append(batch)

    def _drop_cancelled(self, batch: _Batch) -> None:
        self._answer([(row, None) for row in batch.rows if row.job.cancelled])
        batch.rows = [row for row in batch.rows if not row.answered]

    def _give_up(self, batch: _Batch, error: BaseException) -> None:
        """A pass raised: run its rows again one by one, or answer the one row with the error."""
        rows = [row for row in batch.rows if not row.answered]
        if len(rows) > 1:
            log.warning("a batch of %d rows of %s failed and runs again row by row", len(rows), batch.line.name)
            with self._lock:
                batch.line.batches.extendleft(
                    _Batch(batch.line, [row], row.arrived_s, again=True) for row in reversed(rows)
                )
                self._lock.notify_all()
            return
        log.error("a row of %s failed", batch.line.name, exc_info=error)
        told = error if isinstance(error, ServiceError) else InferenceError("The model failed on this input.")
        self._answer([(row, told) for row in rows])
        batch.line.observer.failed(len(rows))

    def _answer(self, answers: list[tuple[Row, Any]]) -> None:
        """Give each row its result or error, once; deliver the jobs that are complete, all in one call."""
        done: list[Job] = []
        with self._lock:
            for row, result in answers:
                if row.answered:
                    continue
                row.answered = True
                row.result = result
                job = row.job
                if isinstance(result, ServiceError):
                    job.error = job.error or result
                job.pending -= 1
                if job.pending == 0:
                    done.append(job)
        if done:
            try:
                self._deliver(done)
            except Exception:  # the event loop is gone: nobody is left to tell, and the other rows go on
                log.exception("%d finished jobs could not be delivered", len(done))
