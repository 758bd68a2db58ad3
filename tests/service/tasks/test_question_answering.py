from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact import Artifact
from service.errors import InferenceError, InvalidInput
from service.runtime.session import Array
from service.tasks.parameters import AnswerParameters, Question
from service.tasks.question_answering import Answer, AnswerResult, QuestionAnswering
from service.text.tokenizer import Window
from tests.service import doubles
from tests.service.tasks.rounds import answered, last_result
from tests.service.text.test_tokenizer import offsets


def ask(task: QuestionAnswering, question: str, context: str, **parameters: Any) -> AnswerResult:
    """The whole task on its real graph, a batch of all windows."""
    return answered(task, Question(question=question, context=context), AnswerParameters(**parameters)).result


def answer_by_logits(
    task: QuestionAnswering, context: str, logits_of: Callable[[Window, str], tuple[Array, Array]], **parameters: Any
) -> AnswerResult:
    """The answer when the model gives these logits of starts and ends, each [tokens], for each window."""
    question, chosen = Question(question="is?", context=context), AnswerParameters(**parameters)
    rounds = task.run(question, chosen)
    rows = next(rounds)
    windows, _ = task._tokenizer.windows("is?", context, max_tokens=task._max_tokens, stride=chosen.doc_stride)
    assert [row.inputs for row in rows] == [window.encoding for window in windows]
    given = [logits_of(window, context) for window in windows]
    outputs = [{"start_logits": starts, "end_logits": ends} for starts, ends in given]
    return last_result(rounds, outputs).result


def made(
    folder: Path, words: dict[str, float] | None = None, ends: dict[str, float] | None = None
) -> QuestionAnswering:
    starts = None if words is None else doubles.scores(words, other=-10)
    stops = None if ends is None else doubles.scores(ends, other=-10)
    return QuestionAnswering(
        Artifact(doubles.reader(folder, starts=starts, ends=stops)), batch_tokens=256, intra_op_threads=1
    )


def test_the_answer_is_where_the_logits_say(tmp_path: Path) -> None:
    context = "The capital is Paris , strong ."
    result = ask(made(tmp_path), "capital?", context)
    assert result.answer == "Paris"
    assert context[result.start : result.end] == "Paris"
    assert result.windows == 1
    assert result.truncated is False
    assert result.truncated_at is None


def test_an_answer_may_be_several_words(tmp_path: Path) -> None:
    task = made(tmp_path, {"good": 5}, {"paris": 5})
    assert ask(task, "is?", "the Good capital, Paris.").answer == "Good capital, Paris"


def test_an_answer_does_not_end_before_it_starts(tmp_path: Path) -> None:
    task = made(tmp_path, {"good": 5, "weak": 1}, {"paris": 5, "strong": 1})
    assert ask(task, "is?", "paris is good and weak strong").answer == "good and weak strong"


def test_an_answer_keeps_to_its_longest(tmp_path: Path) -> None:
    task = made(tmp_path, {"good": 5, "weak": 1}, {"paris": 5})
    context = "good is is is weak is paris"
    assert ask(task, "the?", context, max_answer_len=7).answer == context
    assert ask(task, "the?", context, max_answer_len=6).answer == "weak is paris"
    assert len(ask(task, "the?", context, max_answer_len=1).answer.split()) == 1


def test_the_question_is_never_the_answer(tmp_path: Path) -> None:
    assert ask(made(tmp_path), "paris strong?", "it is weak").answer == "weak"


# --- Over several windows --------------------------------------------------------------------------------------------


def test_windows_are_compared_by_logits_not_by_their_own_shares(tmp_path: Path) -> None:
    """Alone in its window, "weak" has all of the probability there; "strong", with rivals beside it, has not."""
    task = made(tmp_path, {"weak": 2, "strong": 5, "rival": 4.9})
    context = "weak " + "the " * 100 + "rival the " * 10 + "strong " + "rival the " * 10
    result = ask(task, "is?", context, doc_stride=0, max_answer_len=1)
    assert result.windows > 2
    assert result.answer == "strong"
    assert result.score < 0.5, "its share, with twenty rivals"


