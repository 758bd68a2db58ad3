"""Texts of a model's domain and others, told apart by their tokens."""

from __future__ import annotations

import json
from math import sqrt
from pathlib import Path
from typing import Any

import pytest

from service.domain import DomainClassifier, domain_ids
from service.encoding import Tokenizer
from service.errors import ArtifactError
from tests.service import toys

CONTENT: dict[str, Any] = {"texts": "papers", "threshold": 10, "other": -1, "tokens": [3, 5], "weights": [20, -30]}


def made(folder: Path, **changed: Any) -> DomainClassifier:
    path = folder / "domain.json"
    path.write_text(json.dumps(CONTENT | changed), encoding="utf-8")
    return DomainClassifier(path, vocabulary=8)


def test_each_token_counts_once_by_its_weight(tmp_path: Path) -> None:
    domain = made(tmp_path)
    assert domain.score([3]) == 20
    assert domain.score([3, 3, 3]) == 20
    assert domain.score([3, 7]) == (20 - 1) / sqrt(2)
    assert domain.score([7, 5, 3, 6]) == (20 - 30 - 2) / 2
    assert domain.score([]) == 0


def test_what_reaches_the_threshold_is_accepted(tmp_path: Path) -> None:
    assert made(tmp_path).accepts([3])
    assert made(tmp_path, threshold=20).accepts([3])
    assert not made(tmp_path, threshold=20.5).accepts([3])
    assert not made(tmp_path).accepts([5])
    assert made(tmp_path).texts == "papers"


@pytest.mark.parametrize(
    "changed", [{"tokens": [3, 8]}, {"weights": [1]}, {"other": None}, {"threshold": "high"}, {"tokens": "3 5"}]
)
def test_a_file_that_does_not_fit_the_model_is_named(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match=r"domain\.json"):
        made(tmp_path, **changed)


def test_a_file_that_is_no_json_or_lacks_something_is_named(tmp_path: Path) -> None:
    path = tmp_path / "domain.json"
    for content in ("{", "[]", '{"texts": "papers"}'):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ArtifactError, match=r"domain\.json"):
            DomainClassifier(path, vocabulary=8)


def test_line_breaks_do_not_matter_and_only_the_beginning_is_read(tmp_path: Path) -> None:
    toys.byte_summarizer(tmp_path)
    tokenizer = Tokenizer(tmp_path)
    ids = domain_ids(tokenizer, "good paris is weak", 64)
    assert domain_ids(tokenizer, " good\r\nparis\n\n  is weak\n", 64) == ids
    assert len(domain_ids(tokenizer, "good " * 40_000, 64)) == 64
