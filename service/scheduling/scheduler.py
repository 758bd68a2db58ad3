"""Worker threads that take turns over the models' queues, one forward pass at a time.

Rules: a lone row never waits for others (there is no batching timer: the rows that arrived while the workers were busy
are the batch); every accepted row gets exactly one output; a batch that raises runs again row by row, so a failing row
fails alone; queues are bounded and take all rows of a request or none.

The scheduler knows neither HTTP nor ONNX. A model is a callable `run(rows, exclusive)` that returns an iterator of
passes: each `next()` runs one forward pass and returns the rows that it finished. An encoder's iterator has one pass. A
decoder's has one a step, and waits for its next turn after each for as long as the step took: a long summary holds up a
short classification by one step, and new texts join between two steps (Orca's iteration-level scheduling, OSDI '22).
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from service.errors import SHUTTING_DOWN, InferenceError, Overloaded, ServiceError, Unavailable
from service.scheduling.admission import Admission
from service.scheduling.delivery import ResultBuffer
from service.scheduling.job import Job, ModelInput, Row, WarmUps
from service.scheduling.model_batches import Batch, ModelBatches, Observer, Run
from service.scheduling.queue import Queue
from service.scheduling.step import PartialOutput, StepRunner

log = logging.getLogger(__name__)

Work = Batch | Callable[[], None]
"""A batch's next pass, or a warm-up's."""

# Use all cores only after this long without a concurrent request: one that arrives meanwhile would wait for the pass.
_EXCLUSIVE_AFTER_S = 0.1


class Scheduler:
    """Owns the worker threads, the queues and the batches of all models."""

    def __init__(
        self,
        *,
        threads: int,
        deliver: Callable[[list[Job]], None],
        on_partial_outputs: Callable[[list[PartialOutput]], None] = lambda _: None,
        max_wait_s: float = math.inf,
    ) -> None:
        """Both callbacks run on worker threads: `deliver` gets jobs that are done, `on_partial_outputs` streaming rows.

        A request whose estimated wait is longer than `max_wait_s` is refused.
        """
        self._admission = Admission(threads=threads, max_wait_s=max_wait_s)
        self._steps = StepRunner(on_partial_outputs=on_partial_outputs, admission=self._admission)
        self._deliver = deliver
        self._models: dict[str, ModelBatches] = {}
        self._lock = threading.Condition()
        self._closing = False
        self._busy = 0
        self._concurrent_s = -math.inf
        """When a batch last started beside another one."""
        self._warm_ups: deque[Callable[[], None]] = deque()
        self._exclusive_warm_ups: deque[Callable[[], None]] = deque()
        self._pass_began_s: list[float | None] = [None] * threads
        self._threads = [
            threading.Thread(target=self._work, args=(index,), name=f"shoal-worker-{index}", daemon=True)
            for index in range(threads)
        ]

    def add(self, name: str, run: Run, queue: Queue, observer: Observer, *, max_batch_rows: float = math.inf) -> None:
        """Add a model. `max_batch_rows` bounds its batches of many passes. Call before `start`."""
        model = ModelBatches(name, queue, run, observer, len(self._threads), max_batch_rows)
        self._models[name] = model
        self._admission.add(model)

    def warm_up(self, single_thread: WarmUps, multi_thread: WarmUps) -> None:
        """Add passes to run while nothing waits, those on all cores only while no worker runs. Call before `start`."""
        self._warm_ups.extend(single_thread)
        self._exclusive_warm_ups.extend(multi_thread)

    def warming_up(self) -> bool:
        """Whether warm-ups still wait."""
        return bool(self._warm_ups or self._exclusive_warm_ups)

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()

    def admit(self, name: str) -> float:
        """Seconds of work that wait for each worker; raises Overloaded or Unavailable if a new request is refused.

        Takes no lock and costs little, so that refusing under overload costs little.
        """
        if self._closing:
            raise Unavailable(SHUTTING_DOWN)
        return self._admission.check(self._models[name])

    def estimated_s(self, name: str, inputs: Sequence[ModelInput]) -> float:
        """Seconds that these rows would take if nothing else waited, by the cost model."""
        queue = self._models[name].queue
        side_by_side = max(1, min(len(inputs), len(self._threads)))
        return sum(queue.estimated_s(each.inputs, each.tokens) for each in inputs) / side_by_side

    def submit(self, name: str, rows: list[Row], *, over_limit: bool = False) -> None:
        """Queue all of `rows`, or none: raises Overloaded if they don't fit, Unavailable after `close`.

        `over_limit`: rows of a request that was accepted before are not refused for lack of room.
        """
        now_s = time.perf_counter()
        for row in rows:
            row.arrived_s = now_s
        with self._lock:
            if self._closing:
                raise Unavailable(SHUTTING_DOWN)
            queue = self._models[name].queue
            if not queue.put(rows, over_limit=over_limit):
                raise Overloaded(
                    f"Model {name!r} has {len(queue)} rows waiting and room for {queue.limit}; this request brings "
                    f"{len(rows)}. Try again in a moment, or send fewer inputs at once."
                )
            self._lock.notify(min(len(rows), len(self._threads)))

    def depths(self) -> dict[str, int]:
        """Rows that wait for their first pass, by model."""
        with self._lock:
            return {name: len(model.queue) for name, model in self._models.items()}

    def healthy(self, stuck_after_s: float) -> bool:
        """Whether every worker lives and none has been in one pass for longer than `stuck_after_s`. Takes no lock."""
        since_s = min((began for began in self._pass_began_s if began is not None), default=None)
        stuck = since_s is not None and time.perf_counter() - since_s > stuck_after_s
        return not stuck and not self._closing and all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Let running passes end, then fail what still waits with Unavailable. A second call does nothing."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        rows: list[Row] = []
        for model in self._models.values():
            rows += model.clear()
        results = ResultBuffer(self._deliver)
        error = Unavailable("The server shut down before this request was run.")
        self._steps.complete([(row, error) for row in rows], results)
        results.flush()

    # Everything below runs on the worker threads.

    def _work(self, worker: int) -> None:
        results = ResultBuffer(self._deliver)
        work = self._next(results)
        while work is not None:
            self._pass_began_s[worker] = time.perf_counter()
            # Whatever is raised, SystemExit too: rows get an answer and the worker lives on.
            try:
                if isinstance(work, Batch):
                    results.flush_if_due(_first_pass_s(work), self._admission.backlog_s())
                    self._steps.run_step(work, results)
                else:
                    work()
            except BaseException as error:
                if isinstance(work, Batch):
                    self._on_failure(work, error, results)
                else:
                    log.warning("a warm-up pass failed", exc_info=error)
            self._pass_began_s[worker] = None
            work = self._next(results, work)

    def _put_back(self, batch: Batch) -> None:
        model = batch.model
        many_passes = model.max_batch_rows < math.inf
        work_waits = many_passes and any(each.due_s() < math.inf for each in self._models.values())
        model.put_back(batch, workers_busy=work_waits)
        # This worker goes on with one of the batches. Where there is another, a sleeping worker must take it.
        if many_passes and (len(model.waiting) > 1 or len(model.queue)):
            self._lock.notify()

    def _next(self, results: ResultBuffer, done: Work | None = None) -> Work | None:
        """Put back `done`, wait for work, and take the most urgent; None means stop.

        What `results` holds is delivered before this thread sleeps or runs a warm-up.
        """
        with self._lock:
            if done is not None:
                self._busy -= 1
            if isinstance(done, Batch):
                self._put_back(done)
            while not self._closing:
                model = pick(self._models.values())
                if model is not None:
                    return self._started(model)
                results.flush()
                if warm_up := self._next_warm_up():
                    self._busy += 1
                    return warm_up
                self._lock.wait()
        results.flush()
        return None

    def _started(self, model: ModelBatches) -> Batch:
        batch = model.take()
        now_s = time.perf_counter()
        if self._busy or pick(self._models.values()) is not None:
            self._concurrent_s = now_s
        batch.exclusive = now_s - self._concurrent_s > _EXCLUSIVE_AFTER_S
        self._busy += 1
        return batch

    def _next_warm_up(self) -> Callable[[], None] | None:
        if self._warm_ups:
            return self._warm_ups.popleft()
        return self._exclusive_warm_ups.popleft() if self._exclusive_warm_ups and not self._busy else None

    def _on_failure(self, batch: Batch, error: BaseException, results: ResultBuffer) -> None:
        """A pass raised: run its rows again one by one, or fail the one row with the error."""
        with self._lock:
            batch.is_retry = True  # nothing merges into it any more and would be lost
            rows = [row for row in batch.rows if not row.answered]
            batch.joining.clear()
            batch.rows = []
        if len(rows) > 1:
            log.warning("a batch of %d rows of %s failed and runs again row by row", len(rows), batch.model.name)
            with self._lock:
                batch.model.waiting += [Batch(batch.model, [row], row.due_s, is_retry=True) for row in rows]
                self._lock.notify_all()
            return
        log.error("a row of %s failed", batch.model.name, exc_info=error)
        failure = error if isinstance(error, ServiceError) else InferenceError("The model failed on this input.")
        self._steps.complete([(row, failure) for row in rows], results)
        batch.model.observer.failed(len(rows))


def pick(models: Iterable[ModelBatches]) -> ModelBatches | None:
    """The model whose most urgent row or batch is due first; None when nothing waits."""
    first, first_due_s = None, math.inf
    for model in models:
        due_s = model.due_s()
        if due_s < first_due_s:
            first, first_due_s = model, due_s
    return first


def _first_pass_s(batch: Batch) -> float:
    """Seconds that the first pass of a batch takes, by the cost model; inf for a batch that has begun."""
    if batch.passes is not None or not batch.rows:
        return math.inf
    return batch.model.queue.cost.seconds(len(batch.rows), max(row.tokens for row in batch.rows))
