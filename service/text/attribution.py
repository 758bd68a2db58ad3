"""Which sentences of a text support a sentence of its summary."""

from __future__ import annotations

import re
from collections import defaultdict
from math import log
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

SUPPORTED = 0.2
"""99 % of abstracts' summaries find a source above this; in the abstract of the paper most like theirs, 7 % do."""

# Words say more than vectors, the two together most: measured in docs/design.md.
_WORDS_SHARE = 0.75
_SALIENT = 2.0  # what a number or a name counts, against another word
_WORD = re.compile(r"[^\W_]+(?:['’.,-][^\W_]+)*")
_ENDINGS = ("ies", "ing", "es", "ed", "s", "ly")
_STEM_CHARS = 3
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a an the of in on at to for by with from as and or but nor so yet is are was were be been being has have had
        do does did not no it its this that these those which who whom whose what when where how than then there here we
        our us i you your he she they them his her their can could may might will would shall should must also into such
        over under between both each more most very via using use used however""",
    )
)


def _stem(word: str) -> str:
    """Crude, but it finds "proposed" in "propose" and "proposes"; a wrong stem only ever adds a match."""
    word = word.lower().replace("’", "'").removesuffix("'s")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _STEM_CHARS:
            word = word.removesuffix(ending)
            break
    return word.removesuffix("e")


def _is_salient(word: str, *, first: bool) -> bool:
    """A number or a name; a capital at the start of a sentence alone makes no name."""
    return any(char.isdigit() for char in word) or any(char.isupper() for char in (word[1:] if first else word))


def _words(sentence: str) -> dict[str, float]:
    """Stems of the sentence's words, with what each counts."""
    found: dict[str, float] = {}
    for match in _WORD.finditer(sentence):
        word = match[0]
        if word.lower() not in _STOP_WORDS:
            weight = _SALIENT if _is_salient(word, first=match.start() == 0) else 1.0
            stem = _stem(word)
            found[stem] = max(weight, found.get(stem, weight))
    return found


def _places(sentences: list[str]) -> dict[str, list[int]]:
    """The sentences that hold each word."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for index, sentence in enumerate(sentences):
        for word in _words(sentence):
            places[word].append(index)
    return places


def _shared(sentence: str, places: dict[str, list[int]], count: int) -> Array:
    """For each of `count` sources, the share of the sentence's words that it holds, by rarity: [count]."""
    shared = np.zeros(count)
    total = 0.0
    for word, weight in _words(sentence).items():
        where = places.get(word, [])
        # A word that the text does not hold at all counts most: nothing can support it.
        weight *= log(1 + count / max(len(where), 0.5))
        total += weight
        shared[where] += weight
    return shared / total if total else shared


def attribute(
    summary_sentences: list[str], source_sentences: list[str], similarity: Array | None, top: int
) -> list[list[tuple[int, float]]]:
    """For each summary sentence, the `top` source sentences that support it best: (index, score), best first.

    `similarity` is the cosine of their vectors, [summary, source], if there are any. Scores lie in [0, 1]; 1 is the
    sentence itself, 0 has nothing in common and is left out, below `SUPPORTED` a reader should doubt.
    """
    places = _places(source_sentences)
    found = []
    for row, sentence in enumerate(summary_sentences):
        scores = _shared(sentence, places, len(source_sentences))
        if similarity is not None:
            scores = _WORDS_SHARE * scores + (1 - _WORDS_SHARE) * np.clip(similarity[row], 0, 1)
        best = np.argsort(-scores, kind="stable")[:top]
        found.append([(int(index), min(1.0, float(scores[index]))) for index in best if scores[index] > 0])
    return found
