"""Made questions look like people's, and what they ask is not there."""

from __future__ import annotations

from typing import Any

from models.data.unanswerable import hard_unanswerable_rows
from tests.models.doubles import NONE_ALIKE

CONTEXT = (
    "The tower was built in 1889 by Gustave Eiffel for a fair in Paris. Its first visitors climbed by the stairs alone."
)
OTHER = "The tower of London was built by William, and its keepers are called warders. It is a fortress on the Thames."


def row_of(question: str, context: str, answer: str) -> dict[str, Any]:
    begin = context.index(answer)
    return {"question": question, "context": context, "answers": {"text": [answer], "answer_start": [begin]}}


ROWS = [
    row_of("Who built the tower in 1889?", CONTEXT, "Gustave Eiffel"),
    row_of("What are the keepers of the tower of London called?", OTHER, "warders"),
]


def made(**shares: float) -> list[dict[str, Any]]:
    found = hard_unanswerable_rows(ROWS, NONE_ALIKE, **{"removed": 0.0, "alike": 0.0, "swapped": 0.0, **shares}, seed=1)
    assert all(row["answers"] == {"text": [], "answer_start": []} for row in found)
    return found


def test_the_sentence_with_the_answer_is_removed() -> None:
    contexts = {row["context"] for row in made(removed=1.0)}
    assert "Eiffel" not in "".join(contexts)
    assert "warders" not in "".join(contexts)
    # What is left of the other is too short to ask about.
    assert contexts == {"Its first visitors climbed by the stairs alone."} or not contexts


def test_another_paragraph_of_like_words_stands_beside_it() -> None:
    assert {(row["question"], row["context"]) for row in made(alike=1.0)} == {
        (ROWS[0]["question"], OTHER),
        (ROWS[1]["question"], CONTEXT),
    }


def test_a_paragraph_that_holds_the_answer_is_not_put_beside_it() -> None:
    rows = [ROWS[0], row_of("Where?", "The tower of Gustave Eiffel was built higher in 1957.", "higher")]
    found = hard_unanswerable_rows(rows, NONE_ALIKE, removed=0.0, alike=1.0, swapped=0.0, seed=1)
    assert ROWS[0]["question"] not in {row["question"] for row in found}


def test_a_swapped_question_is_another_one_beside_its_own_paragraph() -> None:
    asked = {row["question"]: row["context"] for seed in range(30) for row in hard_unanswerable_rows(
        ROWS, NONE_ALIKE, removed=0.0, alike=0.0, swapped=1.0, seed=seed
    )}  # fmt: skip
    assert not set(asked) & {row["question"] for row in ROWS}
    # No other number stands there to put for the year, so the names of the second row change.
    assert "What are the keepers of the tower of William called?" in asked
    assert asked["What are the keepers of the tower of William called?"] == OTHER
    assert any(" not " in question or "n't" in question or " never" in question for question in asked)


def test_a_word_is_put_for_its_opposite() -> None:
    row = row_of("who were the first visitors?", CONTEXT, "visitors")
    asked = {
        each["question"]
        for seed in range(30)
        for each in hard_unanswerable_rows([row], NONE_ALIKE, removed=0.0, alike=0.0, swapped=1.0, seed=seed)
    }
    assert "who were the last visitors?" in asked


def test_rows_without_an_answer_make_none() -> None:
    empty = [{"question": "q?", "context": CONTEXT, "answers": {"text": [""], "answer_start": [-1]}}]
    assert hard_unanswerable_rows(empty, NONE_ALIKE, removed=1.0, alike=1.0, swapped=1.0, seed=1) == []
