from __future__ import annotations

import math
import threading
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.scheduling.cost_model import CostModel

LEARNT = 6400
"""Passes after which the surface has seen enough of a shape."""
UNSEEN = list(product([1, 3, 6, 20, 32], [5, 12, 50, 100, 128]))


def surface(*, batch_tokens: int = 32 * 128, max_tokens: int = 128, **prior: float) -> CostModel:
    return CostModel(max_tokens=max_tokens, batch_tokens=batch_tokens, **prior)


class Law:
    """What passes cost in truth, `slower` than a small encoder on one core."""

    def __init__(self, slower: float = 1.0) -> None:
        self._slower = slower

    def __call__(self, rows: int, tokens: int) -> float:
        padded = rows * tokens
        return self._slower * (0.5e-3 + 0.05e-3 * rows + 0.08e-3 * padded + 1e-7 * padded * tokens)


def warmed_up(law: Law, cost: CostModel | None = None) -> CostModel:
    cost = cost or surface()
    for rows, tokens in cost.shapes():
        cost.measured(rows, tokens, law(rows, tokens))
    return cost


# --- Before anything is measured -------------------------------------------------------------------------------------


@given(st.integers(1, 32), st.integers(1, 600))
def test_a_pass_costs_its_start_and_its_tokens(rows: int, tokens: int) -> None:
    cost = surface(pass_s=0.5, token_s=0.01)
    assert cost.seconds(rows, tokens) == pytest.approx(0.5 + 0.01 * rows * tokens)


@given(st.integers(1, 300), st.integers(1, 5000), st.integers(1, 600))
def test_a_column_is_as_long_as_the_budget(tokens: int, batch_tokens: int, max_tokens: int) -> None:
    cost = surface(max_tokens=max_tokens, batch_tokens=batch_tokens)
    column = cost.column(tokens)
    assert column[0] == 0
    assert len(column) - 1 == max(1, min(32, batch_tokens // tokens))
    assert column[1:] == [cost.seconds(rows, tokens) for rows in range(1, len(column))]
    assert all(more > less for less, more in pairwise(column))


@pytest.mark.parametrize("max_tokens", [1, 7, 8, 9, 100, 512, 4096, 10_000])
def test_lengths_beyond_what_is_measured_cost_more_still(max_tokens: int) -> None:
    cost = warmed_up(Law(), surface(max_tokens=max_tokens, batch_tokens=256))
    costs_s = [cost.seconds(1, tokens) for tokens in (max_tokens, 2 * max_tokens, 20 * max_tokens)]
    assert 0 < costs_s[0] < costs_s[1] < costs_s[2] < math.inf


def test_a_share_is_of_the_cheapest_pass() -> None:
    cost = surface(batch_tokens=64, pass_s=0.1, token_s=0.001)
    assert cost.amortized_s(16) == pytest.approx((0.1 + 0.064) / 4)
    assert cost.amortized_s(32) == pytest.approx((0.1 + 0.064) / 2)
    assert cost.amortized_s(100) == pytest.approx(0.1 + 0.1)


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_what_a_warm_up_measures_is_within_the_budget_and_cheap_first(max_tokens: int, batch_tokens: int) -> None:
    shapes = surface(max_tokens=max_tokens, batch_tokens=batch_tokens).shapes()
    sizes = [rows * tokens for rows, tokens in shapes]
    assert sizes == sorted(sizes)
    assert len(set(shapes)) == len(shapes)
    assert all(size <= batch_tokens for size in sizes)
    assert all(tokens <= max_tokens for _, tokens in shapes)
    assert shapes or batch_tokens < min(8, max_tokens)


# --- Measured --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "slower",
    [
        0.1,
        1,
        3,
        10,
        100,
    ],
)
def test_a_warm_up_tells_what_passes_cost(slower: float) -> None:
    law = Law(slower)
    cost = warmed_up(law)
    for rows, tokens in [*cost.shapes(), *UNSEEN]:
        assert cost.seconds(rows, tokens) == pytest.approx(law(rows, tokens), rel=0.15), (rows, tokens)
    assert cost.column(50)[7] == cost.seconds(7, 50)
    assert cost.amortized_s(50) == pytest.approx(law(32, 50) / 32, rel=0.15)


@given(st.permutations(surface().shapes()))
def test_the_order_of_measurements_does_not_matter(order: list[tuple[int, int]]) -> None:
    """Several workers measure at once, and any of them may be the last to tell."""
    law = Law(2)
    one, other = warmed_up(law), surface()
    for rows, tokens in order:
        other.measured(rows, tokens, law(rows, tokens))
    for rows, tokens in [*order, *UNSEEN]:
        assert other.seconds(rows, tokens) == pytest.approx(one.seconds(rows, tokens), rel=0.02)


@given(st.data())
def test_noise_is_averaged_out(data: st.DataObject) -> None:
    law, cost = Law(), surface()
    shapes = cost.shapes()
    noise = data.draw(st.lists(st.floats(0.9, 1.1), min_size=len(shapes), max_size=len(shapes)))
    for (rows, tokens), times in zip(shapes, noise, strict=True):
        cost.measured(rows, tokens, times * law(rows, tokens))
    for rows, tokens in shapes:
        assert cost.seconds(rows, tokens) == pytest.approx(law(rows, tokens), rel=0.15)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(1e-6, 100), min_size=36, max_size=36))
