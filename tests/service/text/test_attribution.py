"""Which sentences support a summary."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.text.attribution import attribute

TEXT = [
    "Bruce McArthur, from Toronto, Canada, on Tuesday admitted his guilt in eight murders.",
    "Beginning in 2010 and continuing for seven years, McArthur murdered gay men.",
    "A search of McArthur's van found an alleged murder weapon, which was not publicly identified.",
    "Sentencing is scheduled for February 4.",
    "McArthur faces a mandatory life sentence with a minimum term of 25 years.",
]
OTHER = "The proposed transformer improves translation quality on WMT by 2.3 BLEU."


def test_a_sentence_of_the_text_supports_itself_wholly() -> None:
    for index, found in enumerate(attribute(TEXT, TEXT, None, 1)):
        assert found == [(index, 1.0)]


def test_other_words_for_the_same_find_their_sentence() -> None:
    summary = ["Toronto's McArthur admits eight murders.", "He will be sentenced on February 4.", "25 years at least."]
    assert [found[0][0] for found in attribute(summary, TEXT, None, 3)] == [0, 3, 4]


def test_the_summary_of_another_text_is_not_supported() -> None:
    [found] = attribute([OTHER], TEXT, None, 3)
    assert all(score < 0.2 for _, score in found)


def test_a_wrong_number_or_name_costs_more_than_a_wrong_word() -> None:
    def score(sentence: str) -> float:
        return attribute([sentence], TEXT, None, 1)[0][0][1]

    right = score("A life sentence of 25 years is what McArthur faces.")
    wrong_word = score("A life sentence of 25 years is what McArthur expects.")
    assert wrong_word < right
    assert score("A life sentence of 35 years is what McArthur faces.") < wrong_word
    assert score("A life sentence of 25 years is what Kinsman faces.") < wrong_word


def test_vectors_tip_the_scales_where_words_say_nothing() -> None:
    similarity = np.array([[0.1, 0.0, -1.0, 0.8, 0.0]])
    found = attribute(["Zzz."], TEXT, similarity, 3)
    assert [index for index, _ in found[0]] == [3, 0]  # what has nothing in common is left out
    assert found[0][0][1] < 0.25


def test_nothing_supports_nothing() -> None:
    assert attribute([], TEXT, None, 3) == []
    assert attribute(["A summary."], [], None, 3) == [[]]
    assert attribute(["", "of the"], TEXT, None, 3) == [[], []]


@given(st.lists(st.text(max_size=40), max_size=6), st.lists(st.text(max_size=40), max_size=8), st.integers(1, 4))
def test_scores_are_shares_best_first(summary: list[str], text: list[str], top: int) -> None:
    generator = np.random.default_rng(7)
    found = attribute(summary, text, generator.uniform(-1.0001, 1.0001, (len(summary), len(text))), top)
    assert len(found) == len(summary)
    for sources in found:
        scores = [score for _, score in sources]
        assert len(sources) <= top
        assert len({index for index, _ in sources}) == len(sources)
        assert scores == sorted(scores, reverse=True)
        assert all(0 < score <= 1 for score in scores)


def test_a_text_of_the_largest_size_takes_a_fraction_of_a_second() -> None:
    text = [
        f"Sentence number {index} is about topic {index % 40} and says {index * 7} things." for index in range(1500)
    ]
    began_s = time.process_time()
    attribute(text[:20], text, None, 3)
    assert time.process_time() - began_s < 1
