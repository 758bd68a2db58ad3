"""What scores leave out, of the default classifier and of a tiny model that answers questions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from models.data.model_card import ARTIFACTS
from models.data.rows import Row
from models.evaluation.answer_scores import answered_questions
from models.evaluation.probe import (
    TEMPLATES,
    TERMS,
    errors_of,
    identity_swaps,
    probe_report,
    scored_rows,
    spellings_agree,
)
from service.artifact import Artifact
from tests.models.doubles import answer_result, answer_row
from tests.models.tiny import SENTENCES, Exported

ROWS: list[Row] = [
    {"text": "it 's great ! ! !", "label": 1},
    {"text": "it is n't any good , and the jokes are awful .", "label": 0},
    {"text": "an awful , dull film .", "label": 1},
]


@pytest.fixture(scope="module")
def sentiment() -> Artifact:
    return Artifact(ARTIFACTS / "sentiment")


def test_swaps_are_ranked_by_what_they_change(sentiment: Artifact) -> None:
    swaps = identity_swaps(sentiment)
    assert {(swap.group, swap.template) for swap in swaps} == {(g, t) for g in TERMS for t in TEMPLATES}
    changes = [swap.change for swap in swaps]
    assert changes == sorted(changes, reverse=True)
    assert changes[-1] >= 0
    for swap in swaps:
        assert {swap.low[0], swap.high[0]} <= set(TERMS[swap.group])
        assert swap.turns == (swap.low[1] < 0.5 <= swap.high[1])
    worst = swaps[0]
    both: list[Row] = [{"text": worst.template.format(name), "label": 0} for name in (worst.low[0], worst.high[0])]
    scores, _ = scored_rows(sentiment, both)
    assert float(scores[1, 1] - scores[0, 1]) == pytest.approx(worst.change, abs=1e-6)


def test_spellings_of_plain_texts_agree(sentiment: Artifact) -> None:
    assert spellings_agree(sentiment, ROWS) == {"as people write": 1.0, "in capitals": 1.0, "with ’ for '": 1.0}


def test_the_report_shows_the_row_that_is_wrong(sentiment: Artifact) -> None:
    report = probe_report(sentiment, ROWS, errors=5)
    assert "1 of 3 rows are wrong" in report
    assert "given negative" in report.splitlines()[-1]
    assert report.endswith("an awful , dull film .")
    assert "Expected calibration error: 0." in report


def test_errors_are_answers_that_share_little_with_the_reference() -> None:
    rows = [answer_row("Paris"), answer_row("the Paris"), answer_row("Paris"), answer_row(None)]
    results = [
        answer_result(("big", 0.9)),
        answer_result(("Paris", 0.9)),
        answer_result(("Paris is big", 0.9)),
        answer_result(("big", 0.9)),
    ]
    assert [each.span["answer"] for each in errors_of(answered_questions(rows, results), 9)] == ["big"]
    assert errors_of(answered_questions(rows, results), 0) == []


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
    report = probe_report(artifact, rows, errors=2)
    assert report.startswith("4 questions: f1 0.00, exact_match 0.00, f1_or_none ")
    assert "of the 1 questions that have none and to" in report
    assert report.count("wanted 'nowhere'") == 2


def test_a_summarizer_cannot_be_probed() -> None:
    with pytest.raises(ValueError, match="summarizer: only classifiers"):
        probe_report(Artifact(ARTIFACTS / "summarizer"), [], errors=0)
