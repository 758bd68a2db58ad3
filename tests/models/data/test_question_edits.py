"""A changed question asks something that its paragraph does not say, and is well written."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from models.data.question_edits import edit_question, negate, replace_word, swap_name
from tests.models.doubles import NONE_ALIKE, like_words

CONTEXT = "The tower was built in 1889 by Gustave Eiffel for a fair in Paris. It has 3 floors and a view of Montmartre."


def all_of(change: Callable[[random.Random], str | None], times: int = 60) -> set[str | None]:
    return {change(random.Random(seed)) for seed in range(times)}


def test_a_name_is_put_for_another_of_the_paragraph_or_a_stranger() -> None:
    asked = "Who built the tower of Montmartre?"
    found = all_of(lambda chooser: swap_name(asked, CONTEXT, ["Lisbon"], chooser))
    wanted = {f"Who built the tower of {name}?" for name in ("Gustave Eiffel", "Paris", "Lisbon")}
    assert found == wanted


def test_a_strange_name_that_the_paragraph_has_is_not_taken() -> None:
    context = "It stands in Paris, a city."
    assert all_of(lambda chooser: swap_name("who is in paris?", context, ["Paris"], chooser)) == {None}


def test_a_number_is_put_for_the_other_or_one_near_it() -> None:
    found = all_of(lambda chooser: swap_name("Who built it in 1889?", CONTEXT, ["Lisbon"], chooser))
    years = {int(question.split()[-1][:-1]) for question in found if question}
    assert 3 in years
    assert 1889 not in years
    assert all(1859 <= year <= 1919 for year in years - {3})
    assert len(years) > 5


def test_a_lower_case_question_stays_lower_case() -> None:
    found = all_of(lambda chooser: swap_name("who went to montmartre", CONTEXT, ["Lisbon"], chooser))
    assert found == {"who went to gustave eiffel", "who went to paris", "who went to lisbon"}


def test_a_question_without_names_or_numbers_of_the_paragraph_stays() -> None:
    assert all_of(lambda chooser: swap_name("who went to Lisbon in 1755?", CONTEXT, ["Oslo"], chooser)) == {None}


def test_a_word_is_put_for_its_opposite_or_a_not_set_in() -> None:
    found = all_of(lambda chooser: negate("What was the largest fair?", chooser))
    assert found == {
        "What was the smallest fair?",
        *(f"What was{no} the largest fair?" for no in (" not", "n't", " never")),
    }
    assert all_of(lambda chooser: negate("name the fair", chooser)) == {None}


def test_a_word_of_the_paragraph_is_put_for_one_like_it_that_it_has_not() -> None:
    words = like_words({"tower": 1.0, "bridge": 0.4, "floors": 0.4})
    found = all_of(lambda chooser: replace_word("Who built the tower here?", CONTEXT, words, chooser))
    assert found == {"Who built the bridge here?"}, "the paragraph has floors"


def test_words_of_the_paragraph_come_before_others() -> None:
    """Both words have one beside them, and only one stands in the paragraph."""
    words = like_words({"tower": 1.0, "bridge": 0.4}, {"artist": 1.0, "clown": 0.4})
    assert words.neighbours("artist") == ["clown"]
    found = all_of(lambda chooser: replace_word("Which artist built the tower?", CONTEXT, words, chooser))
    assert found == {"Which artist built the bridge?"}


def test_asking_words_stay() -> None:
    words = like_words({"which": 1.0, "bridge": 0.4})
    assert all_of(lambda chooser: replace_word("which", "no such word", words, chooser)) == {None}


@pytest.mark.parametrize("question", ["Who built the tower in 1889?", "What was first?", "", "?", "1889"])
def test_whatever_is_asked_the_change_is_another_question_or_none(question: str) -> None:
    for seed in range(60):
        changed = edit_question(question, CONTEXT, names=["Lisbon"], words=NONE_ALIKE, chooser=random.Random(seed))
        assert changed is None or (changed.strip() and changed != question)
