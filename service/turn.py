"""A turn of a worker: one pass of a batch, and the answers to the rows that it finished."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from service.admission import Admission
from service.errors import ServiceError
from service.job import Job, Pass, Row
from service.line import Batch, Line
from service.outbox import Outbox

Written = tuple[Row, list[int]]


class Turns:
    """Runs batches a pass at a time. Thread-safe; each batch is run by one thread at a time."""

    def __init__(self, *, tell: Callable[[list[Written]], None], admission: Admission) -> None:
        """`tell` gets what a pass wrote for watched rows."""
        self._tell = tell
        self._admission = admission
        self._lock = threading.Lock()

    def run(self, batch: Batch, outbox: Outbox) -> None:
        """Run one pass and answer the rows that it finished; raises what the pass raises."""
        began_s = time.perf_counter()
        if batch.passes is None and not batch.again:
            self._admission.learn(min(batch.rows, key=lambda row: row.number), began_s)
        self._drop_gone(batch, outbox)
        if batch.passes is None:
            if not batch.rows:
                return
            if not batch.again:
                batch.line.observer.started([began_s - row.arrived_s for row in batch.rows])
            batch.passes = batch.line.run(batch.rows, alone=batch.alone)
        batch.seat_guests()
        done = next(batch.passes)
        ended_s = time.perf_counter()
        batch.due_s = 2 * ended_s - began_s
        if done.written:
            self._tell(done.written)
        self.answer(done.finished, outbox)
        _report(batch.line, done, ended_s - began_s)

    def _drop_gone(self, batch: Batch, outbox: Outbox) -> None:
        """Rows that nobody waits for any more leave before they cost a pass.

        Those of a batch under way are left to it: it lets them go after its next pass, with what it keeps for them.
        """
        if batch.passes is None and any(row.job.cancelled for row in batch.rows):
            self.answer([(row, None) for row in batch.rows if row.job.cancelled], outbox)
            batch.rows = [row for row in batch.rows if not row.answered]

    def answer(self, answers: list[tuple[Row, Any]], outbox: Outbox) -> None:
        """Give each row its result or error, once; the jobs that are complete go to `outbox`."""
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
            outbox.put(done)


def _report(line: Line, done: Pass, seconds: float) -> None:
    if done.rows:  # else rows only left
        line.observer.ran(rows=done.rows, tokens=done.tokens, padded_tokens=done.padded_tokens, seconds=seconds)
    if done.saved:
        line.observer.saved(done.saved)
