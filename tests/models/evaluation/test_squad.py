"""One answer's scores are SQuAD's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text import squad

from models.evaluation.squad import answer_exact, answer_f1

TEXTS = st.text(st.sampled_from("ab the.,-A n\u00e9"), min_size=1, max_size=12)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
def test_scores_are_those_of_the_evaluation_script(given_text: str, wanted: list[str]) -> None:
    answers = {"text": wanted, "answer_start": [0] * len(wanted)}
    theirs = squad([{"id": "0", "prediction_text": given_text}], [{"id": "0", "answers": answers}])
    assert 100 * answer_exact(given_text, answers) == float(theirs["exact_match"])
    empty = any(not "".join(text.split(" ")).strip(".,-") for text in (given_text, *wanted))
    if not empty:  # version 1.1's script gives two empty answers 0, version 2.0's 1
        assert 100 * answer_f1(given_text, answers) == pytest.approx(float(theirs["f1"]), abs=1e-3)


def test_silence_is_right_where_there_is_no_answer_and_only_there() -> None:
    nobody: dict[str, list[object]] = {"text": [], "answer_start": []}
    assert (answer_f1("", nobody), answer_exact("", nobody)) == (1.0, True)
    assert (answer_f1("Paris", nobody), answer_exact("Paris", nobody)) == (0.0, False)
    assert answer_f1("", {"text": ["Paris"], "answer_start": [0]}) == 0.0


def test_the_nearest_reference_counts() -> None:
    answers = {"text": ["the old town", "Paris, France"], "answer_start": [0, 0]}
    assert answer_f1("paris", answers) == pytest.approx(2 / 3)
    assert answer_exact("The Paris France", answers)
