from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InferenceError, InvalidInput, Overloaded, Unavailable
from service.scheduling.cost_model import CostModel
from service.scheduling.job import Job, Pass, Passes, Row
from service.scheduling.model_batches import Batch, ModelBatches
from service.scheduling.queue import Queue, Urgency
from service.scheduling.scheduler import Scheduler, pick
from tests.service.scheduling.doubles import (
    PATIENCE_S,
    Gate,
    RecordingObserver,
    Run,
    SchedulerDouble,
    SubmittedJob,
    done,
    echo,
    results,
    running_scheduler,
)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.001)
    return condition()


# --- Every accepted row, one answer ----------------------------------------------------------------------------------

JOBS = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(st.sampled_from([1, 2, 3, "poison"]), min_size=1, max_size=5)),
    min_size=1,
    max_size=30,
)


@settings(deadline=None, max_examples=40)
@given(JOBS, st.integers(1, 3), st.integers(1, 3))
def test_every_job_is_answered_once_and_only_poison_fails(
    jobs: list[tuple[str, list[Any]]], threads: int, passes: int
) -> None:
    def slowly(rows: list[Row]) -> Passes:
        """As many passes as the row's number, and at most `passes`; a poisoned row raises in its last."""
        for step in range(1, passes + 1):
            leaving = [row for row in rows if step in (passes, row.inputs)]
            if any(row.inputs == "poison" for row in leaving):
                raise ValueError("poison")
            rows = [row for row in rows if row not in leaving]
            yield Pass([(row, row.inputs) for row in leaving], 1, 1, 1)
            if not rows:
                return

    with running_scheduler(threads=threads, a=echo, b=slowly) as made:
        submitted = [made.submit(name, *inputs) for name, inputs in jobs]
        for job in submitted:
            assert job.done.wait(PATIENCE_S), "no answer"
    for (_, inputs), job in zip(jobs, submitted, strict=True):
        assert job.pending == 0
        if "poison" in inputs:
            with pytest.raises(InferenceError):
                job.results()
        else:
            assert job.results() == inputs
    assert sorted(map(id, made.delivered())) == sorted(map(id, submitted)), "each delivered, and once"


