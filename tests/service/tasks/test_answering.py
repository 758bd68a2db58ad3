from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact import Artifact
from service.errors import InferenceError, InvalidInput
from service.schemas import AnswerParameters, Question
from service.tasks.answering import Answering, best_place, best_places, span_logits, spans_inside
from tests.service import toys
from tests.service.tasks.rounds import answered
from tests.service.test_encoding import offsets


def ask(task: Answering, question: str, context: str, **parameters: Any) -> dict[str, Any]:
    """The whole task on its real graph, a batch of all windows."""
    return answered(task, Question(question=question, context=context), AnswerParameters(**parameters)).result


def made(folder: Path, words: dict[str, float] | None = None, ends: dict[str, float] | None = None) -> Answering:
    starts = None if words is None else toys.scores(words, other=-10)
    stops = None if ends is None else toys.scores(ends, other=-10)
    return Answering(Artifact(toys.reader(folder, starts=starts, ends=stops)), batch_tokens=256, wide_threads=1)


# --- Spans -----------------------------------------------------------------------------------------------------------

LOGITS = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=12)


@given(LOGITS, st.integers(1, 15))
def test_span_logits_are_the_sums_of_their_ends(logits: list[tuple[int, int]], longest: int) -> None:
    starts, ends = np.array(logits, dtype=np.float64).T
    table = span_logits(starts, ends, longest)
    assert table.shape == (longest, len(logits))
    for first, extra in product(range(len(logits)), range(longest)):
        inside = first + extra < len(logits)
        assert table[extra, first] == (starts[first] + ends[first + extra] if inside else -np.inf)


@given(st.integers(1, 20), st.integers(1, 20))
def test_spans_inside_are_those_that_do_not_leave_the_window(longest: int, tokens: int) -> None:
    table = span_logits(np.zeros(tokens), np.zeros(tokens), longest)
    assert spans_inside(longest, tokens) == np.isfinite(table).sum()


@given(LOGITS, st.integers(1, 15), st.integers(1, 200))
def test_the_best_places_are_those_of_a_full_sort(logits: list[tuple[int, int]], longest: int, count: int) -> None:
    starts, ends = np.array(logits, dtype=np.float64).T
    table = span_logits(starts, ends, longest)
    count = min(count, table.size)
    places = best_places(table, count)
    assert len(set(places)) == count
    everywhere = sorted(np.ndindex(table.shape), key=lambda place: (-table[place], place[1], place[0]))
    assert places == everywhere[:count]
    assert best_place(table) == places[0]


def test_of_equal_spans_the_first_is_the_best_however_many_are_asked_for() -> None:
    table = span_logits(np.array([0.0] * 8 + [0, 0]), np.array([0.0] * 8 + [1, 1]), 1)
    assert [best_places(table, count)[0] for count in range(1, 11)] == [(0, 8)] * 10


def test_the_answer_is_where_the_logits_say(tmp_path: Path) -> None:
    context = "The capital is Paris , strong ."
    result = ask(made(tmp_path), "capital?", context)
    assert result["answer"] == "Paris"
    assert context[result["start"] : result["end"]] == "Paris"
    assert result["windows"] == 1
    assert result["truncated"] is False
    assert result["truncated_at"] is None


def test_an_answer_may_be_several_words(tmp_path: Path) -> None:
    task = made(tmp_path, {"good": 5}, {"paris": 5})
    assert ask(task, "is?", "the Good capital, Paris.")["answer"] == "Good capital, Paris"


def test_an_answer_does_not_end_before_it_starts(tmp_path: Path) -> None:
    task = made(tmp_path, {"good": 5, "weak": 1}, {"paris": 5, "strong": 1})
    assert ask(task, "is?", "paris is good and weak strong")["answer"] == "good and weak strong"


def test_an_answer_keeps_to_its_longest(tmp_path: Path) -> None:
    task = made(tmp_path, {"good": 5, "weak": 1}, {"paris": 5})
    context = "good is is is weak is paris"
    assert ask(task, "the?", context, max_answer_len=7)["answer"] == context
    assert ask(task, "the?", context, max_answer_len=6)["answer"] == "weak is paris"
    assert len(ask(task, "the?", context, max_answer_len=1)["answer"].split()) == 1


def test_the_question_is_never_the_answer(tmp_path: Path) -> None:
    assert ask(made(tmp_path), "paris strong?", "it is weak")["answer"] == "weak"


# --- Over several windows --------------------------------------------------------------------------------------------


