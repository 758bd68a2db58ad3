from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.artifact import Artifact
from service.errors import InvalidInput
from service.seq2seq.model import GenerateInput
from service.tasks.parameters import SummarizeParameters
from service.tasks.summarization import Summarization
from service.tasks.summary_result import Sentence, SummaryResult, SupportedSentence
from tests.service import doubles
from tests.service.tasks.rounds import answered


def made(folder: Path, **config: Any) -> Summarization:
    return Summarization(Artifact(doubles.summarizer(folder, **config)), batch_tokens=256, intra_op_threads=1)


def summarize(task: Summarization, text: str, **parameters: Any) -> SummaryResult:
    return answered(task, text, SummarizeParameters(**parameters)).result


def sentences_of(result: SummaryResult) -> list[Sentence]:
    assert result.sentences is not None
    return result.sentences


def sources_of(result: SummaryResult) -> list[SupportedSentence]:
    assert result.sources is not None
    return result.sources


def test_a_text_is_written_until_it_ends_by_itself(tmp_path: Path) -> None:
    assert summarize(made(tmp_path), "Good Paris is the capital") == SummaryResult(
        summary="good paris is the capital",
        strategy="truncate",
        reason=None,
        pieces=1,
        sentences=None,
        sources=None,
        finish_reason="stop",
        truncated=False,
        truncated_at=None,
    )


def test_a_text_that_reaches_its_limit_says_so(tmp_path: Path) -> None:
    result = summarize(made(tmp_path), "good paris is the capital", max_new_tokens=2)
    assert (result.summary, result.finish_reason) == ("good paris", "length")


def test_an_input_that_is_too_long_says_where_reading_stopped(tmp_path: Path) -> None:
    text = "good " * 100
    result = summarize(made(tmp_path), text, strategy="truncate")
    assert result.truncated is True
    assert (result.strategy, result.pieces) == ("truncate", 1)
    assert text[: result.truncated_at].split() == ["good"] * 62


@pytest.mark.parametrize(
    "prefix", [{"prefix": "bad bad "}, {"task_specific_params": {"summarization": {"prefix": "bad bad "}}}]
)
def test_a_prefix_of_the_models_is_read_first_but_not_counted(tmp_path: Path, prefix: dict[str, Any]) -> None:
    task = made(tmp_path, **prefix)
    assert summarize(task, "good paris").summary == "bad bad good paris"
    text = "good " * 100
    assert text[: summarize(task, text, strategy="truncate").truncated_at].split() == ["good"] * 60


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


def numbers(folder: Path, **config: Any) -> Summarization:
    """Likes to write "9", and after that "7"."""
    noise = np.zeros((1, len(doubles.VOCABULARY)))
    noise[0, [doubles.IDS["9"], doubles.IDS["7"], doubles.SEP]] = 3, 2, 1
    return Summarization(
        Artifact(doubles.summarizer(folder, copy=0.0, noise=noise, **config)), batch_tokens=256, intra_op_threads=1
    )


def test_numbers_may_be_only_those_of_the_text(tmp_path: Path) -> None:
    task = numbers(tmp_path)
    assert summarize(task, "7 or 19", max_new_tokens=2).summary == "9 9"
    assert summarize(task, "7 or 19", max_new_tokens=2, names_from_source=True).summary == "7 7"
    assert summarize(task, "good", names_from_source=True).summary == ""


def test_a_model_may_say_that_names_are_the_texts(tmp_path: Path) -> None:
    task = numbers(tmp_path, shoal={"generation": {"max_new_tokens": 2, "names_from_source": True}})
    assert summarize(task, "7 or 19").summary == "7 7"
    assert summarize(task, "7 or 19", names_from_source=False).summary == "9 9"


def test_what_was_not_read_has_no_names(tmp_path: Path) -> None:
    task = numbers(tmp_path)
    text = "good " * 100 + "7"
    assert summarize(task, text, strategy="truncate", names_from_source=True).summary == ""
    assert summarize(task, "7 " + text, strategy="truncate", max_new_tokens=1, names_from_source=True).summary == "7"