def test_clients_on_many_threads_all_get_their_own_answers() -> None:
    refused = threading.Event()
    accepted: list[tuple[list[Any], SubmittedJob]] = []

    def send(made: SchedulerDouble, seed: int) -> None:
        chance = random.Random(seed)
        for number in range(60):
            inputs = [(seed, number, index) for index in range(chance.randrange(1, 6))]
            try:
                job = made.submit("single", *inputs, tokens=chance.randrange(1, 40))
            except Overloaded:
                refused.set()
                continue
            accepted.append((inputs, job))
            if chance.random() < 0.5:
                job.done.wait(PATIENCE_S)

    made = SchedulerDouble(threads=3)
    made.add_model("single", echo, limit=8)
    made.scheduler.start()
    clients = [threading.Thread(target=send, args=(made, seed)) for seed in range(12)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    for inputs, job in accepted:
        assert results(job) == inputs
    made.scheduler.close()
    assert len(made.delivered()) == len(accepted)
    assert refused.is_set(), "the queue was never full: this test tests less than it means to"


def test_jobs_that_a_pass_completes_are_delivered_in_one_call() -> None:
    gate = Gate()
    with running_scheduler(only=gate) as made:
        held = made.submit("only", "hold")
        gate.wait()
        both = [made.submit("only", 1), made.submit("only", 2)]
        gate.open()
        for job in [held, *both]:
            results(job)
    assert made.calls == [[held], both]


def test_where_much_waits_several_passes_share_a_delivery_and_the_last_answers_do_not_wait() -> None:
    """Each pass is estimated at 3 ms, and there are 40 of them: 120 ms of work, of which 20 may be kept back."""
    made = SchedulerDouble()
    cost = CostModel(max_tokens=512, batch_tokens=1, pass_s=0.003, token_s=0.0)
    made.scheduler.add(
        "only", lambda rows, exclusive: echo(rows), Queue(limit=99, cost=cost, urgency=Urgency()), RecordingObserver()
    )
    jobs = [made.submit("only", number) for number in range(40)]
    made.scheduler.start()
    assert [results(job) for job in jobs] == [[number] for number in range(40)]
    made.scheduler.close()
    sizes = [len(call) for call in made.calls]
    assert sum(sizes) == 40
    assert max(sizes) > 1, "answers went one by one"
    assert sizes[-1] == 1, "nothing was left to wait for"


def test_a_job_of_rows_in_several_passes_is_delivered_when_the_last_is_done() -> None:
    with running_scheduler(only=echo) as made:
        job = SubmittedJob([("short", 3), ("long", 200)])
        made.scheduler.submit("only", job.rows)
        assert results(job) == ["short", "long"]
    assert made.calls == [[job]]
    assert made.observers["only"].batches == [1, 1]


# --- Batches ---------------------------------------------------------------------------------------------------------


def test_rows_that_come_one_by_one_run_one_by_one() -> None:
    with running_scheduler(only=echo) as made:
        for _ in range(50):
            results(made.submit("only", 1))
    assert made.observers["only"].batches == [1] * 50


def test_what_piled_up_while_the_worker_was_busy_is_the_batch() -> None:
    gate = Gate()
    with running_scheduler(only=gate) as made:
        jobs = [made.submit("only", "hold")]
        gate.wait()
        jobs += [made.submit("only", number) for number in range(5)]
        assert made.scheduler.depths() == {"only": 5}
        gate.open()
        for job in jobs:
            results(job)
    assert made.observers["only"].batches == [1, 5]
    assert len(made.observers["only"].waits_s) == 6


def test_two_workers_run_side_by_side() -> None:
    together = threading.Barrier(2, timeout=PATIENCE_S)

    def meet(rows: list[Row]) -> Passes:
        together.wait()
        yield from echo(rows)

    with running_scheduler(threads=2, a=meet, b=meet) as made:
        assert [results(job) for job in [made.submit("a", 1), made.submit("b", 2)]] == [[1], [2]]


def recording(order: list[str], name: str) -> Run:
    """An echo that records that it ran."""

    def run(rows: list[Row]) -> Passes:
        order.append(name)
        return echo(rows)

    return run


def test_models_of_similar_cost_are_served_in_order_of_arrival() -> None:
    gate = Gate()
    order: list[str] = []
    with running_scheduler(
        gate=gate, a=recording(order, "a"), b=recording(order, "b"), c=recording(order, "c")
    ) as made:
        made.submit("gate", "hold")
        gate.wait()
        jobs = [made.submit(name, 1) for name in "bca"]
        gate.open()
        for job in jobs:
            results(job)
    assert order == ["b", "c", "a"]


def test_models_are_served_as_they_are_due() -> None:
    gate = Gate()
    order: list[str] = []
    tokens = {"a": 400, "b": 4, "c": 60, "d": 500, "e": 30, "f": 8}
    with running_scheduler(gate=gate) as made:
        for name in tokens:
            made.add_model(name, recording(order, name))
        made.submit("gate", "hold")
        gate.wait()
        jobs = {name: made.submit(name, 1, tokens=size) for name, size in tokens.items()}
        gate.open()
        for job in jobs.values():
            results(job)
    assert order == sorted(tokens, key=lambda name: jobs[name].rows[0].due_s)
    assert order != list(tokens), "cheap rows overtook expensive ones"


# --- Picking a model, without threads --------------------------------------------------------------------------------


def model_of(name: str, *arrivals_s: float, waiting_due_s: float | None = None) -> ModelBatches:
    """A model with a row of a token for each arrival, and perhaps a batch that waits for its next pass."""
    cost = CostModel(max_tokens=512, batch_tokens=256, pass_s=1e-9, token_s=0.0)
    model = ModelBatches(
        name, Queue(limit=9, cost=cost, urgency=Urgency()), lambda rows, exclusive: echo(rows), RecordingObserver(), 1
    )
    for arrived_s in arrivals_s:
        (row,) = SubmittedJob([(1, 1)]).rows
        row.arrived_s = arrived_s
        model.queue.put([row])
    if waiting_due_s is not None:
        model.waiting.append(Batch(model, SubmittedJob([(1, 1)]).rows, waiting_due_s))
    return model


def test_nothing_is_picked_where_nothing_waits() -> None:
    assert pick([]) is None
    assert pick([model_of("a"), model_of("b")]) is None


def test_the_model_whose_row_or_batch_is_due_first_is_picked() -> None:
    rows, batch, idle = model_of("rows", 3.0, 5.0), model_of("batch", 9.0, waiting_due_s=2.0), model_of("idle")
    assert pick([idle, rows, batch]) is batch
    assert pick([batch, rows, idle]) is batch
    assert pick([rows, idle]) is rows


def test_of_models_that_are_due_at_the_same_time_the_first_is_picked() -> None:
    first, second = model_of("first", waiting_due_s=1.0), model_of("second", waiting_due_s=1.0)
    assert pick([first, second]) is first
    assert pick([second, first]) is second


def test_a_model_without_room_for_another_batch_is_not_picked() -> None:
    full = model_of("full", 1.0)
    full.max_batch_rows = 2
    full.running.append(Batch(full, SubmittedJob([(1, 1)] * 2).rows, 0.0))
    later = model_of("later", 2.0)
    assert pick([full, later]) is later
    full.running.clear()
    assert pick([full, later]) is full


# --- Waking workers --------------------------------------------------------------------------------------------------


class CountingCondition(threading.Condition):
    """Counts how often a thread goes to sleep; it holds the lock from the count until it sleeps."""

    sleeps = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.sleeps += 1
        return super().wait(timeout)


def test_a_worker_that_found_no_room_for_a_batch_is_woken_when_there_is() -> None:
    """Both waiting rows need a pass at the same time, so that one worker alone would wait for ever."""
    gate, together = Gate(), threading.Barrier(2, timeout=PATIENCE_S)

    def run(rows: list[Row]) -> Passes:
        if rows[0].inputs == "meet":
            together.wait()
        return gate(rows)

    made = SchedulerDouble(threads=2)
    lock = made.scheduler._lock = CountingCondition()
    queue = Queue(limit=9, cost=CostModel(max_tokens=512, batch_tokens=8), urgency=Urgency())
    made.scheduler.add("only", lambda rows, exclusive: run(rows), queue, RecordingObserver(), max_batch_rows=1)
    held = made.submit("only", "hold", "hold")  # a batch of both, after which there is no room
    made.scheduler.start()
    gate.wait()
    with lock:
        before = lock.sleeps
        waiting = made.submit("only", "meet", "meet", tokens=8)  # too long to share a pass
    assert eventually(lambda: lock.sleeps > before), "the other worker looks for work and finds none"
    gate.open()
    assert results(held) == ["hold", "hold"]
    assert results(waiting) == ["meet", "meet"]
    made.scheduler.close()


# --- Exclusive -------------------------------------------------------------------------------------------------------


def test_a_batch_without_others_is_exclusive() -> None:
    with running_scheduler(threads=2, only=echo) as made:
        for _ in range(20):
            results(made.submit("only", 1, 2))
            assert eventually(lambda: made.scheduler._busy == 0)
    assert made.exclusive == [True] * 20


def test_a_batch_beside_a_busy_worker_is_not_exclusive() -> None:
    gate = Gate()
    with running_scheduler(threads=2, gate=gate, other=echo) as made:
        held = made.submit("gate", "hold")
        gate.wait()
        results(made.submit("other", 1))
        gate.open()
        results(held)
    assert made.exclusive == [True, False]


def test_a_batch_that_others_wait_behind_is_not_exclusive_and_a_while_later_one_is() -> None:
    gate = Gate()
    with running_scheduler(gate=gate, a=echo, b=echo) as made:
        held = made.submit("gate", "hold")
        gate.wait()
        jobs = [made.submit("a", 1), made.submit("b", 2)]
        gate.open()
        for job in [held, *jobs]:
            results(job)
        assert made.exclusive[:2] == [True, False]

        def exclusive_again() -> bool:
            results(made.submit("a", 1))
            return made.exclusive[-1]

        assert eventually(exclusive_again)


def test_a_batch_between_the_steps_of_another_is_not_exclusive() -> None:
    in_first, go_on = threading.Event(), threading.Event()

    def writing(rows: list[Row]) -> Passes:
        in_first.set()
        assert go_on.wait(PATIENCE_S)
        yield done(rows, [])
        yield done(rows, [(row, "text") for row in rows])

    with running_scheduler(free=True, writer=writing, short=echo) as made:
        text = made.submit("writer", "source")
        assert in_first.wait(PATIENCE_S)
        short = made.submit("short", 1)
        go_on.set()
        assert [results(short), results(text)] == [[1], ["text"]]
    assert made.exclusive == [True, False]


# --- Warm-ups --------------------------------------------------------------------------------------------------------


def test_an_idle_worker_warms_up_single_thread_passes_first() -> None:
    order: list[str] = []
    made = SchedulerDouble()
    made.scheduler.warm_up([lambda: order.append("a")], [lambda: order.append("multi a")])
    made.scheduler.warm_up([lambda: order.append("b")], [lambda: order.append("multi b")])
    made.scheduler.start()
    assert eventually(lambda: len(order) == 4)
    made.scheduler.close()
    assert order == ["a", "b", "multi a", "multi b"]


def test_a_waiting_row_goes_before_a_warm_up() -> None:
    order: list[str] = []
    in_second, go_on = threading.Event(), threading.Event()

    def second() -> None:
        order.append("second")
        in_second.set()
        assert go_on.wait(PATIENCE_S)

    made = SchedulerDouble()
    made.add_model("only", recording(order, "row"))
    made.scheduler.warm_up([lambda: order.append("first"), second], [lambda: order.append("third")])
    made.submit("only", 1)
    made.scheduler.start()
    assert in_second.wait(PATIENCE_S)
    late = made.submit("only", 2)
    go_on.set()
    results(late)
    assert eventually(lambda: len(order) == 5)
    made.scheduler.close()
    assert order == ["row", "first", "second", "row", "third"]


def test_multi_thread_warm_ups_wait_until_no_other_worker_is_busy() -> None:
    order: list[str] = []
    gate = Gate()
    made = SchedulerDouble(threads=2)
    made.add_model("gate", gate)
    made.add_model("other", recording(order, "row"))
    held = made.submit("gate", "hold")
    made.scheduler.warm_up([lambda: order.append("single")], [lambda: order.append("multi")])
    made.scheduler.start()
    gate.wait()
    assert eventually(lambda: order == ["single"])
    for _ in range(3):  # the one free worker looks for work before and after each
        results(made.submit("other", 1))
    assert order == ["single", "row", "row", "row"]
    gate.open()
    results(held)
    assert eventually(lambda: order[-1] == "multi")
    made.scheduler.close()


def test_a_text_that_waits_for_its_next_step_goes_before_a_warm_up() -> None:
    order: list[str] = []

    def writing(rows: list[Row]) -> Passes:
        for step in range(3):
            order.append(f"step {step}")
            yield done(rows, [(row, "text") for row in rows] if step == 2 else [])

    made = SchedulerDouble()
    made.add_model("writer", writing)
    made.scheduler.warm_up([lambda: order.append("single")], [])
    text = made.submit("writer", "source")
    made.scheduler.start()
    assert results(text) == ["text"]
    assert eventually(lambda: len(order) == 4)
    made.scheduler.close()
    assert order == ["step 0", "step 1", "step 2", "single"]


@pytest.mark.parametrize("error", [ValueError("no such shape"), SystemExit()])
def test_a_failing_warm_up_harms_nothing(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    warmed = threading.Event()

    def failing() -> None:
        raise error

    made = SchedulerDouble()
    made.add_model("only", echo)
    made.scheduler.warm_up([failing], [failing, warmed.set])
    with caplog.at_level(logging.WARNING):
        made.scheduler.start()
        assert warmed.wait(PATIENCE_S), "the next one runs"
    assert results(made.submit("only", 1)) == [1]
    assert made.scheduler.healthy(PATIENCE_S)
    made.scheduler.close()
    assert [record.message for record in caplog.records] == ["a warm-up pass failed"] * 2
    assert made.observers["only"].failed_rows == 0


def test_close_leaves_out_the_warm_ups_that_are_left() -> None:
    ran: list[int] = []
    in_first, go_on = threading.Event(), threading.Event()

    def first() -> None:
        in_first.set()
        assert go_on.wait(PATIENCE_S)
        ran.append(1)

    made = SchedulerDouble()
    made.scheduler.warm_up([first, lambda: ran.append(2)], [lambda: ran.append(3)])
    made.scheduler.start()
    assert in_first.wait(PATIENCE_S)
    closing = threading.Thread(target=made.scheduler.close)
    closing.start()
    assert eventually(lambda: not made.scheduler.healthy(PATIENCE_S))
    go_on.set()
    closing.join(PATIENCE_S)
    assert ran == [1]


# --- Passes that go on -----------------------------------------------------------------------------------------------


def test_a_long_generation_holds_up_a_row_that_is_cheaper_than_a_step_by_one_pass() -> None:
    order: list[str] = []
    in_first, go_on = threading.Event(), threading.Event()

    def writing(rows: list[Row]) -> Passes:
        for step in range(1, 5):
            if step == 1:
                in_first.set()
                assert go_on.wait(PATIENCE_S)
            order.append(f"step {step}")
            yield done(rows, [(row, "text") for row in rows] if step == 4 else [])

    def short(rows: list[Row]) -> Passes:
        order.append("short")
        return echo(rows)

    with running_scheduler(free=True, writer=writing, short=short) as made:
        text = made.submit("writer", "source")
        assert in_first.wait(PATIENCE_S)
        quick = made.submit("short", 1)
        go_on.set()
        assert results(quick) == [1]
        assert results(text) == ["text"]
    assert order == ["step 1", "short", "step 2", "step 3", "step 4"]


def test_a_second_text_of_the_same_model_starts_between_the_steps_of_the_first() -> None:
    order: list[str] = []
    in_first, go_on = threading.Event(), threading.Event()

    def writing(rows: list[Row]) -> Passes:
        name = rows[0].inputs
        for step in range(1, 4):
            if not in_first.is_set():
                in_first.set()
                assert go_on.wait(PATIENCE_S)
            order.append(f"{name}{step}")
            yield done(rows, [(row, name) for row in rows] if step == 3 else [])

    with running_scheduler(free=True, writer=writing) as made:
        jobs = [made.submit("writer", "a")]
        assert in_first.wait(PATIENCE_S)
        jobs.append(made.submit("writer", "b"))
        go_on.set()
        assert [results(job) for job in jobs] == [["a"], ["b"]]
    assert order[:2] == ["a1", "b1"]
    assert sorted(order) == ["a1", "a2", "a3", "b1", "b2", "b3"]


def test_a_row_that_finishes_early_is_answered_while_its_neighbour_is_still_written() -> None:
    go_on = threading.Event()

    def writing(rows: list[Row]) -> Passes:
        first, *others = rows
        yield done(rows, [(first, "first")])
        assert go_on.wait(PATIENCE_S)
        yield done(others, [(row, "later") for row in others])

    gate = Gate()
    with running_scheduler(gate=gate, writer=writing) as made:
        made.submit("gate", "hold")
        gate.wait()
        early, late = made.submit("writer", 1), made.submit("writer", 2)
        gate.open()
        assert results(early) == ["first"]
        assert not late.done.is_set()
        go_on.set()
        assert results(late) == ["later"]
    assert made.observers["writer"].batches == [2, 1]


# --- Failure ---------------------------------------------------------------------------------------------------------


def test_a_failing_row_fails_alone() -> None:
    gate = Gate()
    with running_scheduler(only=gate) as made:
        made.submit("only", "hold")
        gate.wait()
        jobs = [made.submit("only", item) for item in (1, "poison", 2)]
        gate.open()
        assert results(jobs[0]) == [1]
        assert results(jobs[2]) == [2]
        with pytest.raises(InferenceError, match="failed on this input"):
            results(jobs[1])
        assert results(made.submit("only", 3)) == [3], "the worker lives on"
    assert made.observers["only"].failed_rows == 1


def test_rows_answered_before_the_failure_are_not_run_again() -> None:
    runs: list[Any] = []

    def writing(rows: list[Row]) -> Passes:
        runs.append([row.inputs for row in rows])
        if len(rows) == 1:
            yield from echo(rows)
            return
        yield done(rows, [(row, row.inputs) for row in rows if row.inputs == 1])
        raise ValueError("in the second pass")

    with running_scheduler(writer=writing) as made:
        job = made.submit("writer", 1, 2, 3)
        assert results(job) == [1, 2, 3]
    assert runs == [[1, 2, 3], [2], [3]]


def test_a_service_error_is_not_replaced() -> None:
    def refusing(rows: list[Row]) -> Passes:
        raise InvalidInput("not this")

    with running_scheduler(only=refusing) as made, pytest.raises(InvalidInput, match="not this"):
        results(made.submit("only", 1))


@pytest.mark.parametrize("passes", [0, 1])
def test_passes_that_end_too_early_still_answer(passes: int) -> None:
    def ending(rows: list[Row]) -> Passes:
        return iter([done(rows, [])] * passes)

    with running_scheduler(only=ending, other=echo) as made:
        job = made.submit("only", 1, 2)
        with pytest.raises(InferenceError):
            results(job)
        assert results(made.submit("other", 1)) == [1]
    assert job.pending == 0
    assert made.observers["only"].failed_rows == 2


def test_a_row_finished_twice_keeps_its_first_answer() -> None:
    def twice(rows: list[Row]) -> Passes:
        yield done(rows, [(rows[0], "first"), (rows[0], "second")])
        yield done(rows, [(rows[0], "third"), (rows[1], "other")])

    with running_scheduler(only=twice) as made:
        job = made.submit("only", 1, 2)
        assert results(job) == ["first", "other"]
    assert made.calls == [[job]]


def test_a_delivery_that_fails_does_not_stop_the_worker() -> None:
    def deliver(jobs: list[Job]) -> None:
        for job in jobs:
            assert isinstance(job, SubmittedJob)
            job.done.set()
        raise RuntimeError("the event loop is closed")

    made = SchedulerDouble()
    made.scheduler = Scheduler(threads=1, deliver=deliver)
    made.add_model("only", echo)
    made.scheduler.start()
    assert results(made.submit("only", 1)) == [1]
    assert results(made.submit("only", 2)) == [2]
    assert made.scheduler.healthy(PATIENCE_S)
    made.scheduler.close()


# --- Admission -------------------------------------------------------------------------------------------------------


def test_a_full_queue_takes_all_rows_of_a_job_or_none() -> None:
    gate = Gate()
    made = SchedulerDouble()
    made.add_model("only", gate, limit=3)
    made.scheduler.start()
    jobs = [made.submit("only", "hold")]
    gate.wait()
    jobs.append(made.submit("only", 1, 2))
    with pytest.raises(Overloaded, match=r"2 rows waiting and room for 3; this request brings 2"):
        made.submit("only", 3, 4)
    assert made.scheduler.depths() == {"only": 2}
    jobs.append(made.submit("only", 5))
    with pytest.raises(Overloaded):
        made.submit("only", 6)
    gate.open()
    assert [results(job) for job in jobs] == [["hold"], [1, 2], [5]]
    made.scheduler.close()
    assert gate.seen == ["hold", 1, 2, 5]


def test_a_full_queue_does_not_close_another() -> None:
    gate = Gate()
    made = SchedulerDouble()
    made.add_model("full", gate, limit=1)
    made.add_model("other", echo, limit=1)
    made.scheduler.start()
    made.submit("full", "hold")
    gate.wait()
    made.submit("full", 1)
    with pytest.raises(Overloaded):
        made.submit("full", 2)
    other = made.submit("other", 3)
    gate.open()
    assert results(other) == [3]
    made.scheduler.close()


def test_more_work_than_a_request_may_wait_for_is_refused() -> None:
    """A row of 400 tokens is estimated at 41 ms before anything is measured; nothing runs here before `start`."""
    made = SchedulerDouble(max_wait_s=0.06)
    made.add_model("only", echo)
    made.add_model("other", echo)
    jobs = [made.submit("only", number, tokens=400) for number in range(2)]
    for name in ("only", "other"):
        with pytest.raises(Overloaded, match=r"^0\.1 s of work are waiting and a request may take 0\.06 s\. Try again"):
            made.submit(name, 3)
    assert made.scheduler.depths() == {"only": 2, "other": 0}
    made.scheduler.start()
    for job in jobs:
        results(job)
    assert results(made.submit("only", 4)) == [4]
    made.scheduler.close()


def test_workers_share_the_work_that_waits() -> None:
    made = SchedulerDouble(threads=2, max_wait_s=0.06)
    made.add_model("only", echo)
    for number in range(3):
        made.submit("only", number, tokens=400)
    with pytest.raises(Overloaded, match="of work are waiting"):
        made.submit("only", 4, tokens=400)
    made.scheduler.close()


def test_admit_refuses_as_submit_would_and_takes_no_lock() -> None:
    made = SchedulerDouble(max_wait_s=0.03)
    made.add_model("full", echo, limit=1)
    made.add_model("other", echo)
    made.scheduler.admit("full")
    made.submit("full", 1)
    seen: list[str] = []

    def check() -> None:
        for name in ("other", "full"):
            try:
                made.scheduler.admit(name)
                seen.append("admitted")
            except Overloaded as error:
                seen.append(str(error))

    checking = threading.Thread(target=check)
    with made.scheduler._lock:
        checking.start()
        checking.join(PATIENCE_S)
    assert seen == ["admitted", "Model 'full' has 1 rows waiting, its limit. Try again in a moment."]
    made.submit("other", 1, tokens=400)
    with pytest.raises(Overloaded, match="s of work are waiting"):
        made.scheduler.admit("other")
    made.scheduler.close()


# --- Cancelling ------------------------------------------------------------------------------------------------------


def test_cancelled_rows_never_run() -> None:
    gate = Gate()
    with running_scheduler(only=gate) as made:
        made.submit("only", "hold")
        gate.wait()
        left, stays = made.submit("only", 1, 2), made.submit("only", 3)
        left.cancel()
        gate.open()
        assert results(stays) == [3]
        assert results(left) == [None, None], "answered, so that nothing waits for it"
    assert gate.seen == ["hold", 3]
    assert made.observers["only"].batches == [1, 1]


# --- Health ----------------------------------------------------------------------------------------------------------


def test_a_stuck_pass_turns_health_false_until_it_ends() -> None:
    gate = Gate()
    with running_scheduler(threads=2, only=gate) as made:
        assert made.scheduler.healthy(PATIENCE_S)
        made.submit("only", "hold")
        gate.wait()
        assert made.scheduler.healthy(PATIENCE_S)
        assert eventually(lambda: not made.scheduler.healthy(0.01))
        gate.open()
        assert eventually(lambda: made.scheduler.healthy(0.01)), "idle workers are not stuck"
    assert not made.scheduler.healthy(PATIENCE_S), "closed"


def test_health_takes_no_lock() -> None:
    with running_scheduler(only=echo) as made:
        answers: list[bool] = []
        asking = threading.Thread(target=lambda: answers.append(made.scheduler.healthy(PATIENCE_S)))
        with made.scheduler._lock:
            asking.start()
            asking.join(PATIENCE_S)
        assert answers == [True]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_run_that_wants_to_exit_fails_its_row_and_not_the_worker() -> None:
    def leaving(rows: list[Row]) -> Passes:
        raise SystemExit

    with running_scheduler(only=leaving, other=echo) as made:
        with pytest.raises(InferenceError):
            results(made.submit("only", 1))
        assert results(made.submit("other", 2)) == [2]
        assert made.scheduler.healthy(PATIENCE_S)


def test_workers_that_do_not_live_are_not_healthy() -> None:
    assert not Scheduler(threads=1, deliver=lambda jobs: None).healthy(PATIENCE_S)


# --- Closing ---------------------------------------------------------------------------------------------------------


def test_close_lets_the_running_pass_end_and_answers_all_that_waits() -> None:
    gate = Gate()
    with running_scheduler(only=gate) as made:
        running = made.submit("only", "hold")
        gate.wait()
        waiting = [made.submit("only", number, number) for number in range(20)]
        closing = threading.Thread(target=made.scheduler.close)
        closing.start()
        assert eventually(lambda: not made.scheduler.healthy(PATIENCE_S))
        gate.open()
        closing.join(PATIENCE_S)
        assert not closing.is_alive()
        assert results(running) == ["hold"]
        for job in waiting:
            with pytest.raises(Unavailable):
                results(job)
        assert gate.seen == ["hold"]
    assert len(made.delivered()) == 21


def test_close_answers_texts_that_are_half_written() -> None:
    in_pass, go_on = threading.Event(), threading.Event()

    def endless(rows: list[Row]) -> Passes:
        while True:
            in_pass.set()
            assert go_on.wait(PATIENCE_S)
            yield done(rows, [])

    with running_scheduler(only=endless) as made:
        job = made.submit("only", 1)
        assert in_pass.wait(PATIENCE_S)
        go_on.set()
        made.scheduler.close()
        with pytest.raises(Unavailable):
            results(job)


def test_after_close_nothing_is_taken_and_a_second_close_does_nothing() -> None:
    with running_scheduler(only=echo) as made:
        made.scheduler.close()
        with pytest.raises(Unavailable):
            made.submit("only", 1)
        made.scheduler.close()
    assert made.calls == []


def test_close_before_start_answers_what_waits() -> None:
    made = SchedulerDouble(threads=2)
    made.add_model("only", echo)
    job = made.submit("only", 1)
    made.scheduler.close()
    with pytest.raises(Unavailable):
        results(job)