@pytest.mark.parametrize("place", [0, 1, 57, 58, 59, 60, 61, 150, 298, 299])
def test_an_answer_is_found_wherever_it_stands(tmp_path: Path, place: int) -> None:
    words = ["the"] * 300
    words[place] = "Paris"
    context = " ".join(words)
    result = ask(made(tmp_path), "is?", context, doc_stride=8)
    assert (result.answer, result.start) == ("Paris", 4 * place)


def test_an_answer_across_the_edge_of_a_window_is_whole_in_the_next(tmp_path: Path) -> None:
    task = made(tmp_path, {"good": 5}, {"paris": 5})
    for before in range(45, 65):
        result = ask(task, "is?", "the " * before + "good is the paris" + " the" * 50, doc_stride=20)
        assert result.answer == "good is the paris", before


def test_a_span_that_two_windows_hold_is_one_answer(tmp_path: Path) -> None:
    context = "the " * 40 + "Paris " + "the " * 40 + "strong " + "the " * 40
    result = ask(made(tmp_path), "is?", context, doc_stride=28, top_k=5)
    spans = [(answer.start, answer.end) for answer in result.answers]
    assert len(spans) == len(set(spans)) == 5
    assert [answer.answer for answer in result.answers[:2]] == ["Paris", "strong"]


def answer_by_words(
    task: QuestionAnswering, context: str, logits: list[dict[str, float]], **parameters: Any
) -> AnswerResult:
    """The answer when each window's logits are 0 but for these words, "" standing for no answer."""
    words_of_windows = iter(logits)

    def logits_of(window: Window, context: str) -> tuple[Array, Array]:
        words = next(words_of_windows)
        scores = np.zeros(len(window.encoding))
        scores[0] = words.get("", 0)
        for index, (start, end) in enumerate(offsets(window)):
            scores[window.first + index] = words.get(context[start:end], 0)
        return scores, scores

    return answer_by_logits(task, context, logits_of, **parameters)


@pytest.mark.parametrize("best_first", [True, False])
def test_a_span_that_two_windows_see_differently_counts_as_the_better_one_does(
    tmp_path: Path, best_first: bool
) -> None:
    context = "the " * 40 + "paris strong " + "the " * 20
    seen = [{"paris": 9.0, "strong": 7.0}, {"paris": 1.0, "strong": 7.0}]
    result = answer_by_words(
        made(tmp_path), context, seen if best_first else seen[::-1], doc_stride=28, max_answer_len=1
    )
    assert result.windows == 2
    assert result.answer == "paris"


def test_there_is_no_answer_only_where_every_window_says_so(tmp_path: Path) -> None:
    context = "the " * 40 + "paris strong " + "the " * 20
    either: dict[str, Any] = {"doc_stride": 0, "max_answer_len": 1, "handle_impossible_answer": True}
    task = made(tmp_path)
    assert answer_by_words(task, context, [{"": 9.0, "paris": 5.0}, {"": 1.0}], **either).answer == "paris"
    assert answer_by_words(task, context, [{"": 1.0, "paris": 5.0}, {"": 9.0}], **either).answer == "paris"
    assert answer_by_words(task, context, [{"": 9.0, "paris": 5.0}, {"": 8.0}], **either).answer == ""


