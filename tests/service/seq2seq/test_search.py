from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.seq2seq.options import GenerationOptions, SpecialTokens
from service.seq2seq.search import BeamSearch, GreedySearch, Search, log_softmax, new_search

START, END, A, B = 0, 1, 2, 3
Logits = Callable[[list[int]], Any]


def options(**chosen: Any) -> GenerationOptions:
    defaults = {
        "max_new_tokens": 5, "min_new_tokens": 0, "num_beams": 1, "length_penalty": 1.0, "no_repeat_ngram_size": 0,
    }  # fmt: skip
    return GenerationOptions(**(defaults | chosen))


def special(**chosen: Any) -> SpecialTokens:
    defaults: dict[str, Any] = {"start": START, "ends": frozenset([END])}
    return SpecialTokens(**(defaults | chosen))


def write(search: Search, logits: Logits) -> list[int]:
    """Run it to its end; `logits` gives a text's next tokens."""
    for _ in range(100):
        if search.finished:
            return search.output_ids
        before = [list(beam) for beam in search.beams]
        scores = np.array([logits(beam) for beam in search.beams], dtype=np.float32)
        search.advance(scores if isinstance(search, GreedySearch) else log_softmax(scores))
        if not search.finished:
            assert len({len(beam) for beam in search.beams}) == 1
            assert [before[parent] for parent in search.parents] == [beam[:-1] for beam in search.beams]
    raise AssertionError("never finished")


def steps(*tables: list[float]) -> Logits:
    """The same logits for every text of a length: by step, tokens in the order start, end, a, b."""
    return lambda beam: tables[min(len(beam), len(tables)) - 1]


def after(**tables: list[float]) -> Logits:
    """Probabilities by what was written so far, "" at first, each of start, end, a, b; the end follows the rest."""
    names = {START: "s", A: "a", B: "b"}

    def logits(beam: list[int]) -> Any:
        written = "".join(names[token] for token in beam[1:])
        return np.log(np.array(tables.get(written or "first", [0, 1, 0, 0])) + 1e-30)

    return logits


def chance(seed: int, vocabulary: int) -> Logits:
    """Logits that depend on the whole text, the same each time it is asked."""

    def logits(beam: list[int]) -> Any:
        return np.random.default_rng([seed, *beam]).normal(0, 2, vocabulary)

    return logits


def test_log_softmax_is_stable_and_sums_to_one() -> None:
    scores = log_softmax(np.array([[1000.0, 999.0], [-1000.0, 0.0]], dtype=np.float32))
    assert np.exp(scores).sum(axis=-1) == pytest.approx([1, 1])
    assert scores[0] == pytest.approx([-0.31326, -1.31326], abs=1e-4)


def test_one_beam_is_greedy() -> None:
    assert isinstance(new_search(options(), special()), GreedySearch)
    assert isinstance(new_search(options(num_beams=2), special()), BeamSearch)


# --- Greedy ----------------------------------------------------------------------------------------------------------


def test_greedy_takes_the_likeliest_until_the_end() -> None:
    logits = steps([0, 1, 3, 2], [0, 1, 2, 3], [0, 9, 2, 3])
    assert write(new_search(options(), special()), logits) == [A, B]


def test_greedy_stops_at_its_limit() -> None:
    assert write(new_search(options(max_new_tokens=3), special()), steps([0, 0, 1, 0])) == [A, A, A]


def test_of_several_ends_any_ends() -> None:
    ends = special(ends=frozenset([END, B]))
    assert write(new_search(options(), ends), steps([0, 0, 5, 1], [0, 0, 1, 5])) == [A]


# --- Beams -----------------------------------------------------------------------------------------------------------


def test_beams_find_a_text_that_greedy_misses() -> None:
    """0.4 x 0.9 is more than 0.6 x 0.5."""
    logits = after(first=[0, 0, 0.6, 0.4], a=[0, 0.1, 0.5, 0.4], b=[0, 0, 0.9, 0.1])
    assert write(new_search(options(max_new_tokens=2), special()), logits) == [A, A]
    assert write(new_search(options(max_new_tokens=2, num_beams=2), special()), logits) == [B, A]


@pytest.mark.parametrize(("penalty", "written"), [(-1.0, [A]), (0.0, [A]), (1.0, [A, B, A]), (2.0, [A, B, A])])
def test_length_penalty_weighs_short_against_long(penalty: float, written: list[int]) -> None:
    """[a, end] has log(0.9 x 0.5) over 2^penalty, [a, b, a, end] log(0.9 x 0.4 x 0.8) over 4^penalty."""
    logits = after(first=[0, 0, 0.9, 0.1], a=[0, 0.5, 0.1, 0.4], ab=[0, 0.1, 0.8, 0.1], aba=[0, 1, 0, 0])
    chosen = options(num_beams=3, length_penalty=penalty)
    assert write(new_search(chosen, special()), logits) == written


