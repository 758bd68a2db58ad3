from __future__ import annotations

import pytest

from service.text.names import is_name, is_salient


@pytest.mark.parametrize("word", ["3", "2.5", "12,000", "GPT-4", "LLM", "LLMs", "IoT", "GitHub", "top-5", "x_1", "AéB"])
def test_words_with_a_digit_or_two_capitals_are_names(word: str) -> None:
    assert is_name(word)


@pytest.mark.parametrize("word", ["the", "Paris", "A", "state-of-the-art", "Smith-Jones", "U.S", "é", ""])
def test_other_words_are_none(word: str) -> None:
    assert not is_name(word)


@pytest.mark.parametrize(
    ("word", "begins_sentence", "salient"),
    [
        ("7", True, True), ("top5", True, True), ("LLM", True, True), ("IoT", True, True), ("iPhone", True, True),
        ("Paris", False, True), ("Paris", True, False), ("A", True, False), ("paris", False, False), ("", True, False),
    ],
)  # fmt: skip
def test_a_capital_that_only_begins_a_sentence_makes_no_word_salient(
    word: str, begins_sentence: bool, salient: bool
) -> None:
    assert is_salient(word, begins_sentence=begins_sentence) is salient
