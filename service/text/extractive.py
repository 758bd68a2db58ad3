"""Extractive summaries: which sentences of a text say what the others are about."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from service.text.sentences import ends_with_stop

Array = npt.NDArray[np.floating]

FEATURES = 8
"""Numbers that `features` gives for a sentence."""
_NEAR = 3.0  # sentences over which "near the start" and "near the end" fade
# Scores are log-odds, about 1 apart. Three sentences of an abstract have ROUGE-1 31.9 without this, 32.2 with 3 to 5.
_OVERLAP_WEIGHT = 3.0
_SAME = 0.95  # cosine from which two sentences count as the same
_FRAGMENT_PENALTY = 10.0  # more than scores differ and overlap costs: fragments are chosen last
_SHORTEST_CHARS = 15
_LABEL = re.compile(r"[^\W\d][\w .-]{0,30}:\s")
_PLAIN_WORD = re.compile(r"\b[a-z]{3,}\b")


def features(lengths_in_tokens: list[int]) -> Array:
    """Numbers for each sentence's place and length, [sentences, FEATURES] float32: sentences.onnx's second input."""
    count = len(lengths_in_tokens)
    lengths = np.maximum(np.array(lengths_in_tokens, np.float32), 1)
    places = np.arange(count, dtype=np.float32)
    from_end = places[::-1]
    columns = [
        places / max(1, count - 1),
        np.exp(-places / _NEAR),
        np.exp(-from_end / _NEAR),
        places == 0,
        from_end == 0,
        np.log(lengths) / 4,
        np.log(lengths / lengths.mean()) if count else lengths,
        np.full(count, np.log1p(count) / 4),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def pooled(states: Array, lengths_in_tokens: list[int]) -> Array:
    """The mean of each sentence's token states, [sentences, hidden] float32: the first input of sentences.onnx.

    `states` are [tokens, hidden], the sentences' tokens one after another, without the row's special tokens.
    """
    lengths = np.array(lengths_in_tokens)
    sums = np.zeros((len(lengths), states.shape[1]), np.float32)
    held = np.flatnonzero(lengths)
    if held.size:
        starts = np.cumsum(lengths) - lengths
        sums[held] = np.add.reduceat(states, starts[held], axis=0)
    return np.asarray(sums / np.maximum(lengths, 1)[:, None], np.float32)


def fragment_penalties(sentences: list[str]) -> Array:
    """What to subtract from each sentence's score, [sentences] float32; 0 for all but fragments.

    Fragments summarize nothing: headings, bylines and greetings, which end without a stop; a word or two; and a label
    with only names or numbers behind it ("Attendees: Lee, Amara.").
    """
    return np.array([_FRAGMENT_PENALTY * _is_fragment(sentence) for sentence in sentences], np.float32)


def _is_fragment(sentence: str) -> bool:
    if len(sentence) < _SHORTEST_CHARS or not ends_with_stop(sentence):
        return True
    label = _LABEL.match(sentence)
    return label is not None and not _PLAIN_WORD.search(sentence, label.end())


def choose(scores: Array, units: Array, count: int) -> list[int]:
    """At most `count` sentences that score high and overlap little, in the order of the text.

    Maximal marginal relevance (Carbonell and Goldstein, SIGIR '98) over `scores` [sentences] and the unit vectors
    `units` [sentences, width]. Returns their indices. Of sentences that are nearly the same only one is chosen, so
    there may be fewer than `count`; of equal ones the first is.
    """
    overlap = np.zeros(len(scores), np.float32)
    available = np.ones(len(scores), bool)
    chosen: list[int] = []
    while len(chosen) < count and available.any():
        value = np.where(available, scores - _OVERLAP_WEIGHT * overlap, -np.inf)
        best = int(value.argmax())
        chosen.append(best)
        similarity = units @ units[best]
        overlap = np.maximum(overlap, similarity)
        available &= similarity < _SAME
        available[best] = False
    return sorted(chosen)
