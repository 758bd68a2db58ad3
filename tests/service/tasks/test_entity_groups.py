from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from service.tasks.entity_groups import EntityLabels, Group, Units, softmax, tagged
from service.tasks.parameters import AggregationStrategy

# Two words, of three tokens and of one.
BEGINS_WORD = np.array([True, False, False, True])
SCORES = np.array([[0.4, 0.6, 0.0], [0.0, 0.1, 0.9], [0.9, 0.1, 0.0], [0.2, 0.3, 0.5]], np.float32)


def listed(units: Units) -> tuple[list[int], list[int], list[float]]:
    return units.firsts.tolist(), units.labels.tolist(), units.scores.tolist()


@pytest.mark.parametrize(
    ("strategy", "firsts", "labels", "scores"),
    [
        ("none", [0, 1, 2, 3], [1, 2, 0, 2], [0.6, 0.9, 0.9, 0.5]),
        ("simple", [0, 1, 2, 3], [1, 2, 0, 2], [0.6, 0.9, 0.9, 0.5]),
        ("first", [0, 3], [1, 2], [0.6, 0.5]),
        ("average", [0, 3], [0, 2], [1.3 / 3, 0.5]),
        ("max", [0, 3], [2, 2], [0.9, 0.5]),  # of equal scores the first token's counts
    ],
)
def test_strategies(strategy: AggregationStrategy, firsts: list[int], labels: list[int], scores: list[float]) -> None:
    found = listed(tagged(SCORES, BEGINS_WORD, strategy))
    assert found[:2] == (firsts, labels)
    assert found[2] == pytest.approx(scores)


@pytest.mark.parametrize("strategy", get_args(AggregationStrategy))
def test_no_tokens_have_no_tags(strategy: AggregationStrategy) -> None:
    units = tagged(softmax(np.zeros((0, 3), np.float32)), np.zeros(0, np.bool_), strategy)
    labels = EntityLabels(["O", "B-PER", "I-PER"])
    assert [*labels.single(units, ()), *labels.groups(units, ())] == []


def test_scores_of_huge_logits() -> None:
    scores = softmax(np.array([[1000, 999], [-1000, -1000]], np.float32))
    np.testing.assert_allclose(scores, [[0.73106, 0.26894], [0.5, 0.5]], atol=1e-4)


LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "S-LOC", "DATE"]


def units(*names: str) -> Units:
    labels = np.array([LABELS.index(name) for name in names])
    return Units(np.arange(len(names)), labels, np.arange(1, len(names) + 1, dtype=np.float32))


def test_groups_go_on_with_the_same_tag_until_one_begins() -> None:
    found = EntityLabels(LABELS).groups(units("B-PER", "I-PER", "B-PER", "I-LOC", "O", "O", "DATE", "DATE"), ())
    assert list(found) == [
        Group("PER", 1.5, 0, 2),
        Group("PER", 3, 2, 3),
        Group("LOC", 4, 3, 4),
        Group("O", 5.5, 4, 6),
        Group("DATE", 7.5, 6, 8),
    ]


def test_other_prefixes_are_left_out_of_the_name_but_divide() -> None:
    found = EntityLabels(LABELS).groups(units("I-LOC", "S-LOC", "S-LOC"), ())
    assert list(found) == [Group("LOC", 1, 0, 1), Group("LOC", 2.5, 1, 3)]


def test_groups_are_ignored_by_their_name_and_units_by_their_label() -> None:
    labels, given = EntityLabels(LABELS), units("B-PER", "O", "I-PER", "DATE")
    assert [each.name for each in labels.groups(given, ["PER", "B-PER", "O"])] == ["DATE"]
    assert [each.name for each in labels.groups(given, ["B-PER"])] == ["PER", "O", "PER", "DATE"]
    assert list(labels.single(given, ["PER", "B-PER", "O"])) == [Group("I-PER", 3, 2, 3), Group("DATE", 4, 3, 4)]
