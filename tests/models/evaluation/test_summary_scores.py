"""Summaries are scored by machine-written and people's references apart, and by their wording."""

from __future__ import annotations

from typing import Any

import pytest

from models.evaluation.summary_scores import summary_scores


def said(*summaries: str) -> list[dict[str, Any]]:
    return [{"summary": summary} for summary in summaries]


def test_the_best_of_peoples_references_counts_and_apart_from_the_machines() -> None:
    machine = {"abstract": "Nets catch fish.", "tldr": "Nets catch cod."}
    people = {"source": ["Nets catch fish.", "Boats carry them."], "target": ["Something else.", "Boats carry nets."]}
    scores = summary_scores([machine, people], said("Nets catch cod.", "Boats carry nets."))
    assert scores["rouge1"] == scores["people_rougeL"] == 100
    scores = summary_scores([machine], said("Wholly other."))
    assert scores["rouge1"] == 0
    assert "people_rouge1" not in scores


def test_wording_is_counted_in_points() -> None:
    row = {"abstract": "GPT-4 has 12 nets.", "tldr": "x"}
    scores = summary_scores([row, row], said("GPT-4 has 13 nets.", "The paper has two nets"))
    assert scores["names_in_source"] == pytest.approx(50)
    assert scores["opens_without_paper"] == 50
    assert scores["clean"] == 50
    assert scores["without_repeats"] == 100


def test_summaries_with_no_names_hold_no_wrong_ones() -> None:
    assert summary_scores([{"abstract": "Nets.", "tldr": "Nets."}], said("Nets."))["names_in_source"] == 100
