from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.tasks.answer_spans import best_place, best_places, count_spans, span_logits

LOGITS = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=12)


@given(LOGITS, st.integers(1, 15))
def test_span_logits_are_the_sums_of_their_ends(logits: list[tuple[int, int]], longest: int) -> None:
    starts, ends = np.array(logits, dtype=np.float64).T
    table = span_logits(starts, ends, longest)
    assert table.shape == (longest, len(logits))
    for first, extra in product(range(len(logits)), range(longest)):
        inside = first + extra < len(logits)
        assert table[extra, first] == (starts[first] + ends[first + extra] if inside else -np.inf)


@given(st.integers(1, 20), st.integers(1, 20))
def test_spans_are_counted_that_do_not_leave_the_window(longest: int, tokens: int) -> None:
    table = span_logits(np.zeros(tokens), np.zeros(tokens), longest)
    assert count_spans(longest, tokens) == np.isfinite(table).sum()


@given(LOGITS, st.integers(1, 15), st.integers(1, 200))
def test_the_best_places_are_those_of_a_full_sort(logits: list[tuple[int, int]], longest: int, count: int) -> None:
    starts, ends = np.array(logits, dtype=np.float64).T
    table = span_logits(starts, ends, longest)
    count = min(count, table.size)
    places = best_places(table, count)
    assert len(set(places)) == count
    everywhere = sorted(np.ndindex(table.shape), key=lambda place: (-table[place], place[1], place[0]))
    assert places == everywhere[:count]
    assert best_place(table) == places[0]


def test_of_equal_spans_the_first_is_the_best_however_many_are_asked_for() -> None:
    table = span_logits(np.array([0.0] * 8 + [0, 0]), np.array([0.0] * 8 + [1, 1]), 1)
    assert [best_places(table, count)[0] for count in range(1, 11)] == [(0, 8)] * 10
