"""Worker threads that take turns over the models' queues; one turn is one forward pass.

Rules: a lone row never waits for company (no timer: what piled up while the workers were busy is the batch);
every accepted row is answered exactly once; a batch that raises runs again row by row, so a failing row fails
alone; queues are bounded and take all rows of a job or none.

The scheduler knows neither HTTP nor ONNX. A model is a callable `run(rows, alone)` that returns an iterator of passes:
each `next()` runs one forward pass and says which rows it finished. An encoder's iterator has one pass. A decoder's
has one a step, and is put back in line after each, to go on when it has waited for as long as the step took: a long
summary holds up a short classification by one step, and new texts join between two steps (Orca's iteration-level
scheduling, OSDI '22).
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from service.admission import Admission
from service.errors import InferenceError, Overloaded, ServiceError, Unavailable
from service.job import Job, Row, WarmUps
from service.line import Batch, Line, Observer, Run
from service.outbox import Outbox
from service.queue import Queue
from service.turn import Turns, Written

log = logging.getLogger(__name__)

Work = Batch | Callable[[], None]
"""A batch's next pass, or a warm-up's."""

# A pass on all cores is in the way of whoever comes while it runs: not as long as others come all the time.
_ALONE_AFTER_S = 0.1


class Scheduler:
    """Owns the worker threads and the lines."""

    def __init__(
        self,
        *,
        threads: int,
        deliver: Callable[[list[Job]], None],
        tell: Callable[[list[Written]], None] = lambda _: None,
        longest_wait_s: float = math.inf,
    ) -> None:
        """From worker threads `deliver` gets the jobs that a pass completed, and `tell` what it wrote for watched rows.

        `longest_wait_s`: what would wait longer, by what is known of its costs, is refused.
        """
        self._admission = Admission(threads=threads, longest_wait_s=longest_wait_s)
        self._turns = Turns(tell=tell, admission=self._admission)
        self._deliver = deliver
        self._lines: dict[str, Line] = {}
        self._lock = threading.Condition()
        self._closing = False
        self._busy = 0
        self._company_s = -math.inf
        self._warm_ups: deque[Callable[[], None]] = deque()
        self._wide_warm_ups: deque[Callable[[], None]] = deque()
        self._pass_began_s: list[float | None] = [None] * threads
        self._threads = [
            threading.Thread(target=self._work, args=(index,), name=f"shoal-worker-{index}", daemon=True)
            for index in range(threads)
        ]

    def add(self, name: str, run: Run, queue: Queue, observer: Observer, *, most: float = math.inf) -> None:
        """Give a model its line; `most` is what a batch under way may have, by its size. Call before `start`."""
        line = self._lines[name] = Line(name, queue, run, observer, len(self._threads), most)
        self._admission.add(line)

    def warm_up(self, narrow: WarmUps, wide: WarmUps) -> None:
        """Passes to run when nobody waits; those of `wide` only while no other worker is busy. Call before `start`."""
        self._warm_ups.extend(narrow)
        self._wide_warm_ups.extend(wide)

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()

    def check(self, name: str) -> float:
        """Seconds of work before a row that came now, as its costs are known. Takes no lock, costs nothing.

        Raises what `submit` would raise for even a single short row.
        """
        if self._closing:
            raise Unavailable("The server is shutting down; send the request to another one.")
        return self._admission.check(self._lines[name])

    def work_s(self, name: str, rows: Sequence[tuple[Any, int]]) -> float:
        """What rows (inputs, length) would take if nothing else waited, by what is known of their costs."""
        queue = self._lines[name].queue
        side_by_side = max(1, min(len(rows), len(self._threads)))
        return sum(queue.work_s(inputs, tokens) for inputs, tokens in rows) / side_by_side

    def submit(self, name: str, job: Job, *, accepted: bool = False) -> None:
        """Queue all rows of `job`, or none: raises Overloaded when they don't fit, Unavailable after `close`.

        A job whose request was `accepted` before, of which this is a further part, is not refused for its load.
        """
        now_s = time.perf_counter()
        for row in job.rows:
            row.arrived_s = now_s
        with self._lock:
            queue = self._lines[name].queue
            if accepted and not self._closing:
                queue.put(job.rows, over=True)
                self._lock.notify(min(len(job.rows), len(self._threads)))
                return
            job.backlog_s = self.check(name)
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
            left += line.clear()
        outbox = Outbox(self._deliver)
        told = Unavailable("The server shut down before this request was run.")
        self._turns.answer([(row, told) for row in left], outbox)
        outbox.send()

    # Everything below runs on the worker threads.

    def _work(self, worker: int) -> None:
        outbox = Outbox(self._deliver)
        work = self._next(outbox)
        while work is not None:
            self._pass_began_s[worker] = time.perf_counter()
            # Whatever is raised, SystemExit too, rows are answered and the worker lives.
            try:
                if isinstance(work, Batch):
                    outbox.before_pass(_first_pass_s(work), self._admission.backlog_s())
                    self._turns.run(work, outbox)
                else:
                    work()
            except BaseException as error:
                if isinstance(work, Batch):
                    self._give_up(work, error, outbox)
                else:
                    log.warning("a warm-up pass failed", exc_info=error)
            self._pass_began_s[worker] = None
            work = self._next(outbox, work)

    def _put_back(self, batch: Batch) -> None:
        line = batch.line
        several = line.most < math.inf  # passes for a row, so that its batches may join
        line.put_back(batch, pressed=several and any(each.due_s() < math.inf for each in self._lines.values()))
        # This worker goes on with one of them; where there is more to do, somebody else may be asleep.
        if several and (len(line.waiting) > 1 or len(line.queue)):
            self._lock.notify()

    def _next(self, outbox: Outbox, done: Work | None = None) -> Work | None:
        """Put back what is done, wait for work, and serve the line whose most urgent is due first. None means stop.

        What `outbox` has is sent before anything but a pass.
        """
        with self._lock:
            if done is not None:
                self._busy -= 1
            if isinstance(done, Batch):
                self._put_back(done)
            while not self._closing:
                due_s = {name: line.due_s() for name, line in self._lines.items()}
                first = min(due_s, key=due_s.__getitem__, default=None)
                if first is not None and due_s[first] < math.inf:
                    return self._started(self._lines[first])
                outbox.send()
                if warm_up := self._warm_up():
                    self._busy += 1
                    return warm_up
                self._lock.wait()
        outbox.send()
        return None

    def _started(self, line: Line) -> Batch:
        batch = line.take()
        now_s = time.perf_counter()
        if self._busy or any(other.due_s() < math.inf for other in self._lines.values()):
            self._company_s = now_s
        batch.alone = now_s - self._company_s > _ALONE_AFTER_S
        self._busy += 1
        return batch

    def _warm_up(self) -> Callable[[], None] | None:
        if self._warm_ups:
            return self._warm_ups.popleft()
        return self._wide_warm_ups.popleft() if self._wide_warm_ups and not self._busy else None

    def _give_up(self, batch: Batch, error: BaseException, outbox: Outbox) -> None:
        """A pass raised: run its rows again one by one, or answer the one row with the error."""
        with self._lock:
            batch.again = True  # nobody joins any more, and would be lost
            rows = [row for row in batch.rows if not row.answered]
            batch.guests.clear()
            batch.rows = []
        if len(rows) > 1:
            log.warning("a batch of %d rows of %s failed and runs again row by row", len(rows), batch.line.name)
            with self._lock:
                batch.line.waiting += [Batch(batch.line, [row], row.due_s, again=True) for row in rows]
                self._lock.notify_all()
            return
        log.error("a row of %s failed", batch.line.name, exc_info=error)
        told = error if isinstance(error, ServiceError) else InferenceError("The model failed on this input.")
        self._turns.answer([(row, told) for row in rows], outbox)
        batch.line.observer.failed(len(rows))


def _first_pass_s(batch: Batch) -> float:
    """What it takes, as far as that is known; of a batch under way nothing is."""
    if batch.passes is not None or not batch.rows:
        return math.inf
    return batch.line.queue.cost.seconds(len(batch.rows), max(row.tokens for row in batch.rows))
