"""The service keeps to the source what the workshop counts as names of a summary."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.wording import names_in
from service.seq2seq.source_names import SourceText
from service.text.names import is_name

CHARS = st.sampled_from("abAB12.,-_ 'é(/")
WORDS = st.text(st.sampled_from("abABé1_"), min_size=1, max_size=6)
ALL = {chr(code) for code in range(256)}


def words_of(text: str) -> list[str]:
    """As the service cuts them."""
    return [word.strip(".,-") for word in re.split(r"[^\w.,-]", text)]


@given(WORDS)
def test_a_word_is_a_name_to_both_or_to_none(word: str) -> None:
    """But for `T5`: the score passes a word over whose only digit is its end."""
    assert is_name(word) is (names_in(word) == {word} or re.fullmatch(r"\D+\d", word) is not None)


@given(st.lists(WORDS, min_size=1, max_size=3).map("-".join))
def test_words_with_hyphens_hold_no_name_that_the_service_does_not_see(word: str) -> None:
    assert is_name(word) or not names_in(word)


@given(summary=st.text(CHARS, max_size=20), source=st.text(CHARS, max_size=30))
def test_where_all_names_are_the_sources_the_score_finds_them_there(summary: str, source: str) -> None:
    """Also where the summary was put together from the source, so that many are."""
    for text in (summary, source[len(source) // 3 :], source[: len(source) // 2] + summary):
        rule = SourceText(source, ALL)
        if all(rule.chars_left(word) == 0 for word in words_of(text) if is_name(word)):
            assert all(name in source for name in names_in(text))


@pytest.mark.parametrize(
    "text", ["GPT-4.5 on 12,000 LLMs", "an AI-based COVID-19 model, IoT", "3D F1-score, v2.5 (X_1)"]
)
def test_a_texts_own_names_are_its_own(text: str) -> None:
    assert names_in(text)
    assert all(SourceText(text, ALL).chars_left(word) == 0 for word in words_of(text) if is_name(word))