def test_names_come_from_a_piece_and_then_from_the_summaries(tmp_path: Path) -> None:
    task = numbers(tmp_path)
    text = "Good is good. " * 20 + "The 7 is weak. " + "Good is good. " * 20
    rows = first_round(task, text, names_from_source=True)
    assert ["7" in row.source for row in rows].count(True) == 1
    assert all("good is good" in row.source for row in rows)
    assert summarize(task, text, max_new_tokens=1, names_from_source=True).summary == "7"
    rounds = task.run(text, SummarizeParameters(names_from_source=True))
    next(rounds)
    (last,) = rounds.send([[doubles.IDS["good"]]] * len(rows))
    assert isinstance(last.inputs, GenerateInput)
    assert last.inputs.source == " ".join(["good"] * len(rows))


# --- Texts that are longer than the model reads ----------------------------------------------------------------------

SENTENCES = ["Paris is the capital.", "The bad is weak.", "It is good in the capital.", "Slow is the rival."] * 12
TEXT = " ".join(SENTENCES)


def first_round(task: Summarization, text: str, **parameters: Any) -> list[GenerateInput]:
    """The inputs of the rows that are run first."""
    rows = next(task.run(text, SummarizeParameters(**parameters)))
    assert [each.tokens for each in rows] == [len(each.inputs.encoding) for each in rows]  # type: ignore[attr-defined]
    return [row.inputs for row in rows if isinstance(row.inputs, GenerateInput)]


def words_read(task: Summarization, text: str, **parameters: Any) -> list[str]:
    rows = first_round(task, text, **parameters)
    assert all(len(row.encoding) <= 64 for row in rows)
    return " ".join(task._tokenizer.decode(list(row.encoding.ids)) for row in rows).split()


def test_a_long_text_is_read_in_pieces_unless_told_otherwise(tmp_path: Path) -> None:
    task = made(tmp_path)
    result = summarize(task, TEXT)
    assert (result.strategy, result.truncated, result.truncated_at) == ("map_reduce", False, None)
    assert result.pieces == len(first_round(task, TEXT)) > 1
    assert summarize(task, TEXT, strategy="map_reduce") == result
    assert summarize(task, TEXT) == result, "deterministic"
    short = summarize(task, "Paris is good", strategy="map_reduce")
    assert (short.strategy, short.pieces, short.summary) == ("map_reduce", 1, "paris is good")


def test_pieces_hold_every_token_of_the_text_in_order(tmp_path: Path) -> None:
    task = made(tmp_path)
    assert words_read(task, TEXT) == task._tokenizer.decode(list(task._tokenizer.encode(TEXT, 10_000).ids)).split()
    rows = first_round(task, TEXT)
    assert [row.final for row in rows] == [False] * len(rows)


@pytest.mark.parametrize("text", ["x" * 700, "good" + " " * 5000 + "paris", "日本語。" * 100, "a\n\nb\t\tc " * 100])
def test_texts_that_no_border_divides_are_read_to_their_end(tmp_path: Path, text: str) -> None:
    doubles.byte_summarizer(tmp_path)
    task = Summarization(Artifact(tmp_path), batch_tokens=256, intra_op_threads=1)
    read = "".join(words_read(task, text))
    assert read == "".join(text.split())
    result = summarize(task, text, max_new_tokens=8)
    assert result.truncated is False
    assert result.strategy == "map_reduce"


def test_a_least_above_what_a_piece_may_write_is_lowered_for_pieces_only(tmp_path: Path) -> None:
    task = made(tmp_path)
    rows = first_round(task, TEXT, min_new_tokens=30, max_new_tokens=40)
    assert {(row.options.min_new_tokens, row.options.max_new_tokens) for row in rows} == {(16, 16)}
    answer = answered(task, TEXT, SummarizeParameters(min_new_tokens=30, max_new_tokens=40))
    assert 30 <= len(task._tokenizer.encode(answer.result.summary, 64).ids) - 2 <= 40


def test_all_rounds_are_counted(tmp_path: Path) -> None:
    task = made(tmp_path)
    text = " ".join(SENTENCES[:20])
    rows = first_round(task, text, max_new_tokens=3)
    answer = answered(task, text, SummarizeParameters(max_new_tokens=3))
    assert answer.output_tokens == 3 * len(rows) + 3
    assert answer.input_tokens > sum(len(row.encoding) for row in rows)


