"""The benchmarks' inputs: seeded, so that every server and every run gets the same ones."""

from __future__ import annotations

import random
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import tokenizers

from service.config import ARTIFACTS

Body = dict[str, Any]
"""What one request sends."""

SHORT, LONG = 2000, 300
_SPECIAL_IDS = 1996
"""BERT's vocabulary starts with special, unused and one-letter pieces; words follow, by frequency."""


@cache
def _words(tokenizer: Path = ARTIFACTS / "sentiment" / "tokenizer.json") -> tuple[list[str], list[float]]:
    """English words, most frequent first, and their cumulated Zipf weights."""
    vocabulary = tokenizers.Tokenizer.from_file(str(tokenizer)).get_vocab()
    ranked = sorted((number, word) for word, number in vocabulary.items() if number >= _SPECIAL_IDS)
    words = [word for _, word in ranked if word.isalpha() and word.isascii() and len(word) > 1]
    return words, list(accumulate(1 / (rank + 10) for rank in range(len(words))))


def _sentence(chance: random.Random, words: int) -> str:
    vocabulary, weights = _words()
    text = " ".join(chance.choices(vocabulary, cum_weights=weights, k=words))
    return f"{text.capitalize()}."


def _text(chance: random.Random, words: int) -> str:
    """Sentences of 8 to 25 words, `words` in all."""
    sentences = []
    while words > 0:
        size = min(words, chance.randint(8, 25))
        sentences.append(_sentence(chance, size))
        words -= size
    return " ".join(sentences)


def short_texts(count: int = SHORT) -> list[str]:
    """Sentences of 5 to 40 words."""
    chance = random.Random("short")
    return [_sentence(chance, chance.randint(5, 40)) for _ in range(count)]


def long_texts(count: int = LONG) -> list[str]:
    """Texts of 100 to 300 words."""
    chance = random.Random("long")
    return [_text(chance, chance.randint(100, 300)) for _ in range(count)]


def mixed_texts(count: int = SHORT) -> list[str]:
    """Four short texts to a long one, in random order."""
    texts = short_texts(count * 4 // 5) + (long_texts() * (count // 5 // LONG + 1))[: count // 5]
    random.Random("mixed").shuffle(texts)
    return texts


def questions(count: int = LONG) -> list[dict[str, str]]:
    """Questions of 6 to 15 words on contexts of 70 to 200, about as long as SQuAD's."""
    chance = random.Random("questions")
    return [
        {
            "question": _sentence(chance, chance.randint(6, 15))[:-1] + "?",
            "context": _text(chance, chance.randint(70, 200)),
        }
        for _ in range(count)
    ]


SETS: dict[str, tuple[str, Any]] = {
    "short": ("classify", short_texts),
    "long": ("classify", long_texts),
    "mixed": ("classify", mixed_texts),
    "qa": ("answer", questions),
}
"""By name: the route, and what makes the inputs."""


def bodies(name: str) -> list[Body]:
    """A request's body for each input of a set."""
    return [{"inputs": each} for each in SETS[name][1]()]