@pytest.mark.parametrize("words", [20, 60])
def test_the_scores_of_all_spans_and_of_no_answer_add_up_to_one(tmp_path: Path, words: int) -> None:
    """In one window and in several, which share no token here."""
    context = " ".join(["paris", "strong", "is"] * (words // 3 + 1))
    parameters: dict[str, Any] = {"top_k": 100, "max_answer_len": 1, "doc_stride": 0, "handle_impossible_answer": True}
    result = ask(made(tmp_path), "is?", context, **parameters)
    assert result.windows == 1 + (words > 58)
    assert sum(answer.score for answer in result.answers) == pytest.approx(1)


def test_windows_do_not_grow_without_bound(tmp_path: Path) -> None:
    assert ask(made(tmp_path), "is?", "the " * 1000, doc_stride=10**9).windows < 40


def test_a_question_that_is_too_long_is_cut_and_says_where(tmp_path: Path) -> None:
    question = "is " * 100
    result = ask(made(tmp_path), question, "the paris")
    assert result.answer == "paris"
    assert result.truncated is True
    assert question[: result.truncated_at].split() == ["is"] * 30


# --- Several answers, and none ---------------------------------------------------------------------------------------


def test_top_k_answers_come_best_first_with_shares_of_all(tmp_path: Path) -> None:
    context = "paris is strong is weak"
    result = ask(made(tmp_path), "the?", context, top_k=3, max_answer_len=1)
    assert [answer.answer for answer in result.answers] == ["paris", "strong", "weak"]
    logits = np.array([10, -20, 8, -20, 4, -20])  # the words' starts + ends, and "no answer", [CLS]'s
    shares = np.exp(logits) / np.exp(logits).sum()
    assert [answer.score for answer in result.answers] == pytest.approx(shares[[0, 2, 4]].tolist())
    assert Answer(result.answer, result.score, result.start, result.end) == result.answers[0]


def test_top_k_is_no_more_than_there_are(tmp_path: Path) -> None:
    result = ask(made(tmp_path), "the?", "paris strong", top_k=100)
    assert sorted(answer.answer for answer in result.answers) == ["paris", "paris strong", "strong"]


def test_no_answer_is_told_only_where_it_is_allowed(tmp_path: Path) -> None:
    task = made(tmp_path, {"[CLS]": 3, "weak": 2})
    assert ask(task, "the?", "it is weak").answer == "weak"
    result = ask(task, "the?", "it is weak", handle_impossible_answer=True, top_k=2, max_answer_len=1)
    assert [answer.answer for answer in result.answers] == ["", "weak"]
    assert (result.start, result.end) == (0, 0)
    assert result.score > result.answers[1].score


def test_an_answer_better_than_none_wins_though_none_is_allowed(tmp_path: Path) -> None:
    task = made(tmp_path, {"[CLS]": 1, "weak": 2})
    assert ask(task, "the?", "it is weak", handle_impossible_answer=True).answer == "weak"


def test_the_models_own_bias_is_added_to_no_answer(tmp_path: Path) -> None:
    """ "weak" has 2 + 2; "no answer" has 1 + 1, and with its bias 3 more or 3 less."""
    shares = {}
    for bias in (-3.0, 3.0):
        folder = doubles.reader(
            tmp_path / str(bias),
            starts=doubles.scores({"[CLS]": 1, "weak": 2}, other=-10),
            shoal={"no_answer_bias": bias},
        )
        task = QuestionAnswering(Artifact(folder), batch_tokens=256, intra_op_threads=1)
        result = ask(task, "the?", "it is weak", handle_impossible_answer=True, max_answer_len=1)
        assert result.answer == ("weak" if bias < 0 else "")
        shares[bias] = ask(task, "the?", "it is weak", max_answer_len=1)
    assert [shares[bias].answer for bias in shares] == ["weak", "weak"]
    assert shares[-3.0].score == pytest.approx(1 / (1 + np.exp(2 - 3 - 4)), abs=1e-6)
    assert shares[3.0].score == pytest.approx(1 / (1 + np.exp(2 + 3 - 4)), abs=1e-6)


def test_logits_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match="finite"):
        ask(made(tmp_path, {"void": np.nan}), "the?", "void")


def test_a_context_of_no_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="context"):
        ask(made(tmp_path), "the?", "\u200b")


def test_usage_counts_the_tokens_of_every_window(tmp_path: Path) -> None:
    question = Question(question="is", context="the " * 100)
    answer = answered(made(tmp_path), question, AnswerParameters(doc_stride=0))
    assert (answer.result.windows, answer.input_tokens, answer.output_tokens) == (2, 64 + 44, 0)


# --- Offsets of characters -------------------------------------------------------------------------------------------

HARD = ["👩🏽‍🚀", "🎉", "日本語", "e\u0301te\u0301", "İstanbul", "ﬁn", "שלום", "naïve", "\u00a0", "\u3000", "\n", "  "]


def byte_level_reader(folder: Path) -> QuestionAnswering:
    """Of no opinion: the tests say what its logits are."""
    tokenizer = doubles.byte_level()
    table = np.zeros(tokenizer.get_vocab_size())
    return QuestionAnswering(
        Artifact(doubles.reader(folder, starts=table, tokenizer=tokenizer)), batch_tokens=256, intra_op_threads=1
    )


