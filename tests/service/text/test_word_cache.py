from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, normalizers, pre_tokenizers

from service.text import word_cache as words
from service.text.word_cache import WordCache, reads_by_words
from tests.service import doubles

# All that BERT treats apart: controls (one of them a border to str.split), spaces of many kinds, accents that stand
# alone, CJK, joiners, a special token, capitals whose lower case is longer, what changes under decomposition.
APART = [
    "\x00",
    "\x1c",
    "\x85",
    "\u200b",
    "\u00ad",
    "\n",
    "\t",
    "\u00a0",
    "\u2028",
    "\u3000",
    "\u0301",
    "日",
    "👩🏽‍🚀",
    "İ",
    "Å",
    "ﬁ",
]
PARTS = [*APART, " ", "  ", "[SEP]", "[", "good", "Paris", "bad.", "x", "É", "e\u0301", ",", "?", "-", "字a", "q" * 120]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=30).map("".join) | st.text(max_size=60)


Encodings = list[tokenizers.Encoding]


def each(tokenizer: tokenizers.Tokenizer) -> Callable[[list[str]], Encodings]:
    return lambda texts: list(tokenizer.encode_batch(texts, add_special_tokens=False))


@settings(deadline=None, max_examples=500)
@given(text=TEXTS, lowercase=st.booleans())
def test_a_texts_tokens_are_those_of_its_words(text: str, lowercase: bool) -> None:
    tokenizer = doubles.word_piece()
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    cache = WordCache(each(tokenizer))
    encoding = tokenizer.encode(text, add_special_tokens=False)
    _, offsets = cache.encode(text)
    for _ in range(2):
        assert cache.encode(text)[0] == encoding.ids
    assert [offsets.span(token) for token in range(len(encoding))] == encoding.offsets


def test_a_cached_word_is_not_tokenized_again() -> None:
    tokenized: list[str] = []
    tokenize = each(doubles.word_piece())

    def recording(words: list[str]) -> Encodings:
        tokenized.extend(words)
        return tokenize(words)

    cache = WordCache(recording)
    for _ in range(3):
        assert cache.encode("the good the bad")[0] == [doubles.IDS[word] for word in ("the", "good", "the", "bad")]
    assert tokenized == ["the", "good", "bad"]


def test_a_word_is_tokenized_once_for_the_spans_of_all_its_tokens() -> None:
    tokenized: list[str] = []
    tokenizer = doubles.word_piece()
    tokenize = each(tokenizer)

    def recording(words: list[str]) -> Encodings:
        tokenized.extend(words)
        return tokenize(words)

    text = "is " + ".," * 1000 + " paris. the"
    _, offsets = WordCache(recording).encode(text)
    tokenized.clear()
    expected = tokenizer.encode(text, add_special_tokens=False).offsets
    for _ in range(2):
        assert [offsets.span(token) for token in range(len(expected))] == expected
    assert tokenized == [".," * 1000, "paris."]


def test_memory_is_bounded_in_words_and_in_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_MAX_WORDS", 10)
    tokenizer = doubles.word_piece()
    cache = WordCache(each(tokenizer))
    texts = [" ".join([f"{letter}{number}" for number in range(7)] + ["y" * 33]) for letter in "abca"]
    for text in texts:
        assert cache.encode(text)[0] == tokenizer.encode(text, add_special_tokens=False).ids
        assert 0 < len(cache._ids) <= 10
        assert max(map(len, cache._ids)) <= 32


@pytest.mark.parametrize(
    ("change", "by_words"),
    [
        ({}, True),
        ({"normalizer": normalizers.NFC()}, False),
        ({"pre_tokenizer": pre_tokenizers.Whitespace()}, False),
        ({"added": AddedToken("<x>", lstrip=True)}, False),
        ({"added": AddedToken("<x>", single_word=True)}, False),
        ({"added": AddedToken("a b")}, False),
        ({"added": AddedToken("<x>")}, True),
    ],
)
def test_berts_way_alone_is_by_words(change: dict[str, Any], by_words: bool) -> None:
    tokenizer = doubles.word_piece()
    if added := change.pop("added", None):
        tokenizer.add_tokens([added])
    for name, part in change.items():
        setattr(tokenizer, name, part)
    assert reads_by_words(tokenizer) is by_words
    assert not reads_by_words(doubles.byte_level())
