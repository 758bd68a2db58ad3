"""Unanswerable questions, made from answerable ones for data that has none.

A question beside a random paragraph is recognized by its topic alone. Most of these therefore share words with their
paragraph, as those that people write do (Rajpurkar et al. 2018, "Know What You Don't Know", section 4).
"""

from __future__ import annotations

import math
import random
import re
from collections import defaultdict
from typing import Any

from models.data.passages import sentences
from models.data.question_edits import edit_question, names_of
from models.data.rows import Row
from models.data.word_neighbours import WordNeighbours

_NO_ANSWER: dict[str, list[Any]] = {"text": [], "answer_start": []}
_WORD = re.compile(r"\w{4,}")
_MOST_CONTEXTS = 400
"""Words in more contexts than this are ignored: they say little about a topic."""
_LEAST_CHARS, _MOST_CHARS = 60, 1200


def _without_answer(row: Row, question: str, context: str) -> Row:
    return {"src": row.get("src", ""), "question": question, "context": context, "answers": _NO_ANSWER}


def _removed(row: Row) -> Row | None:
    """The question with its own paragraph, from which every sentence with the answer is removed."""
    context, answer = row["context"], row["answers"]["text"][0].lower()
    left = "".join(context[a:b] for a, b in sentences(context) if answer not in context[a:b].lower())
    if len(left) < _LEAST_CHARS or answer in left.lower():
        return None
    return _without_answer(row, row["question"], left)


def _swapped(row: Row, names: list[str], words: WordNeighbours, chooser: random.Random) -> Row | None:
    """The question edited to ask for what its paragraph does not say."""
    changed = edit_question(row["question"], row["context"], names=names, words=words, chooser=chooser)
    return None if changed is None else _without_answer(row, changed, row["context"])


class _ContextIndex:
    """An inverted index of contexts by their words."""

    def __init__(self, contexts: list[str]) -> None:
        self._contexts = contexts
        self._holders: dict[str, list[int]] = defaultdict(list)
        for index, context in enumerate(contexts):
            for word in set(_WORD.findall(context.lower())):
                self._holders[word].append(index)

    def similar(self, row: Row, chooser: random.Random) -> Row | None:
        """The question with one of the three most similar other paragraphs that do not hold its answer, or None."""
        weights: dict[int, float] = defaultdict(float)
        for word in sorted(set(_WORD.findall(row["question"].lower()))):
            holders = self._holders.get(word, [])
            if len(holders) <= _MOST_CONTEXTS:
                for index in holders:
                    weights[index] += math.log(len(self._contexts) / len(holders))
        answer = row["answers"]["text"][0].lower()
        alike = [
            self._contexts[index]
            for index, _ in sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:8]
            if self._contexts[index] != row["context"] and answer not in self._contexts[index].lower()
        ]
        return _without_answer(row, row["question"], chooser.choice(alike[:3])) if alike else None


def hard_unanswerable_rows(
    rows: list[Row], words: WordNeighbours, *, removed: float, alike: float, swapped: float, seed: int
) -> list[Row]:
    """Unanswerable rows made from shares of the answerable `rows`, in three ways; fewer where a way does not apply.

    `removed`: the sentences with the answer are taken out. `alike`: the paragraph is another one on a similar topic.
    `swapped`: a name, number or word of the question is replaced.
    """
    chooser = random.Random(seed)
    answered = [row for row in rows if any(row["answers"]["text"]) and len(row["context"]) <= _MOST_CHARS]
    contexts = sorted({row["context"] for row in answered})
    contexts_by_word, names = (
        _ContextIndex(contexts),
        sorted({name for context in contexts for name in names_of(context)}),
    )
    made: list[Row | None] = [_removed(row) for row in chooser.sample(answered, int(len(answered) * removed))]
    made += [contexts_by_word.similar(row, chooser) for row in chooser.sample(answered, int(len(answered) * alike))]
    made += [_swapped(row, names, words, chooser) for row in chooser.sample(answered, int(len(answered) * swapped))]
    return [row for row in made if row is not None]