@given(st.integers(0, 10_000), st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]))
def test_beams_that_can_hold_all_texts_find_the_best_of_all(seed: int, penalty: float) -> None:
    """Three words and the end, two steps: four beams follow everything, so brute force must agree."""
    logits = chance(seed, 4)
    special_tokens = special(start=9)

    def score(text: tuple[int, ...]) -> float:
        total = sum(float(log_softmax(logits([9, *text[:place]]))[token]) for place, token in enumerate(text))
        return total / float(len(text) ** penalty)

    texts = [(END,), *product((START, A, B), range(4))]
    best = max(texts, key=score)
    found = write(new_search(options(num_beams=4, max_new_tokens=2, length_penalty=penalty), special_tokens), logits)
    assert tuple(found) == tuple(token for token in best if token != END)


def test_an_end_that_is_not_among_the_best_is_no_end() -> None:
    """The end is third of three at first: two beams drop it, though nothing later is as likely."""
    logits = after(first=[0, 0.2, 0.5, 0.3], a=[0.2, 0.25, 0.3, 0.25], b=[0.2, 0.25, 0.3, 0.25])
    chosen = options(num_beams=2, max_new_tokens=2, length_penalty=0.0)
    assert write(new_search(chosen, special()), logits) == [A, A]


def test_all_beams_go_on_though_the_best_one_ends() -> None:
    search = new_search(options(num_beams=2), special())
    search.advance(np.log(np.array([[0.01, 0.6, 0.3, 0.09]], dtype=np.float32)))
    assert search.beams == [[START, A], [START, B]]


def test_early_stopping_ends_with_enough_texts_though_a_better_one_may_come() -> None:
    logits = after(first=[0, 0.3, 0.5, 0.2], a=[0, 0.5, 0, 0.5], b=[0, 1, 0, 0], ab=[0, 1, 0, 0])
    calls: list[int] = []

    def counted(beam: list[int]) -> Any:
        calls.append(len(beam))
        return logits(beam)

    short = options(num_beams=2, early_stopping=True, length_penalty=3.0)
    assert write(new_search(short, special()), counted) == [A]
    early = max(calls)
    assert write(new_search(options(num_beams=2, length_penalty=3.0), special()), counted) == [A, B]
    assert early < max(calls)


def test_beams_stop_when_no_running_text_can_get_better() -> None:
    calls: list[int] = []

    def logits(beam: list[int]) -> list[float]:
        calls.append(len(beam))
        return [-20, 10, 0, -1]

    assert write(new_search(options(num_beams=2, max_new_tokens=50), special()), logits) == []
    assert max(calls) < 5


# --- What may be written ---------------------------------------------------------------------------------------------

BEAMS = st.integers(1, 4)
SEEDS = st.integers(0, 10_000)


@given(SEEDS, BEAMS, st.integers(2, 3))
def test_no_n_gram_is_written_twice(seed: int, beams: int, size: int) -> None:
    chosen = options(num_beams=beams, no_repeat_ngram_size=size, max_new_tokens=14, min_new_tokens=14)
    written = write(new_search(chosen, special(start=7)), chance(seed, 8))
    grams = [tuple(written[index : index + size]) for index in range(len(written) - size + 1)]
    assert len(written) == 14
    assert len(set(grams)) == len(grams)


def test_without_the_rule_it_would_repeat() -> None:
    assert write(new_search(options(), special()), steps([0, 0, 5, 1])) == [A] * 5
    assert write(new_search(options(no_repeat_ngram_size=2), special()), steps([0, 0, 5, 1])) == [A, A, B, A, START]
    assert write(new_search(options(no_repeat_ngram_size=1, max_new_tokens=3), special()), steps([0, -1, 5, 1])) == [
        A,
        B,
    ]


@given(SEEDS, BEAMS, st.integers(0, 6), st.integers(0, 6))
def test_lengths_keep_their_bounds(seed: int, beams: int, least: int, more: int) -> None:
    most = max(1, least + more)
    chosen = options(num_beams=beams, min_new_tokens=least, max_new_tokens=most)
    assert least <= len(write(new_search(chosen, special(start=9)), chance(seed, 10))) <= most


@pytest.mark.parametrize("beams", [1, 2, 4])
def test_the_end_waits_for_the_least_length(beams: int) -> None:
    eager = steps([0, 9, 2, 1])
    assert write(new_search(options(num_beams=beams), special()), eager) == []
    assert write(new_search(options(num_beams=beams, min_new_tokens=3), special()), eager) == [A, A, A]


@pytest.mark.parametrize("beams", [1, 2, 4])
def test_a_forced_first_token_comes_first(beams: int) -> None:
    written = write(new_search(options(num_beams=beams), special(forced_first=B)), steps([0, 1, 9, 0], [0, 5, 9, 0]))
    assert written[0] == B
    assert set(written[1:]) == {A}


@pytest.mark.parametrize("beams", [1, 2, 4])
def test_a_forced_last_token_comes_last(beams: int) -> None:
    endless = steps([0, -9, 9, 0])
    chosen = options(num_beams=beams, max_new_tokens=4)
    assert write(new_search(chosen, special()), endless) == [A] * 4
    assert write(new_search(chosen, special(forced_last=END)), endless) == [A] * 3


@given(SEEDS, BEAMS)
def test_banned_tokens_are_never_written(seed: int, beams: int) -> None:
    chosen = options(num_beams=beams, max_new_tokens=8)
    assert not {4, 5} & set(write(new_search(chosen, special(start=9, banned=(4, 5))), chance(seed, 10)))