def test_windows_are_compared_by_logits_not_by_their_own_shares(tmp_path: Path) -> None:
    """Alone in its window, "weak" has all of the probability there; "strong", with rivals beside it, has not."""
    task = made(tmp_path, {"weak": 2, "strong": 5, "rival": 4.9})
    context = "weak " + "the " * 100 + "rival the " * 10 + "strong " + "rival the " * 10
    result = ask(task, "is?", context, doc_stride=0, max_answer_len=1)
    assert result["windows"] > 2
    assert result["answer"] == "strong"
    assert result["score"] < 0.5, "its share, with twenty rivals"


@pytest.mark.parametrize("place", [0, 1, 57, 58, 59, 60, 61, 150, 298, 299])
def test_an_answer_is_found_wherever_it_stands(tmp_path: Path, place: int) -> None:
    words = ["the"] * 300
    words[place] = "Paris"
    context = " ".join(words)
    result = ask(made(tmp_path), "is?", context, doc_stride=8)
    assert (result["answer"], result["start"]) == ("Paris", 4 * place)


def test_an_answer_across_the_edge_of_a_window_is_whole_in_the_next(tmp_path: Path) -> None:
    task = made(tmp_path, {"good": 5}, {"paris": 5})
    for before in range(45, 65):
        result = ask(task, "is?", "the " * before + "good is the paris" + " the" * 50, doc_stride=20)
        assert result["answer"] == "good is the paris", before


def test_a_span_that_two_windows_hold_is_one_answer(tmp_path: Path) -> None:
    context = "the " * 40 + "Paris " + "the " * 40 + "strong " + "the " * 40
    result = ask(made(tmp_path), "is?", context, doc_stride=28, top_k=5)
    spans = [(answer["start"], answer["end"]) for answer in result["answers"]]
    assert len(spans) == len(set(spans)) == 5
    assert [answer["answer"] for answer in result["answers"][:2]] == ["Paris", "strong"]


def told(task: Answering, context: str, logits: list[dict[str, float]], **parameters: Any) -> dict[str, Any]:
    """The answer when each window's logits are 0 but for these words, "" standing for no answer."""
    chosen = AnswerParameters(**parameters)
    reading, rows = task.prepare(Question(question="is?", context=context), chosen)
    outputs = []
    for window, (_, tokens), words in zip(reading.windows, rows, logits, strict=True):
        scores = np.zeros(tokens)
        scores[0] = words.get("", 0)
        for index, (start, end) in enumerate(offsets(window)):
            scores[window.first + index] = words.get(context[start:end], 0)
        outputs.append({"start_logits": scores, "end_logits": scores})
    return task.finish(reading, outputs, chosen)


@pytest.mark.parametrize("best_first", [True, False])
def test_a_span_that_two_windows_see_differently_counts_as_the_better_one_does(
    tmp_path: Path, best_first: bool
) -> None:
    context = "the " * 40 + "paris strong " + "the " * 20
    seen = [{"paris": 9.0, "strong": 7.0}, {"paris": 1.0, "strong": 7.0}]
    result = told(made(tmp_path), context, seen if best_first else seen[::-1], doc_stride=28, max_answer_len=1)
    assert result["windows"] == 2
    assert result["answer"] == "paris"


def test_there_is_no_answer_only_where_every_window_says_so(tmp_path: Path) -> None:
    context = "the " * 40 + "paris strong " + "the " * 20
    either: dict[str, Any] = {"doc_stride": 0, "max_answer_len": 1, "handle_impossible_answer": True}
    task = made(tmp_path)
    assert told(task, context, [{"": 9.0, "paris": 5.0}, {"": 1.0}], **either)["answer"] == "paris"
    assert told(task, context, [{"": 1.0, "paris": 5.0}, {"": 9.0}], **either)["answer"] == "paris"
    assert told(task, context, [{"": 9.0, "paris": 5.0}, {"": 8.0}], **either)["answer"] == ""


