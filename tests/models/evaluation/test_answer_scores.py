"""Answers are scored as they would be served, with leave to decline and without."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text import squad

from models.evaluation.answer_scores import (
    answer_exact,
    answer_f1,
    answered_questions,
    calibration,
    calibration_table,
    squad_scores,
)
from tests.models.doubles import answer_result, answer_row

TEXTS = st.text(st.sampled_from("ab the.,-A n\u00e9"), min_size=1, max_size=12)


def test_the_best_span_counts_without_leave_to_decline_and_the_first_answer_with_it() -> None:
    rows = [
        answer_row("Paris"),
        answer_row("Paris", "v2"),
        answer_row(None, "v2"),
        answer_row(None, "v2"),
        answer_row("Rome", "v2"),
    ]
    results = [
        answer_result(("", 0.6), ("Paris", 0.3)),  # right in version 1, whatever it would have declined
        answer_result(("", 0.6), ("Paris", 0.3)),  # declined
        answer_result(("", 0.9), ("Paris", 0.1)),  # rightly
        answer_result(("Paris", 0.6), ("", 0.2)),  # made up
        answer_result(("Rome", 0.6), ("Paris", 0.2)),
    ]
    assert squad_scores(answered_questions(rows, results)) == {
        "f1": 100.0,
        "exact_match": 100.0,
        "f1_or_none": 50.0,
        "exact_or_none": 50.0,
    }


def test_one_file_of_both_kinds_gives_both_scores() -> None:
    rows = [answer_row("Paris", "mine"), answer_row(None, "mine")]
    results = [answer_result(("", 0.6), ("Paris", 0.3)), answer_result(("", 0.9), ("Paris", 0.1))]
    scores = squad_scores(answered_questions(rows, results))
    assert (scores["f1"], scores["f1_or_none"]) == (100.0, 50.0)


def test_files_with_answers_only_are_not_scored_for_declining() -> None:
    assert set(squad_scores(answered_questions([answer_row("Paris")], [answer_result(("Paris", 0.5), ("", 0.1))]))) == {
        "f1",
        "exact_match",
    }


def test_the_share_that_is_right_is_told_of_enough_answers() -> None:
    rows = [answer_row("Paris")] * 25
    results = [answer_result(("Paris" if index < 20 else "Rome", 0.85), ("", 0.1)) for index in range(25)]
    assert squad_scores(answered_questions(rows, results))["right_at_0.8"] == pytest.approx(80.0)
    assert "right_at_0.8" not in squad_scores(answered_questions(rows[:19], results[:19]))


def test_calibration_bins_hold_every_answer_once() -> None:
    rows = [answer_row("Paris")] * 4
    results = [answer_result(("Paris", score), ("", 0.0)) for score in (0.05, 0.8, 0.89, 1.0)]
    bins = calibration(answered_questions(rows, results))
    assert [each.count for each in bins] == [1, 0, 0, 0, 0, 0, 0, 0, 2, 1]
    assert bins[8].score == pytest.approx(0.845)
    assert "| 0.8-0.9 | 2 | 0.845 | 100.0 % | 100.0 |" in calibration_table(bins)


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
