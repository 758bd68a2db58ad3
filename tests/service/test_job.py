from __future__ import annotations

import pytest

from service.errors import DeadlineExceeded, InferenceError
from service.job import Job


def test_results_come_in_the_order_of_the_rows() -> None:
    job = Job([("a", 3), ("b", 5)])
    assert [(row.inputs, row.tokens, row.job) for row in job.rows] == [("a", 3, job), ("b", 5, job)]
    assert job.pending == 2
    for row in reversed(job.rows):
        row.result = row.inputs.upper()
    assert job.results() == ["A", "B"]


def test_a_failed_row_fails_the_job() -> None:
    job = Job([("a", 3), ("b", 5)])
    job.error = InferenceError("The model failed on this input.")
    with pytest.raises(InferenceError, match="failed"):
        job.results()


def test_rows_are_told_apart_by_who_they_are() -> None:
    one, other = Job([("a", 1), ("a", 1)]).rows
    assert one != other
    assert len({one, other}) == 2


def test_a_cancelled_job_has_no_error_and_an_expired_one_has() -> None:
    left, late = Job([("a", 1)]), Job([("a", 1)])
    left.cancel()
    assert left.cancelled
    assert left.results() == [None]
    late.expire()
    assert late.cancelled
    with pytest.raises(DeadlineExceeded, match="Not answered in time"):
        late.results()


def test_a_job_that_failed_before_it_expired_keeps_its_error() -> None:
    job = Job([("a", 1), ("b", 1)])
    job.error = InferenceError("The model failed on this input.")
    job.expire()
    with pytest.raises(InferenceError):
        job.results()


def test_a_job_without_a_deadline_never_expires() -> None:
    assert Job([("a", 1)]).expires_s == float("inf")