@pytest.mark.parametrize("words", [20, 60])
def test_the_scores_of_all_spans_and_of_no_answer_add_up_to_one(tmp_path: Path, words: int) -> None:
    """In one window and in several, which share no token here."""
    context = " ".join(["paris", "strong", "is"] * (words // 3 + 1))
    parameters: dict[str, Any] = {"top_k": 100, "max_answer_len": 1, "doc_stride": 0, "handle_impossible_answer": True}
    result = ask(made(tmp_path), "is?", context, **parameters)
    assert result["windows"] == 1 + (words > 58)
    assert sum(answer["score"] for answer in result["answers"]) == pytest.approx(1)


def test_windows_do_not_grow_without_bound(tmp_path: Path) -> None:
    assert ask(made(tmp_path), "is?", "the " * 1000, doc_stride=10**9)["windows"] < 40


def test_a_question_that_is_too_long_is_cut_and_says_where(tmp_path: Path) -> None:
    question = "is " * 100
    result = ask(made(tmp_path), question, "the paris")
    assert result["answer"] == "paris"
    assert result["truncated"] is True
    assert question[: result["truncated_at"]].split() == ["is"] * 30


# --- Several answers, and none ---------------------------------------------------------------------------------------


def test_top_k_answers_come_best_first_with_shares_of_all(tmp_path: Path) -> None:
    context = "paris is strong is weak"
    result = ask(made(tmp_path), "the?", context, top_k=3, max_answer_len=1)
    assert [answer["answer"] for answer in result["answers"]] == ["paris", "strong", "weak"]
    logits = np.array([10, -20, 8, -20, 4, -20])  # the words' starts + ends, and "no answer", [CLS]'s
    shares = np.exp(logits) / np.exp(logits).sum()
    assert [answer["score"] for answer in result["answers"]] == pytest.approx(shares[[0, 2, 4]].tolist())
    assert {key: result[key] for key in ("answer", "score", "start", "end")} == result["answers"][0]


def test_top_k_is_no_more_than_there_are(tmp_path: Path) -> None:
    result = ask(made(tmp_path), "the?", "paris strong", top_k=100)
    assert sorted(answer["answer"] for answer in result["answers"]) == ["paris", "paris strong", "strong"]


def test_no_answer_is_told_only_where_it_is_allowed(tmp_path: Path) -> None:
    task = made(tmp_path, {"[CLS]": 3, "weak": 2})
    assert ask(task, "the?", "it is weak")["answer"] == "weak"
    result = ask(task, "the?", "it is weak", handle_impossible_answer=True, top_k=2, max_answer_len=1)
    assert [answer["answer"] for answer in result["answers"]] == ["", "weak"]
    assert (result["start"], result["end"]) == (0, 0)
    assert result["score"] > result["answers"][1]["score"]


def test_an_answer_better_than_none_wins_though_none_is_allowed(tmp_path: Path) -> None:
    task = made(tmp_path, {"[CLS]": 1, "weak": 2})
    assert ask(task, "the?", "it is weak", handle_impossible_answer=True)["answer"] == "weak"


def test_the_models_own_bias_is_added_to_no_answer(tmp_path: Path) -> None:
    """ "weak" has 2 + 2; "no answer" has 1 + 1, and with its bias 3 more or 3 less."""
    shares = {}
    for bias in (-3.0, 3.0):
        folder = toys.reader(
            tmp_path / str(bias),
            starts=toys.scores({"[CLS]": 1, "weak": 2}, other=-10),
            shoal={"no_answer_bias": bias},
        )
        task = Answering(Artifact(folder), batch_tokens=256, wide_threads=1)
        result = ask(task, "the?", "it is weak", handle_impossible_answer=True, max_answer_len=1)
        assert result["answer"] == ("weak" if bias < 0 else "")
        shares[bias] = ask(task, "the?", "it is weak", max_answer_len=1)
    assert [shares[bias]["answer"] for bias in shares] == ["weak", "weak"]
    assert shares[-3.0]["score"] == pytest.approx(1 / (1 + np.exp(2 - 3 - 4)), abs=1e-6)
    assert shares[3.0]["score"] == pytest.approx(1 / (1 + np.exp(2 + 3 - 4)), abs=1e-6)


def test_logits_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match="finite"):
        ask(made(tmp_path, {"void": np.nan}), "the?", "void")


def test_a_context_of_no_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="context"):
        ask(made(tmp_path), "the?", "\u200b")


def test_usage_counts_the_tokens_of_every_window(tmp_path: Path) -> None:
    question = Question(question="is", context="the " * 100)
    answer = answered(made(tmp_path), question, AnswerParameters(doc_stride=0))
    assert (answer.result["windows"], answer.input_tokens, answer.output_tokens) == (2, 64 + 44, 0)


# --- Offsets of characters -------------------------------------------------------------------------------------------

HARD = ["👩🏽‍🚀", "🎉", "日本語", "e\u0301te\u0301", "İstanbul", "ﬁn", "שלום", "naïve", "\u00a0", "\u3000", "\n", "  "]


