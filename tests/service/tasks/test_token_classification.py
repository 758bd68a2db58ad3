from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.artifact import Artifact
from service.errors import ArtifactError, InferenceError, InputTooLong
from service.tasks.parameters import AggregationStrategy, EntitiesParameters
from service.tasks.token_classification import EntitiesResult, Entity, TokenClassification, TokenTag
from tests.service import doubles
from tests.service.tasks.rounds import answered

TEXT = "Paris, the CAPITAL capital is strong."


def made(folder: Path, **config: Any) -> TokenClassification:
    return TokenClassification(Artifact(doubles.tagger(folder, **config)), batch_tokens=256, intra_op_threads=1)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TokenClassification:
    return made(tmp_path_factory.mktemp("tagger"))


def find(task: TokenClassification, text: str, **parameters: Any) -> EntitiesResult:
    answer = answered(task, text, EntitiesParameters(**parameters))
    assert answer.truncated == answer.result.truncated
    return answer.result


def about(*logits: float) -> Any:
    """About the average score of labels with these logits, those of the other three being 0."""
    return pytest.approx(np.mean([np.exp(logit) / (np.exp(logit) + 3) for logit in logits]))


def test_entities_with_their_characters(task: TokenClassification) -> None:
    result = find(task, TEXT)
    assert result.entities == [
        Entity("LOC", about(8), "paris", 0, 5),
        Entity("LOC", about(4), "capital capital", 11, 26),
        Entity("ORG", about(2), "strong", 30, 36),
    ]
    assert (result.windows, result.truncated, result.truncated_at) == (1, False, None)


def test_tags_of_tokens(task: TokenClassification) -> None:
    found = find(task, TEXT, aggregation_strategy="none", ignore_labels=["O", "I-LOC"]).entities
    assert found == [
        TokenTag("B-LOC", about(8), 1, "paris", 0, 5),
        TokenTag("B-ORG", about(2), 7, "strong", 30, 36),
    ]


def test_an_unknown_token_is_written_as_it_stands_in_the_text(task: TokenClassification) -> None:
    found = find(task, "is 大☃", aggregation_strategy="none", ignore_labels=[]).entities
    assert [each.word for each in found] == ["is", "大", "☃"]


def test_labels_to_ignore_may_be_none(task: TokenClassification) -> None:
    found = find(task, TEXT, ignore_labels=[]).entities
    assert [each.entity_group for each in found if isinstance(each, Entity)] == ["LOC", "O", "LOC", "O", "ORG", "O"]


def test_a_text_without_tokens_has_no_entities(task: TokenClassification) -> None:
    for strategy in get_args(AggregationStrategy):
        assert find(task, "\u200b", aggregation_strategy=strategy, ignore_labels=[]).entities == []


# --- Long texts ------------------------------------------------------------------------------------------------------


def test_a_text_of_many_windows_gives_all_its_entities(task: TokenClassification) -> None:
    text = "the paris is " * 100
    result = find(task, text)
    assert [(each.start, each.end) for each in result.entities] == [(13 * n + 4, 13 * n + 9) for n in range(100)]
    assert result.windows > 4
    assert not result.truncated


HARD = "Zoë e\u0301te\u0301 日本語 👩🏽‍🚀🎉 שלום naïve\u00a0x \u3000 fin"
TEXTS = st.lists(st.sampled_from([*HARD, *"abc .,?", "paris ", " capital"]), min_size=1, max_size=120).map("".join)


@pytest.fixture(scope="module", params=["word piece", "byte level"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TokenClassification, TokenClassification]:
    """One model whose rows have 14 tokens, and the same with room for any text."""
    tokenizer = doubles.word_piece() if request.param == "word piece" else doubles.byte_level()
    table = np.random.default_rng(5).integers(-3, 4, (tokenizer.get_vocab_size(), 4))
    tasks = [
        made(tmp_path_factory.mktemp("taggers"), table=table, tokenizer=tokenizer, max_position_embeddings=tokens)
        for tokens in (14, 5000)
    ]
    return tasks[0], tasks[1]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, strategy=st.sampled_from(get_args(AggregationStrategy)), stride=st.integers(0, 20))
def test_entities_of_a_long_text_are_joined_over_the_borders_of_windows(
    both: tuple[TokenClassification, TokenClassification], text: str, strategy: str, stride: int
) -> None:
    found, wanted = (
        find(task, text, aggregation_strategy=strategy, ignore_labels=[], stride=stride).entities for task in both
    )
    assert found == wanted


@pytest.mark.parametrize("border", [1, 5])
def test_a_tag_is_from_the_window_where_the_token_is_farther_from_the_border(tmp_path: Path, border: int) -> None:
    task = made(tmp_path, border=border, max_position_embeddings=20)
    text = "the " * 100
    result = find(task, text, aggregation_strategy="none", ignore_labels=["O"], stride=8)
    near = [each.index - 1 for each in result.entities if isinstance(each, TokenTag)]
    assert near == [*range(border - 1), *range(101 - border, 100)], "the text's own ends only"


def test_a_text_can_be_truncated(task: TokenClassification) -> None:
    text = "the " * 60 + "paris capital capital"
    result = find(task, text, long_text="truncate")
    assert result.entities == [Entity("LOC", about(8, 4), "paris capital", 240, 253)]
    assert (result.windows, result.truncated, result.truncated_at) == (1, True, 253)


def test_a_long_text_can_be_refused(task: TokenClassification) -> None:
    assert find(task, "the " * 62, long_text="error").windows == 1
    with pytest.raises(InputTooLong, match="has 65 tokens and the model reads 64;"):
        find(task, "the " * 63, long_text="error")


# --- Faults ----------------------------------------------------------------------------------------------------------


def test_logits_that_are_no_numbers_are_an_error(task: TokenClassification) -> None:
    with pytest.raises(InferenceError, match="finite"):
        find(task, "the void")


def test_a_graph_with_more_labels_than_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"logits are for 4 labels, id2label in config\.json names 1"):
        made(tmp_path, id2label={"0": "O"})
