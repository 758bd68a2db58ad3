"""Batches that wait or run: which is next, which merge, and that no row is lost when they do."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InferenceError
from service.scheduling.cost_model import CostModel
from service.scheduling.job import Job, Pass, Row, RunningPasses
from service.scheduling.model_batches import Batch, ModelBatches
from service.scheduling.queue import Queue, Urgency
from service.scheduling.scheduler import Scheduler
from tests.service.scheduling.doubles import PATIENCE_S, RecordingObserver, SubmittedJob

MAX_ROWS = 8
COST = CostModel(max_tokens=512, batch_tokens=256)


class Writing(RunningPasses):
    """Each row takes as many passes as its inputs say, after a first one for all; a 0 raises in its first step."""

    def __init__(self, rows: list[Row], *, exclusive: bool = False) -> None:
        del exclusive
        self.fresh = True
        self.rows_left: list[tuple[Row, Any]] = [(row, row.inputs) for row in rows]
        self.merged: list[Writing] = []

    @property
    def size(self) -> int:
        return len(self.rows_left)

    def join_cost(self, other: RunningPasses) -> float:
        assert isinstance(other, Writing)
        return float("inf") if self.fresh or other.fresh else self.size

    def merge(self, other: RunningPasses) -> None:
        assert isinstance(other, Writing)
        self.merged.append(other)
        self.rows_left += other.rows_left
        other.rows_left = []

    def __next__(self) -> Pass:
        if self.fresh:
            self.fresh = False
            return Pass([], 1, 1, 1)
        if not self.rows_left:
            raise StopIteration
        assert len(self.rows_left) <= MAX_ROWS
        if any(steps == 0 for _, steps in self.rows_left):
            raise ValueError("poison")
        gone = [(row, None) for row, _ in self.rows_left if row.job.cancelled]
        self.rows_left = [(row, steps - 1) for row, steps in self.rows_left if not row.job.cancelled]
        ended = [(row, row.inputs) for row, steps in self.rows_left if steps == 0]
        self.rows_left = [(row, steps) for row, steps in self.rows_left if steps]
        return Pass([*gone, *ended], 1, 1, 1)


def model_batches(*, workers: int = 2) -> ModelBatches:
    return ModelBatches(
        "writer", Queue(limit=1000, cost=COST, urgency=Urgency()), Writing, RecordingObserver(), workers, MAX_ROWS
    )


def running_batch(own: ModelBatches, rows: int, *, due_s: float = 1.0, is_retry: bool = False) -> Batch:
    """A batch on a worker, after its first pass."""
    job = SubmittedJob([(9, 4)] * rows)
    batch = Batch(own, list(job.rows), due_s, Writing(job.rows), is_retry=is_retry)
    assert batch.passes is not None
    next(batch.passes)
    own.running.append(batch)
    return batch


# --- Joining ---------------------------------------------------------------------------------------------------------


def test_batches_merge_only_while_workers_are_busy() -> None:
    for workers_busy in (False, True):
        own = model_batches()
        host, joining = running_batch(own, 3), running_batch(own, 2)
        own.put_back(host, workers_busy=False)
        own.put_back(joining, workers_busy=workers_busy)
        assert own.waiting == ([host] if workers_busy else [host, joining])
        assert host.size == (5 if workers_busy else 3)
        assert own.running == []


def test_the_smaller_joins_the_larger_where_it_costs_least() -> None:
    own = model_batches()
    small, middle, large, joining = (running_batch(own, rows) for rows in (1, 3, 5, 2))
    for batch in (small, large, middle):
        own.put_back(batch, workers_busy=False)
    own.put_back(joining, workers_busy=True)
    assert own.waiting == [small, large, middle]
    assert (small.size, middle.size, large.size) == (1, 5, 5)


def test_a_larger_batch_joins_none_that_is_smaller() -> None:
    own = model_batches()
    small, large = running_batch(own, 2), running_batch(own, 3)
    own.put_back(small, workers_busy=False)
    own.put_back(large, workers_busy=True)
    assert own.waiting == [small, large]


def test_batches_that_are_about_to_join_count_to_the_maximum() -> None:
    own = model_batches()
    host = running_batch(own, 4)
    for rows in (2, 2, 1, 3):
        own.put_back(running_batch(own, rows), workers_busy=True)
    assert host.size == MAX_ROWS
    assert [batch.size for batch in own.waiting] == [1, 3]


@pytest.mark.parametrize("which", ["host", "joining"])
def test_a_retry_merges_with_nothing(which: str) -> None:
    own = model_batches()
    host, joining = running_batch(own, 1, is_retry=which == "host"), running_batch(own, 1, is_retry=which == "joining")
    own.put_back(host, workers_busy=True)
    own.put_back(joining, workers_busy=True)
    assert own.waiting == [host, joining]


def test_nothing_merges_into_a_batch_before_its_first_pass() -> None:
    own = model_batches()
    fresh = Batch(own, SubmittedJob([(9, 4)] * 5).rows, 0.0)
    own.running.append(fresh)
    joining = running_batch(own, 1)
    own.put_back(joining, workers_busy=True)
    assert own.waiting == [joining]


def test_a_running_batch_merges_those_that_join_before_its_next_pass() -> None:
    own = model_batches()
    host, joining, late = running_batch(own, 3), running_batch(own, 2), running_batch(own, 1)
    joined = [joining.passes, late.passes]
    rows = [*host.rows, *joining.rows, *late.rows]
    own.put_back(joining, workers_busy=True)
    own.put_back(late, workers_busy=True)
    assert isinstance(host.passes, Writing)
    assert (host.passes.size, host.size, host.passes.merged) == (3, 6, [])
    host.merge_joining()
    assert host.passes.merged == joined
    assert (host.passes.size, host.size, host.joining) == (6, 6, [])
    assert host.rows == rows


def test_a_batch_that_is_being_merged_counts_all_the_time() -> None:
    own = model_batches()
    host, joining = running_batch(own, 4), running_batch(own, 3)
    own.put_back(joining, workers_busy=True)
    seen: list[int] = []

    class SizeDuringMerge(Writing):
        def merge(self, other: RunningPasses) -> None:
            seen.append(host.size)
            super().merge(other)

    host.passes = SizeDuringMerge(host.rows[:4])
    host.merge_joining()
    assert (seen, host.size) == ([7], 7)


def test_batches_that_were_about_to_join_a_batch_merge_with_it() -> None:
    own = model_batches()
    joining, joined_before = running_batch(own, 2), running_batch(own, 1)
    own.put_back(joined_before, workers_busy=True)
    host = running_batch(own, 4)
    own.put_back(joining, workers_busy=True)
    assert (host.size, len(host.rows)) == (7, 7)
    host.merge_joining()
    assert host.passes is not None
    assert host.size == 7
    assert own.waiting == []


# --- Taking ----------------------------------------------------------------------------------------------------------


def test_what_is_due_first_is_next_and_a_finished_batch_is_gone() -> None:
    own = model_batches()
    late, soon, over = (
        running_batch(own, 1, due_s=3.0),
        running_batch(own, 1, due_s=2.0),
        running_batch(own, 1, due_s=1.0),
    )
    over.rows[0].answered = True
    for batch in (late, soon, over):
        own.put_back(batch, workers_busy=False)
    assert own.due_s() == 2.0
    assert own.take() is soon
    assert own.running == [soon]
    assert own.take() is late
    assert own.due_s() == float("inf")


def test_a_model_with_the_maximum_on_every_worker_leaves_the_rest_in_the_queue() -> None:
    own = model_batches(workers=2)
    first, second = running_batch(own, MAX_ROWS, due_s=50.0), running_batch(own, MAX_ROWS, due_s=60.0)
    own.queue.put(SubmittedJob([(9, 4)]).rows)
    own.put_back(first, workers_busy=False)
    assert own.due_s() == 50.0
    assert own.take() is first
    second.rows[0].answered = True
    assert isinstance(second.passes, Writing)
    second.passes.rows_left.pop()
    assert own.due_s() < 50.0
    assert own.take().passes is None


# --- Failures --------------------------------------------------------------------------------------------------------


def made(threads: int) -> tuple[Scheduler, list[Job]]:
    delivered: list[Job] = []

    def deliver(jobs: list[Job]) -> None:
        for job in jobs:
            assert isinstance(job, SubmittedJob)
            delivered.append(job)
            job.done.set()

    scheduler = Scheduler(threads=threads, deliver=deliver)
    scheduler.add(
        "writer", Writing, Queue(limit=1000, cost=COST, urgency=Urgency()), RecordingObserver(), max_batch_rows=MAX_ROWS
    )
    return scheduler, delivered


def job_of(*steps: int) -> SubmittedJob:
    return SubmittedJob([(each, 4) for each in steps])


class PutBackWhileLogging(logging.Handler):
    """Puts another batch back while the failure of a batch is being logged."""

    def __init__(self, put_back: Any) -> None:
        super().__init__()
        self.put_back = put_back

    def emit(self, record: logging.LogRecord) -> None:
        self.put_back()


@pytest.mark.parametrize("rows", [[0], [0, 5]])
def test_a_batch_that_comes_while_another_is_being_given_up_is_not_lost(rows: list[int]) -> None:
    scheduler, _ = made(1)
    own = scheduler._models["writer"]
    newcomer = job_of(3)
    joining = Batch(own, list(newcomer.rows), 0.0, Writing(newcomer.rows))
    assert joining.passes is not None
    next(joining.passes)
    own.running.append(joining)
    came: list[bool] = []

    def put_back() -> None:
        if not came:
            came.append(True)
            with scheduler._lock:
                own.put_back(joining, workers_busy=True)

    handler, logger = PutBackWhileLogging(put_back), logging.getLogger("service.scheduling.scheduler")
    logger.addHandler(handler)
    try:
        failing = job_of(*rows)
        scheduler.submit("writer", failing.rows)
        scheduler.start()
        for job in (failing, newcomer):
            assert job.done.wait(PATIENCE_S), "a row was lost"
    finally:
        scheduler.close()
        logger.removeHandler(handler)
    assert came
    assert newcomer.results() == [3]
    with pytest.raises(InferenceError):
        failing.results()
    assert failing.outputs[-1] == 5 or len(rows) == 1


def test_rows_about_to_join_a_batch_whose_pass_raises_are_answered_and_only_the_poison_fails() -> None:
    scheduler, delivered = made(1)
    own = scheduler._models["writer"]
    jobs = [job_of(0), job_of(4), job_of(2, 3)]
    for job in jobs:
        batch = Batch(own, list(job.rows), 0.0, Writing(job.rows))
        assert batch.passes is not None
        next(batch.passes)
        own.running.append(batch)
    with scheduler._lock:
        for batch in (own.running[0], own.running[1]):
            own.put_back(batch, workers_busy=True)
        own.put_back(own.running[0], workers_busy=False)
    assert len(own.waiting) == 1
    scheduler.start()
    try:
        assert all(job.done.wait(PATIENCE_S) for job in jobs), "a row was lost"
    finally:
        scheduler.close()
    assert [job.results() for job in jobs[1:]] == [[4], [2, 3]]
    with pytest.raises(InferenceError):
        jobs[0].results()
    assert sorted(map(id, delivered)) == sorted(map(id, jobs))


JOBS = st.lists(
    st.tuples(st.lists(st.sampled_from([1, 2, 3, 8, 20, 0]), min_size=1, max_size=4), st.booleans()),
    min_size=1,
    max_size=20,
)


@settings(deadline=None, max_examples=100)
@given(JOBS, st.integers(1, 3))
def test_every_row_is_answered_exactly_once_whatever_joins_leaves_or_fails(
    requests: list[tuple[list[int], bool]], threads: int
) -> None:
    scheduler, delivered = made(threads)
    scheduler.start()
    jobs = []
    try:
        for steps, leaves in requests:
            jobs.append(job_of(*steps))
            scheduler.submit("writer", jobs[-1].rows)
            if leaves:
                jobs[-1].cancel()
        assert all(job.done.wait(PATIENCE_S) for job in jobs), "a row was lost"
    finally:
        scheduler.close()
    assert sorted(map(id, delivered)) == sorted(map(id, jobs)), "each delivered, and once"
    own = scheduler._models["writer"]
    assert (own.waiting, own.running, len(own.queue)) == ([], [], 0)
    for (steps, leaves), job in zip(requests, jobs, strict=True):
        assert job.pending == 0
        for output, wanted in zip(job.outputs, steps, strict=True):
            answered = isinstance(output, InferenceError) if wanted == 0 else output == wanted
            assert answered or (leaves and output is None)