def byte_level_reader(folder: Path) -> Answering:
    """Of no opinion: the tests say what its logits are."""
    tokenizer = toys.byte_level()
    table = np.zeros(tokenizer.get_vocab_size())
    return Answering(Artifact(toys.reader(folder, starts=table, tokenizer=tokenizer)), batch_tokens=256, wide_threads=1)


@settings(deadline=None, max_examples=60)
@given(before=st.lists(st.sampled_from(HARD), max_size=12), after=st.lists(st.sampled_from(HARD), max_size=12))
def test_offsets_are_characters_of_the_context_given(zoo: Path, before: list[str], after: list[str]) -> None:
    task = Answering(Artifact(zoo / "reader"), batch_tokens=256, wide_threads=1)
    context = " ".join([*before, "Paris", *after])
    result = ask(task, "is?", context)
    assert result["answer"] == "Paris"
    assert context[result["start"] : result["end"]] == "Paris"
    assert result["start"] == len(" ".join([*before, ""]))


@pytest.mark.parametrize("answer", ["👩🏽‍🚀", "🎉", "日本語", "e\u0301te\u0301", "naïve", "strong 🎉"])
@pytest.mark.parametrize("side", [0, -1])
def test_byte_level_answers_are_whole_characters(tmp_path: Path, answer: str, side: int) -> None:
    """Whichever byte of its first and last character the model points at."""
    task = byte_level_reader(tmp_path)
    context = f"Wo 🐟 x {answer} y 🐠."
    begin = context.index(answer)
    parameters = AnswerParameters(max_answer_len=30)
    reading, ((_, tokens),) = task.prepare(Question(question="where", context=context), parameters)
    (window,) = reading.windows
    starts, ends = np.zeros(tokens), np.zeros(tokens)
    pointed = [index for index, (start, end) in enumerate(offsets(window)) if start <= begin < end and start != end]
    starts[window.first + pointed[side]] = 9
    last = begin + len(answer) - 1
    pointed = [index for index, (start, end) in enumerate(offsets(window)) if start <= last < end]
    ends[window.first + pointed[side]] = 9
    result = task.finish(reading, [{"start_logits": starts, "end_logits": ends}], parameters)
    assert result["answer"] == answer == context[result["start"] : result["end"]]


def test_byte_level_answers_leave_out_the_space_before_them(tmp_path: Path) -> None:
    task = byte_level_reader(tmp_path)
    parameters = AnswerParameters()
    reading, ((_, tokens),) = task.prepare(Question(question="is", context="it is \n  strong"), parameters)
    (window,) = reading.windows
    starts, ends = np.zeros(tokens), np.zeros(tokens)
    strong = [start for start, _ in offsets(window)].index(9)
    starts[window.first + strong - 1] = 9  # one of the spaces between
    ends[-2] = 9
    result = task.finish(reading, [{"start_logits": starts, "end_logits": ends}], parameters)
    assert (result["answer"], result["start"], result["end"]) == ("strong", 9, 15)


def test_the_many_spans_of_an_emojis_bytes_do_not_crowd_out_other_answers(tmp_path: Path) -> None:
    task = byte_level_reader(tmp_path)
    context = "🎉 is good \u3000 🚀"
    parameters = AnswerParameters(top_k=3, max_answer_len=4)
    reading, ((_, tokens),) = task.prepare(Question(question="is", context=context), parameters)
    (window,) = reading.windows
    logits = np.zeros(tokens)
    for index, (start, end) in enumerate(offsets(window)):
        text = context[start:end].strip()
        logits[window.first + index] = {"🎉": 9, "": 8, "🚀": 5}.get(text, 0)
    result = task.finish(reading, [{"start_logits": logits, "end_logits": logits}], parameters)
    answers = [answer["answer"] for answer in result["answers"]]
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
    parameters = AnswerParameters(top_k=5, doc_stride=10)
    reading, rows = task.prepare(Question(question="b", context=context), parameters)
    chance = np.random.default_rng(seed)
    logits = [
        {name: chance.integers(-9, 9, tokens).astype(np.float32) for name in ("start_logits", "end_logits")}
        for _, tokens in rows
    ]
    result = task.finish(reading, logits, parameters)
    spans = [(answer["start"], answer["end"]) for answer in result["answers"]]
    assert len(set(spans)) == len(spans) >= min(5, len(set(context.split())))
    for answer in result["answers"]:
        assert context[answer["start"] : answer["end"]] == answer["answer"]
        assert answer["answer"].strip() == answer["answer"] != ""
    best = [answer["score"] for answer in result["answers"]]
    assert best == sorted(best, reverse=True)
