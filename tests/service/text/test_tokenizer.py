from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import pytest
import tokenizers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from service.errors import ArtifactError, InvalidInput
from service.text.tokenizer import Tokenizer, Tokens, Window
from tests.service import doubles

# Emoji (with joiners and skin tones), CJK, combining marks, right to left, spaces of several kinds.
HARD = "Zoë e\u0301te\u0301 日本語 👩🏽‍🚀🎉 שלום naïve\u00a0x \u3000 fin"
TEXTS = st.text(st.sampled_from([*HARD, *"abc .,?"]), min_size=1, max_size=120)


def saved(folder: Path, tokenizer: tokenizers.Tokenizer) -> Tokenizer:
    tokenizer.save(str(folder / "tokenizer.json"))
    return Tokenizer(folder)


@pytest.fixture(scope="module", params=["word piece", "byte level"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    made = doubles.word_piece() if request.param == "word piece" else doubles.byte_level()
    return saved(tmp_path_factory.mktemp("tokenizer"), made)


@pytest.fixture
def word_piece(tmp_path: Path) -> Tokenizer:
    return saved(tmp_path, doubles.word_piece())


def offsets(window: Window) -> list[tuple[int, int]]:
    """Characters of each token of its stretch."""
    return [window.span(token) for token in range(window.size)]


def spans(windows: list[Window]) -> list[tuple[int, int]]:
    return [span for window in windows for span in offsets(window)]


# --- One text --------------------------------------------------------------------------------------------------------


def test_a_short_text_is_read_whole(word_piece: Tokenizer) -> None:
    encoding = word_piece.encode("The capital is good", 6)
    words = [doubles.IDS[word] for word in ("the", "capital", "is", "good")]
    assert encoding.ids.tolist() == [doubles.CLS, *words, doubles.SEP]
    assert encoding.type_ids.tolist() == [0] * 6
    assert encoding.truncated_at is None
    assert len(encoding) == 6


def test_a_long_text_is_cut_and_says_where(word_piece: Tokenizer) -> None:
    text = "The capital is good"
    encoding = word_piece.encode(text, 5)
    assert encoding.ids.tolist() == [
        doubles.CLS,
        doubles.IDS["the"],
        doubles.IDS["capital"],
        doubles.IDS["is"],
        doubles.SEP,
    ]
    assert encoding.truncated_at is not None
    assert text[: encoding.truncated_at] == "The capital is"


@settings(deadline=None, max_examples=60)
@given(text=TEXTS, max_tokens=st.integers(6, 40))
def test_what_is_said_to_be_read_is_what_was_read(tokenizer: Tokenizer, text: str, max_tokens: int) -> None:
    try:
        encoding = tokenizer.encode(text, max_tokens)
    except InvalidInput:
        assume(False)  # a text of no tokens
    whole = tokenizer.encode(text, 10_000)
    assert len(encoding) == min(len(whole), max_tokens)
    assert (encoding.truncated_at is None) == (len(whole) <= max_tokens)
    if encoding.truncated_at is not None:
        assert 0 < encoding.truncated_at <= len(text)
        assert encoding.ids[:-1].tolist() == whole.ids[: max_tokens - 1].tolist()
        assert encoding.ids[-1] == whole.ids[-1], "still ended by its special token"


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 12), st.integers(6, 24))
def test_rows_of_a_split_text_hold_every_token_and_begin_with_the_prefix(
    tokenizer: Tokenizer, size: int, prefix: int, max_tokens: int
) -> None:
    tokens = Tokens(list(range(10, 10 + size)), lambda number: (number, number + 1))
    rows = tokenizer.split(tokens, max_tokens, prefix=prefix)
    kept = min(prefix, size, (max_tokens - 2) // 2)
    texts = [row.ids.tolist()[1:-1] for row, _ in rows]  # without a special token at either end
    assert all(len(ids) <= max_tokens - 2 and ids[:kept] == tokens.ids[:kept] for ids in texts)
    assert [token for ids in texts for token in ids[kept:]] == tokens.ids[kept:]
    sizes = [count for _, count in rows]
    assert sizes == [len(ids) - kept for ids in texts]
    assert len(rows) == max(1, -(-(size - kept) // (max_tokens - 2 - kept)))
    assert all(count == sizes[0] for count in sizes[:-1])


def test_a_prompt_counts_with_the_special_tokens_before_it(word_piece: Tokenizer) -> None:
    assert word_piece.prompt_size("the good ") == 3
    assert word_piece.row_tokens(word_piece.tokens("the good one")) == len(word_piece.encode("the good one", 100))


@pytest.mark.parametrize("text", ["\u200b\u200b", "\0", "\u2060\ufeff"])
def test_a_text_of_no_tokens_is_refused(word_piece: Tokenizer, text: str) -> None:
    with pytest.raises(InvalidInput, match="nothing that the model can read"):
        word_piece.encode(text, 10)
    with pytest.raises(InvalidInput, match="nothing that the model can read"):
        word_piece.sentences(text, 10)


def test_a_file_that_pads_and_cuts_does_not_make_us_do_so(tmp_path: Path) -> None:
    file = doubles.word_piece()
    file.enable_padding(length=16)
    file.enable_truncation(4)
    encoding = saved(tmp_path, file).encode("the capital is good", 100)
    assert len(encoding) == 6


def test_decoding_leaves_out_special_tokens_and_outer_spaces(tokenizer: Tokenizer) -> None:
    encoding = tokenizer.encode(" the capital is good ", 100)
    assert tokenizer.decode(encoding.ids.tolist()) == "the capital is good"
    assert tokenizer.decode([]) == ""


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_missing_or_broken_file_is_an_artifact_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match="tokenizer"):
        Tokenizer(tmp_path)


def test_threads_with_different_limits_do_not_disturb_each_other(word_piece: Tokenizer) -> None:
    wrong: list[int] = []

    def encode(limit: int) -> None:
        for _ in range(200):
            size = len(word_piece.encode("good " * 100, limit))
            if size != limit:
                wrong.append(size)
            windows, _ = word_piece.windows("is", "good " * 100, max_tokens=limit, stride=2)
            if len(windows[0].encoding) != limit:
                wrong.append(len(windows[0].encoding))

    threads = [threading.Thread(target=encode, args=(limit,)) for limit in (10, 20, 30, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_text_too_long_for_the_word_cache_gives_the_same_tokens(word_piece: Tokenizer) -> None:
    line = "the Capital, is  good\n"
    text = line * 455
    assert len(text) > 10_000
    half = line * 227
    halves = [word_piece.tokens(half), word_piece.tokens(text[len(half) :])]
    whole = word_piece.tokens(text)
    assert whole.ids == halves[0].ids + halves[1].ids
    assert whole.span(7) == halves[0].span(7)


# --- Two texts in a row ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["longest_first", "only_first"])
@settings(deadline=None, max_examples=150)
@given(first=TEXTS, second=TEXTS, max_tokens=st.integers(8, 40))
def test_a_pair_is_cut_as_the_library_cuts_it(
    tokenizer: Tokenizer, strategy: str, first: str, second: str, max_tokens: int
) -> None:
    library = tokenizers.Tokenizer.from_str(tokenizer._tokenizer.to_str())
    library.enable_truncation(max_tokens, strategy=strategy)
    tokens = tokenizer.tokens(first), tokenizer.tokens(second)
    room = max_tokens - library.num_special_tokens_to_add(is_pair=True)
    left = room - len(tokens[1].ids)
    if strategy == "only_first" and left <= 0 and len(tokens[0].ids) > left:
        with pytest.raises(InvalidInput, match="shorten it"):
            tokenizer.pair(*tokens, max_tokens, keep_second=True)
        return
    wanted = library.encode(first, second)
    pair = tokenizer.pair(*tokens, max_tokens, keep_second=strategy == "only_first")
    assert pair.encoding.ids.tolist() == wanted.ids
    assert pair.encoding.type_ids.tolist() == wanted.type_ids
    for number, (text, all_of_it, cut_at) in enumerate(zip((first, second), tokens, pair.truncated_at, strict=True)):
        kept = wanted.sequence_ids.count(number)
        assert (cut_at is None) == (kept == len(all_of_it.ids))
        if cut_at is not None:
            assert tokenizer.tokens(text).span(kept - 1)[1] == cut_at
    assert pair.truncated == (len(library.encode(first, second).overflowing) > 0)


# --- A question and windows of its context ---------------------------------------------------------------------------


def test_a_short_context_is_one_window(word_piece: Tokenizer) -> None:
    context = "Paris is the capital"
    windows, cut_at = word_piece.windows("is good", context, max_tokens=30, stride=4)
    assert cut_at is None
    (window,) = windows
    assert window.encoding.ids.tolist() == [
        doubles.CLS, doubles.IDS["is"], doubles.IDS["good"], doubles.SEP,
        doubles.IDS["paris"], doubles.IDS["is"], doubles.IDS["the"], doubles.IDS["capital"], doubles.SEP,
    ]  # fmt: skip
    assert window.encoding.type_ids.tolist() == [0] * 4 + [1] * 5
    assert window.first == 4
    assert [context[start:end] for start, end in offsets(window)] == ["Paris", "is", "the", "capital"]


def test_byte_level_windows_have_two_separators_and_no_token_types(tmp_path: Path) -> None:
    tokenizer = saved(tmp_path, doubles.byte_level())
    context = "paris is the capital 🎉"
    (window,), _ = tokenizer.windows("is good", context, max_tokens=60, stride=4)
    question_tokens = window.first - 3
    assert [window.encoding.ids[place] for place in (0, question_tokens + 1, question_tokens + 2, -1)] == [0, 2, 2, 2]
    assert not any(window.encoding.type_ids)
    assert context.startswith(context[offsets(window)[0][0] : offsets(window)[0][1]])
    assert {context[start:end] for start, end in offsets(window)[-4:]} == {"🎉"}, "each of its bytes is all of it"


@settings(deadline=None, max_examples=80)
@given(
    question=TEXTS, context=st.text(st.sampled_from([*HARD, *"ab "]), min_size=1, max_size=300),
    max_tokens=st.integers(16, 64), stride=st.integers(0, 80),
)  # fmt: skip
def test_windows_hold_every_token_of_the_context(
    tokenizer: Tokenizer, question: str, context: str, max_tokens: int, stride: int
) -> None:
    windows, _ = tokenizer.windows(question, context, max_tokens=max_tokens, stride=stride)
    (whole,), _ = tokenizer.windows("a", context, max_tokens=100_000, stride=0)
    assert set(spans(windows)) == set(offsets(whole))
    for window in windows:
        assert len(window.encoding) <= max_tokens
        assert window.first + window.size <= len(window.encoding)
        inside = window.encoding.ids[window.first : window.first + window.size]
        assert len(inside) == window.size
        assert all(0 <= start <= end <= len(context) for start, end in offsets(window))


@settings(deadline=None, max_examples=60)
@given(tokens=st.integers(1, 300), max_tokens=st.integers(16, 64), stride=st.integers(0, 100))
def test_neighbouring_windows_share_the_stride_but_half_a_window_at_most(
    tmp_path_factory: pytest.TempPathFactory, tokens: int, max_tokens: int, stride: int
) -> None:
    tokenizer = saved(tmp_path_factory.mktemp("tokenizer"), doubles.word_piece())
    windows, _ = tokenizer.windows("is", "good " * tokens, max_tokens=max_tokens, stride=stride)
    room = max_tokens - 4
    shared = min(stride, room // 2)
    for one, other in pairwise(windows):
        assert one.size == room
        assert len(set(offsets(one)) & set(offsets(other))) == shared
    assert len(windows) <= 2 + 2 * tokens // room


def test_a_huge_stride_does_not_multiply_the_windows(word_piece: Tokenizer) -> None:
    windows, _ = word_piece.windows("is", "good " * 1000, max_tokens=64, stride=10**9)
    assert len(windows) <= 2 * 1000 / 60 + 1


def test_a_long_question_is_cut_to_leave_half_of_the_row(word_piece: Tokenizer) -> None:
    question = "is " * 100
    windows, cut_at = word_piece.windows(question, "good " * 50, max_tokens=33, stride=5)
    assert cut_at is not None
    assert question[:cut_at] == ("is " * 15).strip()
    assert windows[0].first == 17
    assert {len(window.encoding) for window in windows[:-1]} == {33}
    assert spans(windows)[-1] == (245, 249)


def test_a_context_of_no_tokens_is_a_window_without_any(word_piece: Tokenizer) -> None:
    windows, _ = word_piece.windows("is", "\u200b", max_tokens=30, stride=5)
    assert [offsets(window) for window in windows] == [[]]
