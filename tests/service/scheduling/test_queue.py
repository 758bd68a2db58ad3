from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.scheduling.cost_model import CostModel
from service.scheduling.job import Row
from service.scheduling.queue import PATIENCE_S, Queue, Urgency
from tests.service.scheduling.doubles import SubmittedJob

LENGTHS = st.lists(st.integers(1, 600), min_size=1, max_size=120)
FEW_LENGTHS = st.lists(st.integers(1, 600), min_size=1, max_size=20)
BUDGETS = st.integers(1, 1000)


class Tables(CostModel):
    """Costs as they are told: a column of seconds by rows for each length."""

    def __init__(self, columns: dict[int, list[float]]) -> None:
        super().__init__(max_tokens=max(columns), batch_tokens=1)
        self._told = columns

    def column(self, tokens: int) -> list[float]:
        return self._told[tokens]


def rows_of(*lengths: int, arrived_s: float = 0.0) -> list[Row]:
    rows = SubmittedJob([(None, length) for length in lengths]).rows
    for row in rows:
        row.arrived_s = arrived_s
    return rows


def used_to(cost_s: float) -> Urgency:
    """What is typical when many rows of this cost were seen."""
    urgency = Urgency()
    for _ in range(5000):
        urgency.due_s(0.0, cost_s)
    return urgency


def queue_of(*, batch_tokens: int = 256, limit: int = 10_000, urgency: Urgency | None = None) -> Queue:
    cost = CostModel(max_tokens=512, batch_tokens=batch_tokens)
    return Queue(limit=limit, cost=cost, urgency=urgency or used_to(cost.amortized_s(16)))


def filled(lengths: list[int], batch_tokens: int = 256) -> tuple[Queue, list[Row]]:
    queue = queue_of(batch_tokens=batch_tokens)
    rows = rows_of(*lengths)
    assert queue.put(rows)
    return queue, rows


def batches(queue: Queue) -> Iterator[list[Row]]:
    while len(queue):
        yield queue.take()


def by_urgency(row: Row) -> tuple[float, int]:
    return row.due_s, row.number


# --- Whatever the rows -----------------------------------------------------------------------------------------------


@given(LENGTHS, BUDGETS)
def test_every_row_comes_out_once(lengths: list[int], batch_tokens: int) -> None:
    queue, rows = filled(lengths, batch_tokens)
    taken = [row for batch in batches(queue) for row in batch]
    assert sorted(map(id, taken)) == sorted(map(id, rows))
    assert queue.most_urgent() is None
    assert not any(row.queued for row in rows)


@given(LENGTHS, BUDGETS)
def test_batches_keep_the_budget_unless_alone(lengths: list[int], batch_tokens: int) -> None:
    queue, _ = filled(lengths, batch_tokens)
    for batch in batches(queue):
        assert len(batch) == 1 or max(row.tokens for row in batch) * len(batch) <= batch_tokens


@given(LENGTHS, BUDGETS)
def test_the_most_urgent_row_is_in_every_batch(lengths: list[int], batch_tokens: int) -> None:
    queue, rows = filled(lengths, batch_tokens)
    waiting = list(rows)
    while waiting:
        first = min(waiting, key=by_urgency)
        assert queue.most_urgent() is first
        batch = queue.take()
        assert first in batch
        waiting = [row for row in waiting if row not in batch]


@given(st.lists(LENGTHS, max_size=20), st.integers(1, 100))
def test_put_takes_all_or_none_and_clear_gives_them_in_order_of_arrival(jobs: list[list[int]], limit: int) -> None:
    queue = queue_of(limit=limit)
    accepted: list[Row] = []
    for lengths in jobs:
        rows = rows_of(*lengths)
        fits = len(accepted) + len(rows) <= limit
        assert queue.put(rows) is fits
        accepted += rows if fits else []
        assert len(queue) == len(accepted)
    assert queue.clear() == accepted
    assert (len(queue), queue.most_urgent(), queue.backlog_s) == (0, None, 0)


