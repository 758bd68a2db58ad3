"""The rule for names on vocabularies of three kinds, and what searches write that keep it."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers

from service.seq2seq.options import GenerationOptions, SpecialTokens
from service.seq2seq.search import Search, log_softmax, new_search
from service.seq2seq.source_names import LastWord, SourceNameConstraint, SourceText, TokenTexts
from service.text.names import is_name
from service.text.tokenizer import Tokenizer
from tests.service import doubles


def metaspace() -> tokenizers.Tokenizer:
    """SentencePiece's way: a word carries a mark for the space before it."""
    pieces = ["<unk>", "</s>", "\u2581the", "\u2581", *"abGPT4-.,é", "\u2581GPT", "PT"]
    tokenizer = tokenizers.Tokenizer(models.Unigram([(piece, 0.0) for piece in pieces], unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<unk>", "</s>"])
    return tokenizer


KINDS = {"bytes": doubles.byte_level, "words": doubles.word_piece, "metaspace": metaspace}


class Vocabulary:
    """A tokenizer as the service loads it, and the texts of its tokens."""

    def __init__(self, made: tokenizers.Tokenizer, folder: Path) -> None:
        folder.mkdir()
        made.save(str(folder / "tokenizer.json"))
        self.made = made
        self.decode = Tokenizer(folder).decode
        self.tokens = TokenTexts(self.decode, made.get_vocab_size())

    def ids(self, text: str) -> list[int]:
        return list(self.made.encode(text, add_special_tokens=False).ids)


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Vocabulary]:
    folder = tmp_path_factory.mktemp("vocabularies")
    return {kind: Vocabulary(made(), folder / kind) for kind, made in KINDS.items()}


# --- Names and sources -----------------------------------------------------------------------------------------------


TEXT = "GPT-4.5, a (BERT-like) LLMs of 12,000 or 3.5x; 2018-2019. CNNé AI"


@pytest.mark.parametrize(
    ("word", "rest"),
    [
        ("GPT-4.5", 0), ("GPT-4", 2), ("GPT-", 3), ("GPT", 0), ("GP", 1), ("PT", None), ("GPTs", None),
        ("4.5", 0), ("5", None), ("BERT", 0), ("BERT-like", 0), ("BERT-l", 3),
        ("LLM", 0), ("LLMs", 0), ("LL", 1), ("12,000", 0), ("12", 4), ("12,", 3), ("000", None), ("3.5x", 0), ("3", 3),
        ("3.5", 1), ("2018", 0), ("2019", 0), ("2018-2019", 0), ("019", None), ("CNN", None), ("A", 1), ("AI", 0),
        ("AIs", None), ("RAG", None),
    ],
)  # fmt: skip
def test_a_source_says_how_a_name_may_end(word: str, rest: int | None) -> None:
    """é is no token of this vocabulary."""
    assert SourceText(TEXT, {chr(code) for code in range(128)}).chars_left(word) == rest


def test_a_character_that_is_a_token_may_be_part_of_a_name() -> None:
    assert SourceText(TEXT, {chr(code) for code in range(256)}).chars_left("CNN") == 1


# --- Token texts -----------------------------------------------------------------------------------------------------

EXAMPLES = {
    "bytes": ["the good", "paris, a GPT-4.5", "nave naïve “GPT” 日本 3"],
    "words": ["the good paris.", "a 4 b 12,3"],
    "metaspace": ["the GPT-4 a,b", "a GPPT4 é"],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in EXAMPLES.items() for text in texts])
def test_token_texts_add_up_to_the_text(vocabularies: dict[str, Vocabulary], kind: str, text: str) -> None:
    vocabulary = vocabularies[kind]
    names, word, written = SourceNameConstraint(vocabulary.tokens, ""), LastWord(), list[int]()
    for token in vocabulary.ids(text):
        word = names.next_word(word, token)
        written.append(token)
        so_far = str(vocabulary.made.decode(written)).rstrip("\ufffd")
        assert word.text == re.split(r"[^\w.,-]", so_far)[-1]
        assert word.is_name == is_name(word.text)


def test_special_tokens_add_nothing(vocabularies: dict[str, Vocabulary]) -> None:
    assert [vocabularies["bytes"].tokens.texts[token] for token in range(3)] == [""] * 3


def test_a_vocabulary_without_letters_is_refused() -> None:
    with pytest.raises(ValueError, match="letter"):
        TokenTexts(lambda ids: "1" * len(ids), 4).decode_inside((1,))


# --- What a rule allows ----------------------------------------------------------------------------------------------


