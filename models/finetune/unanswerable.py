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

from models.finetune.passages import sentences
from models.rows import Row

_NOBODY: dict[str, list[Any]] = {"text": [], "answer_start": []}
_NUMBER = re.compile(r"\b\d[\d,.]*\b")
_NAME = re.compile(r"\b[A-Z][\w'-]+(?: (?:of |the |de )?[A-Z][\w'-]+)*")
_WORD = re.compile(r"\w{4,}")
_MOST_CONTEXTS = 400
"""A word that stands in more contexts than this says little of a topic."""
_LEAST_CHARS, _MOST_CHARS = 60, 1200
_OPPOSITES = (
    "first last|largest smallest|biggest smallest|highest lowest|before after|most least|oldest youngest|north south"
    "|northern southern|east west|eastern western|early late|earlier later|increase decrease|increased decreased"
    "|more fewer|won lost|win lose|above below|maximum minimum|begin end|began ended|started ended|start stop"
    "|longest shortest|best worst|male female|men women|son daughter|father mother|brother sister|husband wife"
    "|majority minority|success failure|allowed forbidden|include exclude|included excluded|inside outside"
    "|support oppose|supported opposed|enter leave|entered left|buy sell|bought sold|upper lower|positive negative"
    "|common rare|public private|major minor|old new|high low|large small|long short|left right|born killed"
)
_OPPOSITE = {word: other for pair in _OPPOSITES.split("|") for word, other in (pair.split(), pair.split()[::-1])}
_VERB = re.compile(r"\b(is|are|was|were|did|does|do|has|have|can|could|would|should)\b", re.IGNORECASE)


def _without_answer(row: Row, question: str, context: str) -> Row:
    return {"src": row.get("src", ""), "question": question, "context": context, "answers": _NOBODY}


def _removed(row: Row) -> Row | None:
    """The question beside its own paragraph, less every sentence that holds the answer."""
    context, answer = row["context"], row["answers"]["text"][0].lower()
    left = "".join(context[a:b] for a, b in sentences(context) if answer not in context[a:b].lower())
    if len(left) < _LEAST_CHARS or answer in left.lower():
        return None
    return _without_answer(row, row["question"], left)


def _named_otherwise(question: str, context: str, chooser: random.Random) -> str | None:
    """The question with one of its numbers or names put for another one of the context."""
    for pattern in chooser.sample((_NUMBER, _NAME), 2):
        inside = sorted({found.group() for found in pattern.finditer(context) if found.start() or pattern is _NUMBER})
        asked = question.lower()
        known = [name for name in inside if re.search(rf"\b{re.escape(name.lower())}\b", asked)]
        others = [name for name in inside if name.lower() not in asked]
        if known and others:
            old, new = chooser.choice(known), chooser.choice(others)
            place = re.search(rf"\b{re.escape(old.lower())}\b", asked)
            if place:
                new = new.lower() if question.islower() else new
                return question[: place.start()] + new + question[place.end() :]
    return None


def _said_otherwise(question: str, chooser: random.Random) -> str | None:
    """The question with a word put for its opposite, or with a "not"."""
    words = [found for found in re.finditer(r"\w+", question) if found.group().lower() in _OPPOSITE]
    if words and chooser.random() < 0.7:
        word = chooser.choice(words)
        return question[: word.start()] + _OPPOSITE[word.group().lower()] + question[word.end() :]
    verb = _VERB.search(question)
    if verb is None:
        return None
    return question[: verb.end()] + chooser.choice((" not", "n't", " never")) + question[verb.end() :]


def _swapped(row: Row, chooser: random.Random) -> Row | None:
    """The question made to ask what its paragraph does not say."""
    question, context = row["question"], row["context"]
    changed = _named_otherwise(question, context, chooser) if chooser.random() < 0.8 else None
    changed = changed or _said_otherwise(question, chooser)
    return None if changed is None or changed == question else _without_answer(row, changed, context)


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


def hard_unanswerable_rows(rows: list[Row], *, removed: float, alike: float, swapped: float, seed: int) -> list[Row]:
    """Rows without an answer, at most these shares of the answered `rows`: the answer's sentences removed, another
    paragraph of like topic, a name, number or word of the question swapped."""
    chooser = random.Random(seed)
    answered = [row for row in rows if any(row["answers"]["text"]) and len(row["context"]) <= _MOST_CHARS]
    topics = _Topics(sorted({row["context"] for row in answered}))
    made: list[Row | None] = [_removed(row) for row in chooser.sample(answered, int(len(answered) * removed))]
    made += [topics.beside(row, chooser) for row in chooser.sample(answered, int(len(answered) * alike))]
    made += [_swapped(row, chooser) for row in chooser.sample(answered, int(len(answered) * swapped))]
    return [row for row in made if row is not None]
