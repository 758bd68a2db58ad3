"""One step of a worker: a forward pass of a batch, and the outputs of the rows that it finished."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from service.errors import ServiceError
from service.scheduling.admission import Admission
from service.scheduling.delivery import ResultBuffer
from service.scheduling.job import Job, Pass, Row
from service.scheduling.model_batches import Batch, ModelBatches

PartialOutput = tuple[Row, list[int]]


class StepRunner:
    """Runs batches one pass at a time. Thread-safe, as long as each batch is run by one thread at a time."""

    def __init__(self, *, on_partial_outputs: Callable[[list[PartialOutput]], None], admission: Admission) -> None:
        """`on_partial_outputs` is called on the worker's thread with what a pass produced for streaming rows."""
        self._on_partial_outputs = on_partial_outputs
        self._admission = admission
        self._lock = threading.Lock()

    def run_step(self, batch: Batch, results: ResultBuffer) -> None:
        """Run one pass and complete the rows that it finished; raises what the pass raises."""
        began_s = time.perf_counter()
        if batch.passes is None and not batch.is_retry:
            self._admission.learn(min(batch.rows, key=lambda row: row.number), began_s)
        self._drop_cancelled(batch, results)
        if batch.passes is None:
            if not batch.rows:
                return
            if not batch.is_retry:
                batch.model.observer.started([began_s - row.arrived_s for row in batch.rows])
            batch.passes = batch.model.run(batch.rows, exclusive=batch.exclusive)
        batch.merge_joining()
        done = next(batch.passes)
        ended_s = time.perf_counter()
        batch.due_s = 2 * ended_s - began_s
        if done.partial_outputs:
            self._on_partial_outputs(done.partial_outputs)
        self.complete(done.finished, results)
        _report(batch.model, done, ended_s - began_s)

    def _drop_cancelled(self, batch: Batch, results: ResultBuffer) -> None:
        """Take out cancelled rows before they cost a pass.

        A batch that has begun drops them itself after its next pass, together with their caches.
        """
        if batch.passes is None and any(row.job.cancelled for row in batch.rows):
            self.complete([(row, None) for row in batch.rows if row.job.cancelled], results)
            batch.rows = [row for row in batch.rows if not row.answered]

    def complete(self, outputs: list[tuple[Row, object]], results: ResultBuffer) -> None:
        """Give each row its output or error, once; jobs that have all of theirs go to `results`."""
        done: list[Job] = []
        with self._lock:
            for row, output in outputs:
                if row.answered:
                    continue
                row.answered = True
                job = row.job
                job.outputs[row.index] = output
                if isinstance(output, ServiceError):
                    job.error = job.error or output
                job.pending -= 1
                if job.pending == 0:
                    done.append(job)
        if done:
            results.add(done)


def _report(model: ModelBatches, done: Pass, seconds: float) -> None:
    if done.rows:  # there was a pass, and rows did not merely leave
        model.observer.ran(rows=done.rows, tokens=done.tokens, padded_tokens=done.padded_tokens, seconds=seconds)
    if done.saved:
        model.observer.saved(done.saved)
