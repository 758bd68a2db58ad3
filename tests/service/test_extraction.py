"""Choosing sentences that say much and overlap little."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.extraction import FEATURES, Array, choose, features, fragment_penalties, pooled


def units_of(*directions: list[float]) -> Array:
    vectors = np.array(directions, np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


APART = units_of([1, 0, 0], [0, 1, 0], [0, 0, 1])


def test_the_best_are_chosen_in_the_order_of_the_text() -> None:
    assert choose(np.array([1.0, 3.0, 2.0]), APART, 1) == [1]
    assert choose(np.array([1.0, 2.0, 3.0]), APART, 2) == [1, 2]
    assert choose(np.array([1.0, 2.0, 3.0]), APART, 9) == [0, 1, 2]


def test_a_sentence_that_says_what_a_chosen_one_says_gives_way_to_a_new_one() -> None:
    alike = units_of([1, 0, 0], [0.9, 0.43, 0], [0, 0, 1])
    assert choose(np.array([3.0, 2.9, 1.0]), alike, 2) == [0, 2]
    assert choose(np.array([3.0, 2.9, -1.0]), alike, 2) == [0, 1]  # unless the new one says too little


def test_the_same_sentence_is_chosen_once_and_the_first_of_equals() -> None:
    assert choose(np.ones(4), np.ones((4, 1), np.float32), 3) == [0]


def test_of_nothing_nothing_is_chosen() -> None:
    assert choose(np.zeros(0), np.zeros((0, 3)), 2) == []
    assert features([]).shape == (0, FEATURES)
    assert pooled(np.zeros((0, 4)), []).shape == (0, 4)


@pytest.mark.parametrize(
    ("sentence", "is_fragment"),
    [
        ("Getting started with the new forms", True),
        ("Hi all,", True),
        ("Thanks!", True),
        ("Attendees: Lee, Amara, Johan.", True),
        ("Date: Mon, 3 Nov 2025.", True),
        ("Open question: whether we support Android 9.", False),
        ('He called it "the best half hour of the season".', False),
        ("Lena: perfect, thanks Sue!", False),
        ("这个模型比以前的模型快了很多，而且更准确。", False),
        ("यह मॉडल पुराने मॉडल से तेज़ है।", False),
    ],
)
def test_headings_greetings_and_lists_of_names_are_chosen_last(sentence: str, is_fragment: bool) -> None:
    assert (fragment_penalties([sentence]) > 0).tolist() == [is_fragment]


def test_a_text_of_fragments_has_its_best_chosen_still() -> None:
    scores = np.array([1.0, 3.0, 2.0]) - fragment_penalties(["eggs", "flour", "butter"])
    assert choose(scores, APART, 1) == [1]


@given(st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=30), st.integers(1, 5))
def test_a_choice_is_distinct_sentences_with_the_highest_score_among_them(scores: list[float], count: int) -> None:
    units = np.random.default_rng(len(scores)).normal(size=(len(scores), 64))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    chosen = choose(np.array(scores), units, count)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, len(scores))
    assert int(np.argmax(scores)) in chosen


def test_a_text_of_the_largest_size_takes_milliseconds() -> None:
    generator = np.random.default_rng(0)
    units = generator.normal(size=(1500, 128)).astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    scores = generator.normal(size=1500).astype(np.float32)
    began_s = time.process_time()
    choose(scores, units, 10)
    assert time.process_time() - began_s < 0.2


def test_pooling_means_each_sentence_alone() -> None:
    states = np.array([[1, 1], [3, 5], [7, 7]], np.float32)
    assert pooled(states, [2, 0, 1]).tolist() == [[2, 3], [0, 0], [7, 7]]


@pytest.mark.parametrize("lengths", [[5], [0, 0], [3, 50, 7], [20] * 1500])
def test_features_are_small_and_finite(lengths: list[int]) -> None:
    found = features(lengths)
    assert found.shape == (len(lengths), FEATURES)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 5


def test_features_tell_first_middle_and_last_apart() -> None:
    first, middle, last = features([10, 10, 10]).tolist()
    assert (first[3], middle[3], last[3]) == (1, 0, 0)
    assert (first[4], middle[4], last[4]) == (0, 0, 1)
    assert (first[0], middle[0], last[0]) == (0, 0.5, 1)
