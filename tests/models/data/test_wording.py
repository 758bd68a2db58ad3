"""How summaries are worded, and what of that is learnt."""

from __future__ import annotations

import pytest

from models.data.wording import (
    about_its_subject,
    is_clean,
    names_in,
    opens_with_paper,
    repeats_words,
    without_paper,
    worth_learning,
)


def test_names_are_words_with_a_digit_or_with_two_capitals() -> None:
    text = "In 2019 GPT-4 and the IoT beat BERT (LLMs) by 3.5 points, 1,000 times. Paris is a City; x is not."
    assert names_in(text) == {"2019", "GPT-4", "IoT", "BERT", "LLMs", "3.5", "1,000"}


@pytest.mark.parametrize("opening", ["The paper", "This study", "The authors", "This work", "In this paper"])
def test_an_opening_that_says_that_there_is_a_paper_is_seen(opening: str) -> None:
    assert opens_with_paper(f"{opening} compares tides.")


@pytest.mark.parametrize("summary", ["The papers of Newton are read.", "Paper folds.", "A study shows tides."])
def test_a_paper_that_is_the_subject_is_none(summary: str) -> None:
    assert not opens_with_paper(summary)


def test_a_named_thing_is_said_first() -> None:
    said = about_its_subject("The paper introduces CARE (Care), a benchmark for nets, and tests it.")
    assert said == "CARE (Care) is a benchmark for nets, and tests it."
    assert about_its_subject("The paper introduces a benchmark, CARE.") == "The paper introduces a benchmark, CARE."


def test_a_verb_stands_without_its_paper() -> None:
    assert without_paper("This study compares nets of GPT-4.") == "Compares nets of GPT-4."
    assert without_paper("The paper is about nets.") == "The paper is about nets."
    assert without_paper("The authors compare nets.") == "The authors compare nets."


def test_four_words_twice_are_a_repetition() -> None:
    assert repeats_words("A net of fish and a net of fish.".replace(".", ""))
    assert not repeats_words("A net of fish and a net of cod.")


@pytest.mark.parametrize("text", ["nets.", "Nets", "Nets  of fish.", "Nets of $x$.", "Nets of \\alpha.", " Nets."])
def test_what_is_not_clean(text: str) -> None:
    assert not is_clean(text)


def test_worth_learning_are_clean_summaries_with_the_names_of_their_source() -> None:
    source = "We propose CARE, which reads 12 sets."
    assert worth_learning("CARE reads 12 sets.", source)
    assert not worth_learning("CARE reads 13 sets.", source)
    assert not worth_learning("The paper introduces CARE.", source)
    assert not worth_learning("CARE reads 12 sets", source)
