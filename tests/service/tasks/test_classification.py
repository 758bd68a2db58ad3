from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.artifact import Artifact
from service.errors import InferenceError
from service.tasks.classification import Classification, ClassificationResult, LabelScore, PairCut, scores_of
from service.tasks.parameters import ClassifyParameters, TextPair
from tests.service import doubles
from tests.service.tasks.rounds import answered


def made(folder: Path, **config: Any) -> Classification:
    return Classification(Artifact(doubles.classifier(folder, **config)), batch_tokens=256, intra_op_threads=1)


def classify(task: Classification, text: str | TextPair, **parameters: Any) -> ClassificationResult:
    answer = answered(task, text, ClassifyParameters(**parameters))
    assert answer.output_tokens == 0
    return answer.result


def test_functions() -> None:
    logits = [1000.0, 999.0]
    assert scores_of(logits, "softmax") == pytest.approx([0.73106, 0.26894], abs=1e-4)
    assert scores_of([0.0, 2.0], "sigmoid") == pytest.approx([0.5, 0.88080], abs=1e-4)
    assert scores_of(logits, "none") == [1000, 999]


def test_a_sigmoid_of_huge_logits_does_not_overflow() -> None:
    assert scores_of([-1000.0, 1000.0], "sigmoid") == pytest.approx([0, 1])


def test_a_distribution_over_the_labels_best_first(tmp_path: Path) -> None:
    result = classify(made(tmp_path), "good")  # the mean over [CLS] good [SEP]: -8/3 and 8/3
    share = 1 / (1 + np.exp(-16 / 3))
    assert result.label == "positive"
    assert result.score == pytest.approx(share)
    assert [entry.label for entry in result.scores] == ["positive", "negative"]
    assert sum(entry.score for entry in result.scores) == pytest.approx(1)
    assert (result.truncated, result.truncated_at) == (False, None)
    assert classify(made(tmp_path), "bad").label == "negative"


@pytest.mark.parametrize("config", [{"problem_type": "multi_label_classification"}, {"id2label": {"0": "toxic"}}])
def test_labels_that_are_decided_on_their_own_get_a_sigmoid(tmp_path: Path, config: dict[str, Any]) -> None:
    task = made(tmp_path, table=doubles.scores({"good": (6.0,)}, 1) if "id2label" in config else None, **config)
    result = classify(task, "good")
    logit = 2.0 if "id2label" in config else 8 / 3
    assert result.score == pytest.approx(1 / (1 + np.exp(-logit)))


@pytest.mark.parametrize("labels", [1, 2])
def test_a_regression_head_answers_its_numbers(tmp_path: Path, labels: int) -> None:
    table = doubles.scores({"good": (6.0, -3.0)[:labels]}, labels)
    names = {str(index): f"LABEL_{index}" for index in range(labels)}
    task = made(tmp_path, table=table, problem_type="regression", id2label=names)
    result = classify(task, "good")
    assert [entry.score for entry in result.scores] == pytest.approx([2.0, -1.0][:labels])
    assert result.score == result.scores[0].score
    assert classify(task, "good", function_to_apply="sigmoid").score == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_parameters_choose_function_and_count(tmp_path: Path) -> None:
    task = made(tmp_path)
    result = classify(task, "good", top_k=1, function_to_apply="none")
    assert result.scores == [LabelScore(result.label, result.score)]
    assert result.label == "positive"
    assert result.score == pytest.approx(8 / 3)
    assert len(classify(task, "good", top_k=99).scores) == 2
    assert classify(task, "good", function_to_apply="sigmoid").score == pytest.approx(1 / (1 + np.exp(-8 / 3)))


def test_labels_below_the_threshold_are_left_out_of_the_list_but_not_the_best_one(tmp_path: Path) -> None:
    task = made(tmp_path)
    both, one, none = (
        classify(task, "good", function_to_apply="none", threshold=at) for at in (-8 / 3 - 0.01, -2.6, 2.7)
    )
    assert [entry.label for entry in both.scores] == ["positive", "negative"]
    assert [entry.label for entry in one.scores] == ["positive"]
    assert none.scores == []
    assert both.label == one.label == none.label == "positive"
    assert none.score == both.score


def test_a_score_equal_to_the_threshold_stays(tmp_path: Path) -> None:
    assert len(classify(made(tmp_path), "the", threshold=0.5).scores) == 2


def test_a_pair_is_read_as_one_row(tmp_path: Path) -> None:
    task = made(tmp_path)
    pair = classify(task, TextPair(text="good good", text_pair="bad the"), function_to_apply="none")
    assert pair.score == pytest.approx(8 / 7)  # the mean over [CLS] good good [SEP] bad the [SEP]
    assert (pair.truncated, pair.truncated_at) == (False, None)
    assert task.texts(TextPair(text="good", text_pair="bad")) == ("good", "bad")


@pytest.mark.parametrize(
    ("words", "read"),
    [((200, 3), (122, None)), ((3, 200), (None, 122)), ((200, 200), (62, 63)), ((62, 64), (None, 63))],
)
def test_a_pair_that_is_too_long_says_where_reading_stopped_in_each_text(
    tmp_path: Path, words: tuple[int, int], read: tuple[int | None, int | None]
) -> None:
    text, text_pair = ("good " * count for count in words)
    result = classify(made(tmp_path), TextPair(text=text, text_pair=text_pair))
    assert result.truncated is True
    ends = tuple(None if count is None else 5 * count - 1 for count in read)
    assert result.truncated_at == PairCut(*ends)


def test_equal_scores_come_in_the_order_of_the_labels(tmp_path: Path) -> None:
    assert [entry.label for entry in classify(made(tmp_path), "the").scores] == ["negative", "positive"]


def test_a_text_that_is_too_long_says_where_reading_stopped(tmp_path: Path) -> None:
    text = "good " * 200
    result = classify(made(tmp_path), text)
    assert result.truncated is True
    assert isinstance(result.truncated_at, int)
    assert text[: result.truncated_at].split() == ["good"] * 126


def test_logits_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match="finite"):
        classify(made(tmp_path), "void")