# --- Extractive ------------------------------------------------------------------------------------------------------

STORY = "Paris is the capital.\nGood  is strong!  Void void void.\n\nParis is the capital. The bad is weak? It is slow."


def test_chosen_sentences_stand_in_the_text_in_its_order(tmp_path: Path) -> None:
    task = made(tmp_path)
    for count in range(1, 8):
        result = summarize(task, STORY, strategy="extractive", num_sentences=count)
        sentences = [STORY[each.start : each.end] for each in sentences_of(result)]
        assert len(sentences) == min(count, 5), "of two that are the same only one"
        assert result.summary == " ".join(" ".join(sentence.split()) for sentence in sentences)
        starts = [each.start for each in sentences_of(result)]
        assert starts == sorted(starts)
        assert all(sentence[0].isupper() and sentence[-1] in ".!?" for sentence in sentences)
        assert (result.strategy, result.truncated, result.sources) == ("extractive", False, None)
    assert len(sentences_of(summarize(task, STORY, strategy="extractive"))) == 3


def test_an_extractive_summary_reads_a_text_of_any_length_and_writes_nothing(tmp_path: Path) -> None:
    task = made(tmp_path)
    answer = answered(task, TEXT, SummarizeParameters(strategy="extractive"))
    assert answer.result.pieces > 1
    assert answer.output_tokens == 0
    assert answer.input_tokens > 200


def test_a_model_whose_encoder_keeps_its_states_cannot_choose(tmp_path: Path) -> None:
    task = made(tmp_path)
    task.model.graphs.gives_states = False
    with pytest.raises(InvalidInput, match="cannot choose sentences"):
        summarize(task, STORY, strategy="extractive")
    written = summarize(task, STORY, sources=True)
    assert sources_of(written)[0].sources, "by words alone"


def test_a_heading_is_chosen_where_there_is_nothing_else(tmp_path: Path) -> None:
    task = made(tmp_path)
    sentences = "Bad is slow in the capital. Paris is good in the capital."
    for heading in ("Paris is bad and good in the capital", "Capital"):
        text = f"{heading}\n\n{sentences}"
        assert summarize(task, text, strategy="extractive", num_sentences=2).summary == sentences
        assert summarize(task, text, strategy="extractive", num_sentences=3).summary == f"{heading} {sentences}"


# --- The strategy that fits the text ---------------------------------------------------------------------------------

GENERAL = "Paris is the capital. The bad is weak. Slow is the rival. It is good."
IN_DOMAIN = "Paris is strong. The bad is weak. Slow is the rival. It is good."


def choosy(folder: Path, **config: Any) -> Summarization:
    """Writes summaries of texts that hold "strong", and of no others."""
    doubles.summarizer(folder, **config)
    doubles.domain(folder, "strong")
    return Summarization(Artifact(folder), batch_tokens=256, intra_op_threads=1)


def test_sentences_of_a_text_that_is_not_of_the_models_domain_are_chosen_and_it_is_said_why(tmp_path: Path) -> None:
    task = choosy(tmp_path)
    written = summarize(task, IN_DOMAIN)
    assert (written.strategy, written.reason) == ("truncate", None)
    assert written == summarize(task, IN_DOMAIN, strategy="auto")
    chosen = summarize(task, GENERAL)
    assert chosen.reason == "The text is not like those that this model was trained to summarize: strong texts."
    assert chosen == replace(summarize(task, GENERAL, strategy="extractive"), reason=chosen.reason)
    assert len(sentences_of(chosen)) == 2
    assert len(sentences_of(summarize(task, GENERAL, num_sentences=3))) == 3


@pytest.mark.parametrize("strategy", ["truncate", "map_reduce"])
def test_a_summary_is_written_of_any_text_where_that_is_asked_for(tmp_path: Path, strategy: str) -> None:
    result = summarize(choosy(tmp_path), GENERAL, strategy=strategy)
    assert (result.strategy, result.reason, result.sentences) == (strategy, None, None)