@given(LENGTHS, BUDGETS)
def test_the_backlog_is_what_waits_and_0_when_nothing_does(lengths: list[int], batch_tokens: int) -> None:
    queue, rows = filled(lengths, batch_tokens)
    alone_s = sum(queue.cost.column(row.tokens)[1] for row in rows)
    assert 0 < queue.backlog_s <= alone_s * 1.000001
    left = list(rows)
    for batch in batches(queue):
        left = [row for row in left if row not in batch]
        assert queue.backlog_s == pytest.approx(sum(row.amortized_s for row in left))
        assert (queue.backlog_s > 0) is bool(left)
    assert queue.backlog_s == 0


# --- Who is due when -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cost_s", "after_s"), [(2e-3, 2e-3), (1e-3, 0.25e-3), (4e-3, 16e-3), (10e-3, 0.25), (16e-3, 1.0), (60.0, 1.0)]
)
def test_a_row_is_due_after_its_cost_by_what_is_typical_and_a_second_at_most(cost_s: float, after_s: float) -> None:
    assert used_to(2e-3).due_s(0.0, cost_s) == pytest.approx(after_s)
    assert used_to(2e-3).due_s(100.0, cost_s) == pytest.approx(100 + after_s)
    assert used_to(2e-3).due_s(100.0, cost_s) <= 100 + PATIENCE_S


def test_the_first_row_is_typical() -> None:
    assert Urgency().due_s(5.0, 0.03) == pytest.approx(5.03)


def test_what_is_typical_is_what_rows_cost_lately() -> None:
    urgency = used_to(2e-3)
    assert urgency.due_s(0.0, 20e-3) == 1.0
    dues_s = [urgency.due_s(0.0, 20e-3) for _ in range(5000)]
    assert dues_s == sorted(dues_s, reverse=True)
    assert dues_s[-1] == pytest.approx(20e-3, rel=0.01)


def test_a_rows_due_time_is_of_its_share_and_of_what_all_queues_saw() -> None:
    urgency = used_to(2e-3)
    one = Queue(limit=9, cost=Tables({1: [0, 3e-3, 4e-3]}), urgency=urgency)
    other = Queue(limit=9, cost=Tables({1: [0, 10e-3]}), urgency=urgency)
    (cheap,), (dear,) = rows_of(1, arrived_s=7.0), rows_of(1, arrived_s=7.0)
    assert one.put([cheap])
    assert other.put([dear])
    assert cheap.due_s == pytest.approx(7.002)
    assert dear.due_s == pytest.approx(7.25)


ARRIVALS = st.lists(st.tuples(st.floats(0, 0.7), FEW_LENGTHS, st.integers(0, 3)), min_size=1, max_size=12)


@given(ARRIVALS, BUDGETS)
def test_nobody_is_passed_over_for_a_row_that_came_more_than_a_second_later(
    arrivals: list[tuple[float, list[int], int]], batch_tokens: int
) -> None:
    """What is left behind is due after the row around which the batch was formed; so that row came a second later at
    most. Rows that came later still are in such a batch only beside it."""
    queue = queue_of(batch_tokens=batch_tokens)
    now_s, waiting = 0.0, list[Row]()

    def take() -> None:
        nonlocal waiting
        first = queue.most_urgent()
        assert first is not None
        batch = queue.take()
        waiting = [row for row in waiting if row not in batch]
        for left in waiting:
            assert by_urgency(first) < by_urgency(left)
            assert first.arrived_s <= left.arrived_s + PATIENCE_S

    for gap_s, lengths, takes in arrivals:
        now_s += gap_s
        rows = rows_of(*lengths, arrived_s=now_s)
        assert queue.put(rows)
        waiting += rows
        for _ in range(min(takes, len(waiting))):
            if waiting:
                take()
    while waiting:
        take()


