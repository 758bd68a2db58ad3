from __future__ import annotations

import math

import pytest

from service.scheduling.delivery import HOLD_S, ResultBuffer
from service.scheduling.job import Job
from tests.service.scheduling.doubles import SubmittedJob

PLENTY_S = 10 * HOLD_S


class Post:
    """An outbox and what it sent, call by call; time passes only when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[list[Job]] = []
        self.now_s = 100.0
        monkeypatch.setattr("service.scheduling.delivery.time.perf_counter", lambda: self.now_s)
        self.box = ResultBuffer(self.sent.append)


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Post:
    return Post(monkeypatch)


def job() -> Job:
    return SubmittedJob([(0, 1)])


def test_where_little_waits_an_answer_goes_before_the_next_pass(post: Post) -> None:
    first = job()
    post.box.add([first])
    post.box.flush_if_due(pass_s=0.0, backlog_s=HOLD_S / 2)
    assert post.sent == [[first]]


def test_where_much_waits_answers_of_several_passes_go_together(post: Post) -> None:
    first, second, third = job(), job(), job()
    post.box.add([first])
    post.box.flush_if_due(pass_s=HOLD_S / 4, backlog_s=PLENTY_S)
    post.now_s += HOLD_S / 4
    post.box.add([second, third])
    assert post.sent == []
    post.box.flush()
    assert post.sent == [[first, second, third]]


@pytest.mark.parametrize(("passed_s", "pass_s"), [(0.0, 1.1 * HOLD_S), (0.9 * HOLD_S, 0.2 * HOLD_S), (0.0, math.inf)])
def test_an_answer_is_not_kept_beyond_the_hold(post: Post, passed_s: float, pass_s: float) -> None:
    """Whether the next pass is long, or the first of the answers is old, or nobody knows."""
    first = job()
    post.box.add([first])
    post.now_s += passed_s
    post.box.flush_if_due(pass_s=pass_s, backlog_s=PLENTY_S)
    assert post.sent == [[first]]


def test_the_hold_begins_anew_with_what_comes_after_sending(post: Post) -> None:
    post.box.add([job()])
    post.box.flush()
    post.now_s += 5 * HOLD_S
    post.box.add([job()])
    post.box.flush_if_due(pass_s=HOLD_S / 2, backlog_s=PLENTY_S)
    assert len(post.sent) == 1


def test_nothing_is_sent_of_nothing_and_nothing_twice(post: Post) -> None:
    post.box.flush()
    post.box.flush_if_due(pass_s=math.inf, backlog_s=0.0)
    assert post.sent == []
    post.box.add([job()])
    post.box.flush()
    post.box.flush()
    assert len(post.sent) == 1


def test_what_cannot_be_delivered_is_logged_and_let_go(caplog: pytest.LogCaptureFixture) -> None:
    def broken(jobs: list[Job]) -> None:
        raise RuntimeError("the event loop is closed")

    box = ResultBuffer(broken)
    box.add([job(), job()])
    box.flush()
    box.flush()
    assert [record.getMessage() for record in caplog.records] == ["2 finished jobs could not be delivered"]
