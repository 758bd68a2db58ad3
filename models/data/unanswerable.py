"""Questions without an answer, made from questions that have one, for data that holds none.

Those beside a paragraph picked blindly are told by their topic alone, so most of these share words with theirs, as
people's own do (Rajpurkar et al. 2018, "Know What You Don't Know", section 4: names swapped, negation, antonyms).
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
"""A word that stands in more contexts than this says little of a topic."""
_LEAST_CHARS, _MOST_CHARS = 60, 1200


def _without_answer(row: Row, question: str, context: str) -> Row:
    return {"src": row.get("src", ""), "question": question, "context": context, "answers": _NO_ANSWER}


def _removed(row: Row) -> Row | None:
    """The question beside its own paragraph, less every sentence that holds the answer."""
    context, answer = row["context"], row["answers"]["text"][0].lower()
    left = "".join(context[a:b] for a, b in sentences(context) if answer not in context[a:b].lower())
    if len(left) < _LEAST_CHARS or answer in left.lower():
        return None
    return _without_answer(row, row["question"], left)


def _swapped(row: Row, names: list[str], words: WordNeighbours, chooser: random.Random) -> Row | None:
    """The question made to ask what its paragraph does not say."""
    changed = edit_question(row["question"], row["context"], names=names, words=words, chooser=chooser)
    return None if changed is None else _without_answer(row, changed, row["context"])


class _Topics:
    """Contexts by their words."""

    def __init__(self, contexts: list[str]) -> None:
        self._contexts = contexts
        self._holders: dict[str, list[int]] = defaultdict(list)
        for index, context in enumerate(contexts):
            for word in set(_WORD.findall(context.lower())):
                self._holders[word].append(index)

    def beside(self, row: Row, chooser: random.Random) -> Row | None:
        """The question beside the paragraph, one of the three most alike, that shares words with it but no answer."""
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
    """Rows without an answer, at most these shares of the answered `rows`: the answer's sentences removed, another
    paragraph of like topic, a name, number or word of the question swapped."""
    chooser = random.Random(seed)
    answered = [row for row in rows if any(row["answers"]["text"]) and len(row["context"]) <= _MOST_CHARS]
    contexts = sorted({row["context"] for row in answered})
    topics, names = _Topics(contexts), sorted({name for context in contexts for name in names_of(context)})
    made: list[Row | None] = [_removed(row) for row in chooser.sample(answered, int(len(answered) * removed))]
    made += [topics.beside(row, chooser) for row in chooser.sample(answered, int(len(answered) * alike))]
    made += [_swapped(row, names, words, chooser) for row in chooser.sample(answered, int(len(answered) * swapped))]
    return [row for row in made if row is not None]