def test_costs_are_above_0_whatever_was_measured(seconds: list[float]) -> None:
    cost = surface()
    for (rows, tokens), took_s in zip(cost.shapes(), seconds, strict=False):
        cost.measured(rows, tokens, took_s)
    for rows, tokens in [*cost.shapes(), *UNSEEN]:
        assert 0 < cost.seconds(rows, tokens) < math.inf
        assert 0 < cost.amortized_s(tokens) < math.inf


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_a_clock_too_coarse_to_see_a_pass_does_no_harm() -> None:
    law = Law()
    cost = warmed_up(law)
    cost.measured(1, 8, 0.0)
    cost.record(1, 8, 0.0)
    assert cost.seconds(32, 128) == pytest.approx(law(32, 128), rel=0.15)


# --- Learnt from passes ----------------------------------------------------------------------------------------------


def learn(cost: CostModel, rows: int, tokens: int, seconds: float, passes: int = LEARNT) -> None:
    for _ in range(passes):
        cost.record(rows, tokens, seconds)


@pytest.mark.parametrize("ratio", [0.3, 0.8, 1.25, 4.0])
def test_passes_move_the_cost_toward_what_they_took(ratio: float) -> None:
    cost = warmed_up(Law())
    took_s = ratio * cost.seconds(4, 32)
    distance_s = abs(took_s - cost.seconds(4, 32))
    learn(cost, 4, 32, took_s, passes=128)
    assert abs(took_s - cost.seconds(4, 32)) < distance_s


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 32), st.integers(1, 128), st.floats(0.2, 5))
def test_the_cost_of_a_shape_that_runs_again_and_again_is_what_it_takes(rows: int, tokens: int, ratio: float) -> None:
    cost = surface()
    took_s = ratio * cost.seconds(rows, tokens)
    learn(cost, rows, tokens, took_s)
    assert cost.seconds(rows, tokens) == pytest.approx(took_s, rel=0.05)


@pytest.mark.parametrize("slower", [0.4, 2.5])
def test_a_machine_that_became_slower_or_faster_is_learnt(slower: float) -> None:
    law, cost = Law(slower), warmed_up(Law())
    for _ in range(LEARNT // len(cost.shapes())):
        for rows, tokens in cost.shapes():
            cost.record(rows, tokens, law(rows, tokens))
    for rows, tokens in cost.shapes():
        assert cost.seconds(rows, tokens) == pytest.approx(law(rows, tokens), rel=0.3)


@pytest.mark.parametrize(("rows", "tokens"), [(1, 8), (4, 32), (3, 50), (32, 128)])
@pytest.mark.parametrize("times", [1e-6, 1e6])
def test_one_disturbed_pass_says_little(rows: int, tokens: int, times: float) -> None:
    cost = warmed_up(Law())
    usual_s = cost.seconds(rows, tokens)
    cost.record(rows, tokens, times * usual_s)
    learn(cost, rows, tokens, usual_s, passes=63)
    assert cost.seconds(rows, tokens) != usual_s, "it was taken up"
    assert cost.seconds(rows, tokens) == pytest.approx(usual_s, rel=0.05)


def test_threads_may_observe_measure_and_ask_at_once() -> None:
    cost = surface(batch_tokens=256)
    begin = threading.Barrier(4)
    seen: list[float] = []

    def work(turn: int) -> None:
        begin.wait()
        for round_ in range(100):
            for rows, tokens in cost.shapes():
                cost.record(rows, tokens, 1e-3)
                seen.extend([*cost.column(tokens + turn)[1:], cost.amortized_s(tokens + turn)])
            if turn == 0 and round_ % 10 == 0:
                cost.measured(1, 8, 1e-3)

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) > 4 * 100 * len(cost.shapes())
    assert all(0 < seconds < math.inf for seconds in seen)
    for rows, tokens in cost.shapes():
        assert cost.seconds(rows, tokens) == pytest.approx(1e-3, rel=0.2)