def allowed(vocabulary: Vocabulary, source: str, text: str, left: int = 99) -> bool:
    """Whether each token of a text may follow the one before, and the text may end."""
    names, word = SourceNameConstraint(vocabulary.tokens, source), LastWord()
    for token in vocabulary.ids(text):
        if not (names.may_end(word) or token in names.completions(word, left)) or not names.allows(word, token, left):
            return False
        word = names.next_word(word, token)
    return names.may_end(word)


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("the capital", True), ("The Capital Is", True), ("GPT-4", True), ("(GPT-4)", True), ("GPT", True),
        ("a GPT's", True), ("“GPT”", True), ("GPT—", True), ("GPT.", True), ("-GPT", True), ("LLM", True),
        ("GPT-4 GPT-4", True), ("GPT/LLMs", True), ("12.5 %", True), ("naïve GPT", True),
        ("GPT-5", False), ("GPTs", False), ("GP", False), ("PT", False), ("XGPT", False), ("GPT-", False),
        ("LLM-", False), ("LLM, the", True),
        ("3", False), ("12", False), ("1", False), ("12.5.", True), ("RAG", False), ("IoT", False), ("GPTé", False),
    ],
)  # fmt: skip
def test_names_are_the_sources(vocabularies: dict[str, Vocabulary], text: str, fine: bool) -> None:
    assert allowed(vocabularies["bytes"], "GPT-4, LLMs and 12.5", text) is fine


@pytest.mark.parametrize(("text", "fine"), [("the GPT-4", True), ("GPT", True), ("GPT4", False), ("a4", False)])
def test_names_are_the_sources_where_tokens_have_marks_for_spaces(
    vocabularies: dict[str, Vocabulary], text: str, fine: bool
) -> None:
    assert allowed(vocabularies["metaspace"], "a GPT-4", text) is fine


def test_no_name_is_begun_that_there_is_no_room_for(vocabularies: dict[str, Vocabulary]) -> None:
    """A token may be a single character."""
    vocabulary = vocabularies["bytes"]
    names, (token,) = SourceNameConstraint(vocabulary.tokens, "NLP"), vocabulary.ids("L")
    assert names.allows(LastWord("N"), token, tokens_left=1)
    assert not names.allows(LastWord("N"), token, tokens_left=0)
    assert names.allows(LastWord(), token, tokens_left=0), "one capital is no name"


# --- Searches that keep it -------------------------------------------------------------------------------------------

END = 2
WORDS = ["GPT-4", "the", "12,000", "LLMs", "A", "é3", "2", "IoT", "(NLP)", "x_1", "日本5", "Paris", "3.5", "CamelCase"]


def scores(vocabulary: Vocabulary, seed: int, beams: list[list[int]]) -> Any:
    """Random ones that prefer the tokens of names, the same for beams of the same sum."""
    table = np.random.default_rng(seed).normal(0, 3, (40, vocabulary.made.get_vocab_size())).astype(np.float32)
    table[:, sorted({token for word in WORDS for token in vocabulary.ids(word)})] += 3
    return table[[sum(beam) % len(table) for beam in beams]]


def searched(vocabulary: Vocabulary, source: str | None, seed: int, **chosen: Any) -> str:
    options = GenerationOptions(**({"length_penalty": 1.0, "min_new_tokens": 0} | chosen))
    names = None if source is None else SourceNameConstraint(vocabulary.tokens, source)
    search = new_search(options, SpecialTokens(start=0, ends=frozenset([END])), names)
    while not search.finished:
        given = scores(vocabulary, seed, search.beams)
        search.advance(given if options.num_beams == 1 else log_softmax(given))
    return vocabulary.decode(search.output_ids)


def strangers(text: str, source: str) -> list[str]:
    """Names of a text that do not stand in its source."""
    words = (word.strip(".,-") for word in re.split(r"[^\w.,-]", text))
    return [word for word in words if is_name(word) and word not in source]


@settings(deadline=None, max_examples=150)
@given(
    source=st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join),
    seed=st.integers(0, 10_000),
    chosen=st.fixed_dictionaries(
        {"num_beams": st.integers(1, 4), "no_repeat_ngram_size": st.integers(0, 3),
         "min_new_tokens": st.integers(0, 6), "max_new_tokens": st.integers(6, 14)}
    ),
)  # fmt: skip
def test_every_name_of_what_is_written_stands_in_the_source(
    vocabularies: dict[str, Vocabulary], source: str, seed: int, chosen: dict[str, Any]
) -> None:
    assert strangers(searched(vocabularies["bytes"], source, seed, **chosen), source) == []