@settings(deadline=None, max_examples=60)
@given(before=st.lists(st.sampled_from(HARD), max_size=12), after=st.lists(st.sampled_from(HARD), max_size=12))
def test_offsets_are_characters_of_the_context_given(zoo: Path, before: list[str], after: list[str]) -> None:
    task = QuestionAnswering(Artifact(zoo / "reader"), batch_tokens=256, intra_op_threads=1)
    context = " ".join([*before, "Paris", *after])
    result = ask(task, "is?", context)
    assert result.answer == "Paris"
    assert context[result.start : result.end] == "Paris"
    assert result.start == len(" ".join([*before, ""]))


@pytest.mark.parametrize("answer", ["👩🏽‍🚀", "🎉", "日本語", "e\u0301te\u0301", "naïve", "strong 🎉"])
@pytest.mark.parametrize("side", [0, -1])
def test_byte_level_answers_are_whole_characters(tmp_path: Path, answer: str, side: int) -> None:
    """Whichever byte of its first and last character the model points at."""
    context = f"Wo 🐟 x {answer} y 🐠."
    begin = context.index(answer)
    last = begin + len(answer) - 1

    def logits_of(window: Window, context: str) -> tuple[Array, Array]:
        starts, ends = np.zeros((2, len(window.encoding)))
        pointed = [index for index, (start, end) in enumerate(offsets(window)) if start <= begin < end and start != end]
        starts[window.first + pointed[side]] = 9
        pointed = [index for index, (start, end) in enumerate(offsets(window)) if start <= last < end]
        ends[window.first + pointed[side]] = 9
        return starts, ends

    result = answer_by_logits(byte_level_reader(tmp_path), context, logits_of)
    assert result.answer == answer == context[result.start : result.end]


def test_byte_level_answers_leave_out_the_space_before_them(tmp_path: Path) -> None:
    def logits_of(window: Window, context: str) -> tuple[Array, Array]:
        starts, ends = np.zeros((2, len(window.encoding)))
        strong = [start for start, _ in offsets(window)].index(9)
        starts[window.first + strong - 1] = 9  # one of the spaces between
        ends[-2] = 9
        return starts, ends

    result = answer_by_logits(byte_level_reader(tmp_path), "it is \n  strong", logits_of)
    assert (result.answer, result.start, result.end) == ("strong", 9, 15)


def test_the_many_spans_of_an_emojis_bytes_do_not_crowd_out_other_answers(tmp_path: Path) -> None:
    def logits_of(window: Window, context: str) -> tuple[Array, Array]:
        logits = np.zeros(len(window.encoding))
        for index, (start, end) in enumerate(offsets(window)):
            text = context[start:end].strip()
            logits[window.first + index] = {"🎉": 9, "": 8, "🚀": 5}.get(text, 0)
        return logits, logits

    task = byte_level_reader(tmp_path)
    result = answer_by_logits(task, "🎉 is good \u3000 🚀", logits_of, top_k=3, max_answer_len=4)
    answers = [answer.answer for answer in result.answers]
    assert len(set(answers)) == 3
    assert answers[0] == "🎉"
    assert "" not in answers


@settings(deadline=None, max_examples=60)
@given(
    context=st.text(st.sampled_from([*"".join(HARD), *"ab "]), min_size=1, max_size=80).filter(str.strip),
    seed=st.integers(0, 1000),
)
def test_byte_level_answers_are_stretches_of_any_context(
    tmp_path_factory: pytest.TempPathFactory, context: str, seed: int
) -> None:
    task = byte_level_reader(tmp_path_factory.mktemp("reader"))
    chance = np.random.default_rng(seed)

    def logits_of(window: Window, context: str) -> tuple[Array, Array]:
        starts, ends = chance.integers(-9, 9, (2, len(window.encoding))).astype(np.float32)
        return starts, ends

    result = answer_by_logits(task, context, logits_of, top_k=5, doc_stride=10)
    spans = [(answer.start, answer.end) for answer in result.answers]
    assert len(set(spans)) == len(spans) >= min(5, len(set(context.split())))
    for answer in result.answers:
        assert context[answer.start : answer.end] == answer.answer
        assert answer.answer.strip() == answer.answer != ""
    best = [answer.score for answer in result.answers]
    assert best == sorted(best, reverse=True)
