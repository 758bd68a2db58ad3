"""Reviewers' tokens and people's words."""

from __future__ import annotations

import pytest

from models.data.spelling import as_people_write, respell


@pytest.mark.parametrize(
    ("tokenised", "written"),
    [
        ("it 's great ! ! !", "it's great!!!"),
        ("you wo n't like it , but ( he said ) `` it 's fine ''", "you won't like it, but (he said) \"it's fine\""),
        ("a ` literary ' story can not be gon na", "a 'literary' story cannot be gonna"),
        ("the kids ' film ; it 's -- well -- fun .", "the kids' film; it's--well--fun."),
    ],
)
def test_tokens_are_joined_as_people_write_them(tokenised: str, written: str) -> None:
    assert as_people_write(tokenised) == written


def test_a_share_of_the_rows_is_respelt_and_keeps_its_labels() -> None:
    rows = [{"text": f"it is n't film {n} , is it ?", "label": n % 2} for n in range(200)]
    made = respell(rows, 0.5, seed=1)
    assert [row["label"] for row in made] == [row["label"] for row in rows]
    kept = sum(a == b for a, b in zip(made, rows, strict=True))
    straight = sum("isn't" in row["text"] for row in made)
    curly = sum("isn’t" in row["text"] for row in made)
    assert kept + straight + curly == len(rows)
    assert 75 < kept < 125
    assert straight > curly > 10
    assert made == respell(rows, 0.5, seed=1)
    assert respell(rows, 0.0, seed=1) == rows