def test_without_the_rule_names_are_made_up(vocabularies: dict[str, Vocabulary]) -> None:
    vocabulary, chosen = vocabularies["bytes"], {"num_beams": 1, "max_new_tokens": 14, "no_repeat_ngram_size": 0}
    free = [searched(vocabulary, None, seed, **chosen) for seed in range(60)]
    kept = [searched(vocabulary, " ".join(WORDS), seed, **chosen) for seed in range(60)]
    assert sum(bool(strangers(text, " ".join(WORDS))) for text in free) > 10
    assert sum(any(map(is_name, text.split())) for text in kept) > 10, "names are written where there are some"


class WantedText:
    """Scores that want one text, whatever was written."""

    def __init__(self, vocabulary: Vocabulary, wanted: str) -> None:
        self._size = vocabulary.made.get_vocab_size()
        self._ids = [*vocabulary.ids(wanted), END]

    def write(self, search: Search) -> list[int]:
        while not search.finished:
            given = np.zeros((len(search.beams), self._size), np.float32)
            given[:, self._ids[min(search.steps, len(self._ids) - 1)]] = 9
            given[:, END] += 1
            search.advance(given)
        return search.output_ids


def greedy(source: str, vocabulary: Vocabulary, wanted: str, **chosen: Any) -> str:
    options = GenerationOptions(
        **({"max_new_tokens": 30, "min_new_tokens": 0, "num_beams": 1, "length_penalty": 1.0,
            "no_repeat_ngram_size": 0} | chosen)
    )  # fmt: skip
    special = SpecialTokens(start=0, ends=frozenset([END]))
    search = new_search(options, special, SourceNameConstraint(vocabulary.tokens, source))
    return vocabulary.decode(WantedText(vocabulary, wanted).write(search))


def test_a_name_that_was_begun_is_ended_as_the_source_does(vocabularies: dict[str, Vocabulary]) -> None:
    assert greedy("XLNET", vocabularies["bytes"], "XLMNN the") == "XLNET the"
    assert greedy("XLNET or GPT", vocabularies["bytes"], "XLNE") == "XLNET"


def test_a_name_may_be_written_twice_where_nothing_else_may(vocabularies: dict[str, Vocabulary]) -> None:
    vocabulary, wanted = vocabularies["bytes"], "XLNET XLNET xlnet xlnet"
    assert greedy("XLNET", vocabulary, wanted) == wanted
    assert greedy("XLNET", vocabulary, wanted, no_repeat_ngram_size=3) == "XLNET XLNET", "and no space a second time"


def test_the_end_waits_for_a_name(vocabularies: dict[str, Vocabulary]) -> None:
    vocabulary = vocabularies["bytes"]
    assert greedy("GPT", vocabulary, "GP") == "GPT"
    assert greedy("", vocabulary, "GPT") == "G"


@pytest.mark.parametrize("num_beams", [1, 2, 4])
def test_where_nothing_is_allowed_something_is_written(num_beams: int) -> None:
    """A vocabulary of a letter and a digit, of which the letter is banned."""
    tokens = TokenTexts(lambda ids: "".join({2: "a", 3: "7"}.get(token, "") for token in ids), 4)
    options = GenerationOptions(
        max_new_tokens=3, min_new_tokens=2, num_beams=num_beams, length_penalty=1.0, no_repeat_ngram_size=0
    )
    search = new_search(options, SpecialTokens(0, frozenset([1]), banned=(0, 2)), SourceNameConstraint(tokens, ""))
    while not search.finished:
        search.advance(log_softmax(np.zeros((num_beams, 4), np.float32)))
    assert search.output_ids == [3, 3]


def test_beams_all_keep_the_rule(vocabularies: dict[str, Vocabulary]) -> None:
    vocabulary = vocabularies["bytes"]
    options = GenerationOptions(
        max_new_tokens=12, min_new_tokens=12, num_beams=4, length_penalty=1.0, no_repeat_ngram_size=0
    )
    source = "GPT-4 and NLP"
    search = new_search(options, SpecialTokens(0, frozenset([END])), SourceNameConstraint(vocabulary.tokens, source))
    seen = [search.beams]
    while not search.finished:
        search.advance(log_softmax(scores(vocabulary, 5, search.beams)))
        seen.append(search.beams)
    assert max(map(len, seen)) == 4
    assert all(len(after[0]) == len(before[0]) + 1 for before, after in pairwise(seen[:-1]))
    for beams in seen:
        for beam in beams:
            *closed, _ = re.split(r"[^\w.,-]", vocabulary.decode(beam) + "|")[:-1] or [""]
            assert strangers(" ".join(closed), source) == []
