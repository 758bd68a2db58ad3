from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.job import Job, Row
from service.queue import Queue

LENGTHS = st.lists(st.integers(1, 600), min_size=1, max_size=60)
BUDGETS = st.integers(1, 1000)
SLACKS = st.integers(0, 100)


def rows_of(*lengths: int) -> list[Row]:
    return Job([(None, length) for length in lengths]).rows


def filled(lengths: list[int], batch_tokens: int, slack_tokens: int) -> tuple[Queue, list[Row]]:
    queue = Queue(limit=len(lengths), batch_tokens=batch_tokens, slack_tokens=slack_tokens)
    rows = rows_of(*lengths)
    assert queue.put(rows)
    return queue, rows


def padded(rows: list[Row]) -> int:
    return max(row.tokens for row in rows) * len(rows)


def padding(rows: list[Row]) -> int:
    return padded(rows) - sum(row.tokens for row in rows)


@given(LENGTHS, BUDGETS, SLACKS)
def test_every_row_comes_out_once(lengths: list[int], batch_tokens: int, slack_tokens: int) -> None:
    queue, rows = filled(lengths, batch_tokens, slack_tokens)
    taken: list[Row] = []
    while len(queue):
        batch = queue.take()
        assert batch
        taken += batch
    assert sorted(map(id, taken)) == sorted(map(id, rows))
    assert queue.oldest() is None


@given(LENGTHS, BUDGETS, SLACKS)
def test_batches_keep_the_budget_unless_alone(lengths: list[int], batch_tokens: int, slack_tokens: int) -> None:
    queue, _ = filled(lengths, batch_tokens, slack_tokens)
    while len(queue):
        batch = queue.take()
        assert len(batch) == 1 or padded(batch) <= batch_tokens


@given(LENGTHS, BUDGETS, SLACKS)
def test_the_oldest_row_is_in_every_batch(lengths: list[int], batch_tokens: int, slack_tokens: int) -> None:
    queue, rows = filled(lengths, batch_tokens, slack_tokens)
    waiting = list(rows)
    while waiting:
        assert queue.oldest() is waiting[0]
        batch = queue.take()
        assert waiting[0] in batch
        waiting = [row for row in waiting if row not in batch]


@given(LENGTHS, BUDGETS, SLACKS)
def test_each_row_that_joined_cost_no_more_than_a_pass(
    lengths: list[int], batch_tokens: int, slack_tokens: int
) -> None:
    queue, _ = filled(lengths, batch_tokens, slack_tokens)
    while len(queue):
        batch = queue.take()
        assert padding(batch) <= slack_tokens * (len(batch) - 1)


@given(LENGTHS, BUDGETS, SLACKS)
def test_no_row_that_would_have_been_worth_it_is_left(lengths: list[int], batch_tokens: int, slack_tokens: int) -> None:
    queue, rows = filled(lengths, batch_tokens, slack_tokens)
    waiting = list(rows)
    while len(queue):
        batch = queue.take()
        waiting = [row for row in waiting if row not in batch]
        for row in waiting:
            joined = [*batch, row]
            fits = padded(joined) <= batch_tokens
            assert not (fits and padding(joined) - padding(batch) <= slack_tokens)


@given(st.lists(LENGTHS, max_size=20), st.integers(1, 100))
def test_put_takes_all_or_none(jobs: list[list[int]], limit: int) -> None:
    queue = Queue(limit=limit, batch_tokens=256, slack_tokens=12)
    accepted: list[Row] = []
    for lengths in jobs:
        rows = rows_of(*lengths)
        fits = len(accepted) + len(rows) <= limit
        assert queue.put(rows) is fits
        accepted += rows if fits else []
        assert len(queue) == len(accepted)
    assert queue.clear() == accepted
    assert len(queue) == 0


def test_like_lengths_share_a_batch_whatever_came_between() -> None:
    queue, rows = filled([10, 200, 11, 190, 9], batch_tokens=256, slack_tokens=12)
    assert [row.tokens for row in queue.take()] == [9, 10, 11]
    assert queue.take() == [rows[1]], "two of 200 would be over the budget"
    assert queue.take() == [rows[3]]


def test_rows_of_one_length_fill_the_budget() -> None:
    queue, _ = filled([32] * 10, batch_tokens=256, slack_tokens=0)
    assert [len(queue.take()), len(queue.take())] == [8, 2]
