"""Which sentences of a text support a sentence of its summary."""

from __future__ import annotations

import re
from collections import defaultdict
from math import log

import numpy as np
import numpy.typing as npt

from service.text.names import is_salient

# Shared words tell sources apart better than the vectors' cosine, and both together best: measured in docs/training.md.
_WORD_WEIGHT = 0.75
_SALIENT_WEIGHT = 2.0  # of a number or a name; other words have 1
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
    """A crude stem, the same for "propose", "proposed" and "proposes". A wrong stem only ever adds a match."""
    word = word.lower().replace("’", "'").removesuffix("'s")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _STEM_CHARS:
            word = word.removesuffix(ending)
            break
    return word.removesuffix("e")


def _stem_weights(sentence: str) -> dict[str, float]:
    """The weight of each stem of a sentence's words, stop words left out."""
    found: dict[str, float] = {}
    for match in _WORD.finditer(sentence):
        word = match[0]
        if word.lower() not in _STOP_WORDS:
            weight = _SALIENT_WEIGHT if is_salient(word, begins_sentence=match.start() == 0) else 1.0
            stem = _stem(word)
            found[stem] = max(weight, found.get(stem, weight))
    return found


def _index(sentences: list[str]) -> dict[str, list[int]]:
    """For each stem, the numbers of the sentences that hold it."""
    index: defaultdict[str, list[int]] = defaultdict(list)
    for number, sentence in enumerate(sentences):
        for stem in _stem_weights(sentence):
            index[stem].append(number)
    return index


def _word_overlap(sentence: str, index: dict[str, list[int]], count: int) -> npt.NDArray[np.float64]:
    """The share of a sentence's words that each of the `count` indexed sentences holds, [count], values in [0, 1].

    Rare words weigh more.
    """
    shared = np.zeros(count)
    total = 0.0
    for stem, weight in _stem_weights(sentence).items():
        holders = index.get(stem, [])
        # A word that the text does not hold at all weighs most: nothing can support it.
        weight *= log(1 + count / max(len(holders), 0.5))
        total += weight
        shared[holders] += weight
    return shared / total if total else shared


def attribute(
    summary_sentences: list[str], source_sentences: list[str], similarity: npt.NDArray[np.floating] | None, top: int
) -> list[list[tuple[int, float]]]:
    """For each summary sentence, the `top` source sentences that support it best: (index, score), best first.

    `similarity` is the cosine of the sentences' vectors, [summary, source]; None where there are no vectors. Scores lie
    in [0, 1]: 1 is the same sentence, and sentences that score 0 are left out. A reader should doubt a summary sentence
    whose sources all score below 0.2: the summaries of 99 % of abstracts find a source above that in their own
    abstract, and 7 % find one in the abstract of the most similar other paper.
    """
    index = _index(source_sentences)
    found = []
    for row, sentence in enumerate(summary_sentences):
        scores = _word_overlap(sentence, index, len(source_sentences))
        if similarity is not None:
            scores = _WORD_WEIGHT * scores + (1 - _WORD_WEIGHT) * np.clip(similarity[row], 0, 1)
        best = np.argsort(-scores, kind="stable")[:top]
        found.append([(int(number), min(1.0, float(scores[number]))) for number in best if scores[number] > 0])
    return found