def test_short_rows_pass_a_long_one_that_came_with_them_but_not_for_longer_than_a_second() -> None:
    queue = queue_of()
    (long,) = rows_of(500, arrived_s=10.0)  # a pass of its own, sixty times what is typical: due in a second
    (with_it,), (within,) = rows_of(8, arrived_s=10.0), rows_of(8, arrived_s=10.9)
    (after,) = rows_of(8, arrived_s=11.001)
    for row in (long, with_it, within):
        assert queue.put([row])
    assert queue.take() == [with_it, within]
    assert queue.put([after])
    assert queue.take() == [long]
    assert queue.take() == [after]


def test_rows_of_like_cost_hardly_overtake_each_other() -> None:
    queue = Queue(limit=9, cost=Tables({10: [0, 2.0e-3], 11: [0, 2.1e-3]}), urgency=used_to(2e-3))
    rows = [*rows_of(11, arrived_s=0.0), *rows_of(10, arrived_s=0.001)]
    assert queue.put(rows)
    assert [queue.take(), queue.take()] == [rows[:1], rows[1:]]


# --- What shares a pass ----------------------------------------------------------------------------------------------

# In 1/1024 s, so that sums are exact whatever their order: then the cheapest is the cheapest, not nearly.
COSTS = st.integers(1, 80).map(lambda parts: parts / 1024)
COLUMNS = st.lists(st.lists(COSTS, min_size=1, max_size=5), min_size=1, max_size=6)


def cheapest_s(lengths: list[int], cost: CostModel) -> float:
    """Of all ways to cut the sorted rows into passes, by trying them all."""
    if not lengths:
        return 0.0
    return min(
        cheapest_s(lengths[:-rows], cost) + cost.column(lengths[-1])[rows]
        for rows in range(1, 1 + min(len(lengths), len(cost.column(lengths[-1])) - 1))
    )


@given(COLUMNS, st.data())
def test_a_batch_is_a_part_of_the_cheapest_way_to_cut_what_waits(
    columns: list[list[float]], data: st.DataObject
) -> None:
    """Whatever passes cost; "part" as the rows sorted by length, of which those before it and after it are cut too."""
    cost = Tables({tokens: [0.0, *column] for tokens, column in enumerate(columns, 1)})
    queue = Queue(limit=8, cost=cost, urgency=Urgency())
    rows = rows_of(*data.draw(st.lists(st.integers(1, len(columns)), min_size=1, max_size=8)))
    assert queue.put(rows)
    waiting = sorted(rows, key=lambda row: (row.tokens, row.number))
    while waiting:
        first, best_s = queue.most_urgent(), cheapest_s([row.tokens for row in waiting], cost)
        batch = queue.take()
        begin = waiting.index(batch[0])
        before, after = waiting[:begin], waiting[begin + len(batch) :]
        assert batch == waiting[begin : begin + len(batch)]
        assert first in batch
        parts = [
            cheapest_s([row.tokens for row in before], cost),
            cost.column(batch[-1].tokens)[len(batch)],
            cheapest_s([row.tokens for row in after], cost),
        ]
        assert sum(parts) == best_s
        waiting = before + after


def test_like_lengths_share_a_batch_whatever_came_between() -> None:
    queue, rows = filled([10, 200, 11, 190, 9])
    taken = list(batches(queue))
    assert [row.tokens for row in taken[0]] == [9, 10, 11]
    assert taken[1:] == [[rows[1]], [rows[3]]], "two of 200 would be over the budget"


def test_rows_of_one_length_fill_the_budget() -> None:
    queue, _ = filled([32] * 16)
    assert [len(batch) for batch in batches(queue)] == [8, 8]


def test_what_passes_cost_decides_whether_rows_share_one() -> None:
    lengths = [8, 16, 24, 32]
    for pass_s, token_s, sizes in ((1e-6, 1e-4, [1, 1, 1, 1]), (1e-2, 0.0, [4])):
        cost = CostModel(max_tokens=512, batch_tokens=256, pass_s=pass_s, token_s=token_s)
        queue = Queue(limit=9, cost=cost, urgency=Urgency())
        assert queue.put(rows_of(*lengths))
        assert [len(batch) for batch in batches(queue)] == sizes
