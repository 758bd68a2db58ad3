from __future__ import annotations

import pytest

from service.errors import InferenceError
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


def test_a_cancelled_job_has_no_error() -> None:
    left = Job([("a", 1)])
    left.cancel()
    assert left.cancelled
    assert left.results() == [None]
