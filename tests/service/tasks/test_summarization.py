from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.artifact import Artifact
from service.errors import InvalidInput
from service.schemas import SummarizeParameters
from service.tasks.summarization import Summarization
from tests.service import toys
from tests.service.tasks.rounds import answered


def made(folder: Path, **config: Any) -> Summarization:
    return Summarization(Artifact(toys.summarizer(folder, **config)), batch_tokens=256, wide_threads=1)


def summarize(task: Summarization, text: str, **parameters: Any) -> dict[str, Any]:
    return answered(task, text, SummarizeParameters(**parameters)).result


def test_a_text_is_written_until_it_ends_by_itself(tmp_path: Path) -> None:
    assert summarize(made(tmp_path), "Good Paris is the capital") == {
        "summary": "good paris is the capital",
        "finish_reason": "stop",
        "truncated": False,
        "truncated_at": None,
    }


def test_a_text_that_reaches_its_limit_says_so(tmp_path: Path) -> None:
    result = summarize(made(tmp_path), "good paris is the capital", max_new_tokens=2)
    assert (result["summary"], result["finish_reason"]) == ("good paris", "length")


def test_an_input_that_is_too_long_says_where_reading_stopped(tmp_path: Path) -> None:
    text = "good " * 100
    result = summarize(made(tmp_path), text)
    assert result["truncated"] is True
    assert text[: result["truncated_at"]].split() == ["good"] * 62


@pytest.mark.parametrize(
    "prefix", [{"prefix": "bad bad "}, {"task_specific_params": {"summarization": {"prefix": "bad bad "}}}]
)
def test_a_prefix_of_the_models_is_read_first_but_not_counted(tmp_path: Path, prefix: dict[str, Any]) -> None:
    task = made(tmp_path, **prefix)
    assert summarize(task, "good paris")["summary"] == "bad bad good paris"
    text = "good " * 100
    assert text[: summarize(task, text)["truncated_at"]].split() == ["good"] * 60


def test_parameters_go_over_the_models_defaults(tmp_path: Path) -> None:
    task = made(tmp_path, num_beams=2, length_penalty=0.5)
    options = task.options(SummarizeParameters(max_new_tokens=9, no_repeat_ngram_size=3))
    assert (options.max_new_tokens, options.no_repeat_ngram_size) == (9, 3)
    assert (options.num_beams, options.length_penalty) == (2, 0.5)


def test_more_tokens_than_the_model_has_places_for_are_refused(tmp_path: Path) -> None:
    task = made(tmp_path)
    assert task.options(SummarizeParameters(max_new_tokens=63)).max_new_tokens == 63
    with pytest.raises(InvalidInput, match="63 at most"):
        task.options(SummarizeParameters(max_new_tokens=64))


def test_a_least_above_the_most_is_refused_or_lowered_where_it_is_the_models_own(tmp_path: Path) -> None:
    task = made(tmp_path, min_new_tokens=8)
    assert task.options(SummarizeParameters(max_new_tokens=3)).min_new_tokens == 3
    with pytest.raises(InvalidInput, match="min_new_tokens is 20"):
        task.options(SummarizeParameters(min_new_tokens=20))
