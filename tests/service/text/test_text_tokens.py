from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from service.text.text_tokens import TextTokens, overlapping_windows, read_text, window_parts
from service.text.tokenizer import Tokenizer
from tests.service import doubles


def read(folder: Path, tokenizer: tokenizers.Tokenizer, text: str) -> TextTokens:
    tokenizer.save(str(folder / "tokenizer.json"))
    return read_text(Tokenizer(folder), text)


def words(tokens: TextTokens) -> list[str]:
    """The text's words, in characters from each one's first token to its last."""
    firsts = [*np.flatnonzero(tokens.begins_word).tolist(), len(tokens)]
    return [tokens.text[tokens.span(first)[0] : tokens.span(stop - 1)[1]] for first, stop in pairwise(firsts)]


def test_marked_tokens_go_on_with_a_word(tmp_path: Path) -> None:
    tokens = read(tmp_path, doubles.word_piece(), "The void, abc is 12.")
    assert words(tokens) == ["The", "void", ",", "abc", "is", "12", "."]
    assert len(tokens) == 10


def test_an_unknown_token_is_a_word(tmp_path: Path) -> None:
    tokens = read(tmp_path, doubles.word_piece(), "a☃ e\u0301☃")
    assert words(tokens) == ["a☃", "e\u0301☃"]  # BERT reads what stands between spaces as one unknown token
    assert set(tokens.ids.tolist()) == {doubles.UNK}


def test_without_marks_words_are_divided_by_spaces(tmp_path: Path) -> None:
    tokens = read(tmp_path, doubles.byte_level(), "paris is,(good)x\ny is")
    assert [word.strip() for word in words(tokens)] == ["paris", "is,(good)x\ny", "is"]


def test_nothing_readable_has_no_tokens(tmp_path: Path) -> None:
    tokens = read(tmp_path, doubles.word_piece(), "\u200b")
    assert len(tokens) == 0
    assert overlapping_windows(tokens.begins_word, size=8, shared=2) == [range(0)]
    assert window_parts([range(0)], tokens.begins_word) == [range(0)]


def test_the_first_tokens(tmp_path: Path) -> None:
    tokens = read(tmp_path, doubles.word_piece(), "the abc").first(2)
    assert [tokens.span(token) for token in range(len(tokens))] == [(0, 3), (4, 5)]


# --- Windows ---------------------------------------------------------------------------------------------------------


def begins(*sizes: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Words of so many tokens."""
    return np.array([token == 0 for size in sizes for token in range(size)], np.bool_)


def test_neighbours_share_tokens_of_which_each_counts_once() -> None:
    alone = begins(*[1] * 20)
    windows = overlapping_windows(alone, size=10, shared=4)
    assert windows == [range(10), range(6, 16), range(12, 20)]
    assert window_parts(windows, alone) == [range(8), range(8, 14), range(14, 20)]


def test_a_word_across_the_end_of_a_window_is_whole_in_the_next() -> None:
    sizes = begins(*[1] * 8, 4, *[1] * 8)
    windows = overlapping_windows(sizes, size=10, shared=0)
    assert windows == [range(10), range(8, 18), range(18, 20)]
    assert window_parts(windows, sizes) == [range(8), range(8, 18), range(18, 20)]


def test_a_word_belongs_to_the_window_where_it_is_farther_from_the_border() -> None:
    for before, wanted in ((7, 11), (8, 8)):  # tokens 7 to 9 or 8 to 10 of the first 12, of which 6 to 11 are shared
        sizes = begins(*[1] * before, 4 if before == 7 else 3, *[1] * 9)
        windows = overlapping_windows(sizes, size=12, shared=6)
        assert windows[:2] == [range(12), range(6, 18)]
        assert window_parts(windows, sizes)[0] == range(wanted)


def test_a_word_longer_than_a_window_is_read_in_parts() -> None:
    word = begins(30)
    windows = overlapping_windows(word, size=10, shared=4)
    assert windows == [range(begin, begin + 10) for begin in (0, 6, 12, 18)] + [range(24, 30)]
    assert window_parts(windows, word) == [range(8), range(8, 14), range(14, 20), range(20, 26), range(26, 30)]


SIZES = st.lists(st.integers(1, 9), max_size=40)


@given(sizes=SIZES, size=st.integers(1, 12), shared=st.integers(0, 99))
def test_every_token_counts_once_in_a_window_that_holds_it(sizes: list[int], size: int, shared: int) -> None:
    begins_word = begins(*sizes)
    windows = overlapping_windows(begins_word, size=size, shared=shared)
    parts = window_parts(windows, begins_word)
    assert [token for part in parts for token in part] == list(range(sum(sizes)))
    for window, part in zip(windows, parts, strict=True):
        assert len(window) <= size
        assert set(part) <= set(window)
    assert all(len(set(window) & set(after)) >= min(shared, size // 2) for window, after in pairwise(windows))


@given(sizes=SIZES, size=st.integers(1, 12), shared=st.integers(0, 99))
def test_words_stay_whole_where_they_are_farthest_from_the_borders(sizes: list[int], size: int, shared: int) -> None:
    begins_word, last = begins(*sizes), sum(sizes)
    windows = overlapping_windows(begins_word, size=size, shared=shared)
    parts = window_parts(windows, begins_word)
    for begin, stop in pairwise([*np.flatnonzero(begins_word).tolist(), last]):
        # The text's own ends are no borders.
        distances = {
            part: min(
                begin - window.start if window.start else last, window.stop - stop if window.stop < last else last
            )
            for window, part in zip(windows, parts, strict=True)
            if window.start <= begin and stop <= window.stop
        }
        if stop - begin <= size // 2:
            assert distances, "a window holds it whole"
        if distances:
            (chosen,) = {part for part in parts for token in range(begin, stop) if token in part}
            assert distances[chosen] == max(distances.values())
