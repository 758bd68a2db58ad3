from __future__ import annotations

import math
from collections import deque

import pytest

from service.errors import Overloaded
from service.scheduling.admission import Admission
from service.scheduling.cost_model import CostModel
from service.scheduling.job import Row
from service.scheduling.model_batches import ModelBatches
from service.scheduling.queue import Queue, Urgency
from tests.service.scheduling.doubles import RecordingObserver, SubmittedJob, echo

ROW_S = 0.01


def made(*, threads: int = 1, max_wait_s: float = math.inf, limit: int = 10_000) -> tuple[Admission, ModelBatches]:
    """A line whose rows of one token take ROW_S each, in passes of one row."""
    cost = CostModel(max_tokens=8, batch_tokens=1, pass_s=ROW_S, token_s=0.0)
    line = ModelBatches(
        "only",
        Queue(limit=limit, cost=cost, urgency=Urgency()),
        lambda rows, exclusive: echo(rows),
        RecordingObserver(),
        1,
    )
    admission = Admission(threads=threads, max_wait_s=max_wait_s)
    admission.add(line)
    return admission, line


def come(admission: Admission, line: ModelBatches, now_s: float = 0.0) -> Row:
    """A row that is let in; raises Overloaded if it is not."""
    job = SubmittedJob([("text", 1)])
    (row,) = job.rows
    job.backlog_s = admission.check(line)
    row.arrived_s = now_s
    assert line.queue.put([row])
    return row


def test_the_backlog_is_shared_by_the_threads() -> None:
    admission, line = made(threads=2)
    for _ in range(10):
        come(admission, line)
    assert admission.backlog_s() == pytest.approx(10 * ROW_S / 2)
    assert admission.check(line) == admission.backlog_s()


def test_all_lines_count() -> None:
    admission, line = made()
    _, other = made()
    admission.add(other)
    come(admission, line)
    come(admission, other)
    assert admission.backlog_s() == pytest.approx(2 * ROW_S)


def test_no_more_is_taken_than_a_request_may_wait_for() -> None:
    admission, line = made(max_wait_s=0.205)
    for _ in range(21):
        come(admission, line)
    with pytest.raises(Overloaded, match=r"^0\.2 s of work are waiting and a request may take 0\.205 s\. Try again"):
        come(admission, line)


def test_a_full_queue_is_told_first() -> None:
    admission, line = made(limit=1, max_wait_s=0.0)
    line.queue.put(SubmittedJob([("text", 1)]).rows)
    with pytest.raises(Overloaded, match="1 rows waiting, its limit"):
        admission.check(line)


@pytest.mark.parametrize("slowness", [0.7, 1.6, 3.0])
def test_an_overloaded_machine_lets_in_what_it_can_answer_in_time_and_does_not_swing(slowness: float) -> None:
    """Rows take longer than they are taken for, and it is seen only when they run: once, belief that was corrected by
    its own error swung between taking all and none, and a quarter of what was let in came too late."""
    admission, line = made(max_wait_s=1.0)
    waiting: deque[Row] = deque()
    waits_s: list[float] = []
    for step in range(4000):
        now_s = step * slowness * ROW_S
        for _ in range(4):  # that many come while one is run
            try:
                waiting.append(come(admission, line, now_s))
            except Overloaded:
                break
        admission.learn(waiting[0], now_s)
        waits_s.append(now_s - waiting.popleft().arrived_s)
        line.queue.take()
    settled = waits_s[1500:]
    assert max(settled) < 1.1
    assert min(settled) > 0.8


def test_a_short_backlog_says_nothing() -> None:
    admission, line = made(max_wait_s=0.1)
    row = come(admission, line)
    for _ in range(1000):
        admission.learn(row, 1000.0)
    for _ in range(10):
        come(admission, line)
