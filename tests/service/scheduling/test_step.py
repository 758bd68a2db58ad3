from __future__ import annotations

import time
from typing import Any

import pytest

from service.errors import InferenceError
from service.scheduling.admission import Admission
from service.scheduling.cost_model import CostModel
from service.scheduling.delivery import ResultBuffer
from service.scheduling.job import Job, Pass, Passes, Row
from service.scheduling.model_batches import Batch, ModelBatches
from service.scheduling.queue import Queue, Urgency
from service.scheduling.step import PartialOutput, StepRunner
from tests.service.scheduling.doubles import RecordingObserver, Run, SubmittedJob, done, echo


class Desk:
    """Turns, and what they delivered and told, call by call."""

    def __init__(self, run: Run = echo) -> None:
        self.delivered: list[list[Job]] = []
        self.told: list[list[PartialOutput]] = []
        self._turns = StepRunner(on_partial_outputs=self.told.append, admission=Admission(threads=1))
        self._outbox = ResultBuffer(self.delivered.append)
        self.watcher = RecordingObserver()
        queue = Queue(limit=100, cost=CostModel(max_tokens=8, batch_tokens=64), urgency=Urgency())
        self.line = ModelBatches("only", queue, lambda rows, exclusive: run(rows), self.watcher, 1)

    def run(self, batch: Batch) -> None:
        self._turns.run_step(batch, self._outbox)
        self._outbox.flush()

    def answer(self, row: Row, result: Any) -> None:
        self._turns.complete([(row, result)], self._outbox)
        self._outbox.flush()

    def batch(self, *jobs: SubmittedJob) -> Batch:
        return Batch(self.line, [row for job in jobs for row in job.rows], 0.0)


def job(*inputs: Any) -> SubmittedJob:
    return SubmittedJob([(item, 4) for item in inputs])


def test_a_turn_answers_the_rows_that_its_pass_finished_and_delivers_complete_jobs_in_one_call() -> None:
    desk = Desk()
    one, other = job(1), job(2, 3)
    desk.run(desk.batch(one, other))
    assert desk.delivered == [[one, other]]
    assert [*one.outputs, *other.outputs] == [1, 2, 3]
    assert desk.watcher.batches == [3]
    assert len(desk.watcher.waits_s) == 3


def test_a_batch_of_many_passes_takes_a_turn_for_each() -> None:
    def writing(rows: list[Row]) -> Passes:
        yield Pass([], 2, 8, 8, partial_outputs=[(rows[0], [5])])
        yield done(rows, [(rows[1], "b")])
        yield done(rows, [(rows[0], "a")])

    desk = Desk(writing)
    first, second = job("a"), job("b")
    batch = desk.batch(first, second)
    began_s = time.perf_counter()
    desk.run(batch)
    assert (desk.delivered, desk.told) == ([], [[(first.rows[0], [5])]])
    assert batch.due_s > began_s, "after it has waited for as long as its pass took"
    desk.run(batch)
    desk.run(batch)
    assert desk.delivered == [[second], [first]]
    assert len(desk.watcher.waits_s) == 2, "of rows, once each"


def test_rows_that_nobody_waits_for_are_answered_without_a_pass() -> None:
    desk = Desk()
    left, stays = job(1), job(3)
    left.cancel()
    desk.run(desk.batch(left, stays))
    assert desk.delivered == [[left, stays]]
    assert left.outputs == [None]
    assert desk.watcher.batches == [1]


def test_what_a_pass_raises_is_the_callers() -> None:
    desk = Desk()
    with pytest.raises(ValueError, match="poison"):
        desk.run(desk.batch(job("poison")))
    assert desk.delivered == []


def test_an_answer_is_given_once_and_the_first_error_is_the_jobs() -> None:
    desk = Desk()
    both = job(1, 2)
    error, later = InferenceError("first"), InferenceError("second")
    desk.answer(both.rows[0], error)
    desk.answer(both.rows[0], "too late")
    assert desk.delivered == []
    desk.answer(both.rows[1], later)
    assert desk.delivered == [[both]]
    assert both.outputs[0] is error
    assert both.error is error