def test_a_long_text_is_judged_by_its_beginning(tmp_path: Path) -> None:
    task = choosy(tmp_path)
    assert summarize(task, f"Strong. {TEXT}").strategy == "map_reduce"
    assert summarize(task, f"{TEXT} Strong.").strategy == "extractive"


@pytest.mark.parametrize("strategy", ["auto", None])
def test_a_model_without_a_classifier_writes_of_any_text(tmp_path: Path, strategy: str | None) -> None:
    task = made(tmp_path)
    assert (summarize(task, GENERAL, strategy=strategy).strategy) == "truncate"
    assert (summarize(task, TEXT, strategy=strategy).strategy) == "map_reduce"


def test_a_model_that_cannot_choose_sentences_writes_of_any_text(tmp_path: Path) -> None:
    task = choosy(tmp_path)
    task.model.graphs.gives_states = False
    assert summarize(task, GENERAL).strategy == "truncate"


@pytest.mark.parametrize(("sentences", "chosen"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (9, 3)])
def test_half_of_the_sentences_are_chosen_and_three_at_most(tmp_path: Path, sentences: int, chosen: int) -> None:
    words = ["good", "bad", "paris", "weak", "strong", "slow", "capital", "rival", "void"]
    text = " ".join(f"{word.capitalize()} is the {word}." for word in words[:sentences])
    assert len(sentences_of(summarize(made(tmp_path), text, strategy="extractive"))) == chosen


# --- Sources ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["truncate", "map_reduce", "extractive"])
@pytest.mark.parametrize("text", [STORY, TEXT])
def test_sources_are_sentences_of_the_text_for_each_of_the_summary(tmp_path: Path, strategy: str, text: str) -> None:
    task = made(tmp_path)
    plain = summarize(task, text, strategy=strategy)
    result = summarize(task, text, strategy=strategy, sources=True)
    assert plain == replace(result, sources=None)
    assert result.sources
    end = 0
    for supported in sources_of(result):
        assert not result.summary[end : supported.start].strip()
        end = supported.end
        sentence = result.summary[supported.start : end].lower()
        scores = [source.score for source in supported.sources]
        assert scores == sorted(scores, reverse=True)
        assert all(0 < score <= 1 for score in scores)
        best = supported.sources[0]
        found = " ".join(text[best.start : best.end].split()).lower()
        if strategy == "extractive":
            assert (found, scores) == (sentence, [1.0])
        assert set(sentence.replace(".", " ").split()) & set(found.replace(".", " ").split())
    assert end == len(result.summary)


def test_sources_lie_in_what_was_read(tmp_path: Path) -> None:
    task = made(tmp_path)
    result = summarize(task, TEXT, strategy="truncate", sources=True)
    assert result.truncated_at is not None
    assert result.truncated_at < len(TEXT)
    ends = [source.end for each in sources_of(result) for source in each.sources]
    assert max(ends) <= result.truncated_at


def test_a_sentence_of_the_summary_that_no_row_could_hold_is_compared_by_words_alone(tmp_path: Path) -> None:
    summary = "Good is " + "paris " * 100 + "strong."
    with pytest.raises(StopIteration) as finished:  # without a round
        next(made(tmp_path)._sources.run("Paris is strong. The bad is weak.", summary))
    (supported,), input_tokens = finished.value.value
    assert (supported.start, supported.end, input_tokens) == (0, len(summary), 0)
    assert [(source.start, source.end) for source in supported.sources] == [(0, 16)]


# --- Streaming -------------------------------------------------------------------------------------------------------


def test_the_text_so_far_ends_with_no_part_of_a_character_and_no_space(tmp_path: Path) -> None:
    doubles.byte_summarizer(tmp_path)
    task = Summarization(Artifact(tmp_path), batch_tokens=256, intra_op_threads=1)
    text = "the 🐟 is 日本"
    tokens = list(task._tokenizer.encode(text, 64).ids)
    beginnings = [task.text_so_far(tokens[:count]) for count in range(len(tokens) + 1)]
    assert beginnings[-1] == text
    assert all(text.startswith(beginning) and beginning == beginning.rstrip() for beginning in beginnings)
    assert beginnings == sorted(beginnings, key=len)
