"""Answers are scored as they would be served, with leave to decline and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from models.evaluation.answer_probe import answer_report, errors_of
from models.evaluation.answer_scores import calibration, calibration_table, pair, squad_scores
from service.artifact import Artifact
from tests.models.tiny import SENTENCES, Exported


def row(text: str | None, file: str = "v1") -> dict[str, Any]:
    answers = {"text": [] if text is None else [text], "answer_start": [] if text is None else [0]}
    return {"question": f"{text}?", "context": "Paris is big", "answers": answers, "file": file}


def said(*answers: tuple[str, float]) -> dict[str, Any]:
    return {"answers": [{"answer": text, "score": score} for text, score in answers]}


def test_the_best_span_counts_without_leave_to_decline_and_the_first_answer_with_it() -> None:
    rows = [row("Paris"), row("Paris", "v2"), row(None, "v2"), row(None, "v2"), row("Rome", "v2")]
    results = [
        said(("", 0.6), ("Paris", 0.3)),  # right in version 1, whatever it would have declined
        said(("", 0.6), ("Paris", 0.3)),  # declined
        said(("", 0.9), ("Paris", 0.1)),  # rightly
        said(("Paris", 0.6), ("", 0.2)),  # made up
        said(("Rome", 0.6), ("Paris", 0.2)),
    ]
    assert squad_scores(pair(rows, results)) == {
        "f1": 100.0,
        "exact_match": 100.0,
        "f1_or_none": 50.0,
        "exact_or_none": 50.0,
    }


def test_one_file_of_both_kinds_gives_both_scores() -> None:
    rows = [row("Paris", "mine"), row(None, "mine")]
    results = [said(("", 0.6), ("Paris", 0.3)), said(("", 0.9), ("Paris", 0.1))]
    scores = squad_scores(pair(rows, results))
    assert (scores["f1"], scores["f1_or_none"]) == (100.0, 50.0)


def test_files_with_answers_only_are_not_scored_for_declining() -> None:
    assert set(squad_scores(pair([row("Paris")], [said(("Paris", 0.5), ("", 0.1))]))) == {"f1", "exact_match"}


def test_the_share_that_is_right_is_told_of_enough_answers() -> None:
    rows = [row("Paris")] * 25
    results = [said(("Paris" if index < 20 else "Rome", 0.85), ("", 0.1)) for index in range(25)]
    assert squad_scores(pair(rows, results))["right_at_0.8"] == pytest.approx(80.0)
    assert "right_at_0.8" not in squad_scores(pair(rows[:19], results[:19]))


def test_calibration_bins_hold_every_answer_once() -> None:
    rows = [row("Paris")] * 4
    results = [said(("Paris", score), ("", 0.0)) for score in (0.05, 0.8, 0.89, 1.0)]
    bins = calibration(pair(rows, results))
    assert [each.count for each in bins] == [1, 0, 0, 0, 0, 0, 0, 0, 2, 1]
    assert bins[8].score == pytest.approx(0.845)
    assert "| 0.8-0.9 | 2 | 0.845 | 100.0 % | 100.0 |" in calibration_table(bins)


def test_errors_are_answers_that_share_little_with_the_reference() -> None:
    rows = [row("Paris"), row("the Paris"), row("Paris"), row(None)]
    results = [said(("big", 0.9)), said(("Paris", 0.9)), said(("Paris is big", 0.9)), said(("big", 0.9))]
    assert [each.span["answer"] for each in errors_of(pair(rows, results), 9)] == ["big"]
    assert errors_of(pair(rows, results), 0) == []


def test_a_report_is_made_through_the_service(exported: Callable[[str], Exported]) -> None:
    artifact = Artifact(exported("bert-qa").fp32)
    rows: list[dict[str, Any]] = [
        {
            "question": SENTENCES[2],
            "context": SENTENCES[place],
            "answers": {"text": ["nowhere"], "answer_start": [0]} if place else {"text": [], "answer_start": []},
        }
        for place in range(4)
    ]
    report = answer_report(artifact, rows, errors=2)
    assert report.startswith("4 questions: f1 0.00, exact_match 0.00, f1_or_none ")
    assert "of the 1 questions that have none and to" in report
    assert report.count("wanted 'nowhere'") == 2
