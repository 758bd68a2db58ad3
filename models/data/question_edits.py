"""Edits that make a question ask for what its paragraph does not say.

The kinds of edit are those that people make (Rajpurkar et al. 2018, "Know What You Don't Know", section 4): names and
numbers swapped, antonyms, negation, words that the text does not have.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from models.data.passages import sentences
from models.data.word_neighbours import WordNeighbours

_NUMBER = re.compile(r"\b\d[\d,.]*\b")
_NAME = re.compile(r"\b[A-Z][\w'-]+(?: (?:of |the |de )?[A-Z][\w'-]+)*")
_OPPOSITES = (
    "first last|largest smallest|biggest smallest|highest lowest|before after|most least|oldest youngest|north south"
    "|northern southern|east west|eastern western|early late|earlier later|increase decrease|increased decreased"
    "|more fewer|won lost|win lose|above below|maximum minimum|begin end|began ended|started ended|start stop"
    "|longest shortest|best worst|male female|men women|son daughter|father mother|brother sister|husband wife"
    "|majority minority|success failure|allowed forbidden|include exclude|included excluded|inside outside"
    "|support oppose|supported opposed|enter leave|entered left|buy sell|bought sold|upper lower|positive negative"
    "|common rare|public private|major minor|old new|high low|large small|long short|left right|born killed"
    "|allow prohibit|allows prohibits|permitted banned|king queen|modern ancient|attack defend|attacked defended"
    "|absorb release|absorbed released|produce consume|produced consumed|founded dissolved|rise fall|rose fell"
    "|accept reject|accepted rejected|agree disagree|agreed disagreed|strong weak|stronger weaker|hot cold"
    "|warm cool|rich poor|richest poorest|internal external|local national|rural urban|victory defeat"
    "|always never|often rarely|gain lose|gained lost|arrive depart|arrived departed|teacher student|import export"
    "|imported exported|open closed|opened closed|up down|over under|fastest slowest|cause prevent|caused prevented"
)
_OPPOSITE = {word: other for pair in _OPPOSITES.split("|") for word, other in (pair.split(), pair.split()[::-1])}
_VERB = re.compile(r"\b(is|are|was|were|did|does|do|has|have|can|could|would|should)\b", re.IGNORECASE)
_WORD = re.compile(r"\b[a-z]{4,}\b")
_ASKING = re.compile(
    "what|which|when|where|whom|whose|many|much|does|were|have|been|with|from|that|this|there|their|they|into|about"
    "|also|than|name|called|known|following|used|other|some|such|being|would|could|should"
)
_LARGEST_CHANGE = 30
"""A number is changed by at most this much."""
_OUTSIDE_SHARE = 0.4
"""Share of the replacements that are taken from outside the paragraph."""


def _replaced(question: str, place: re.Match[str], new: str) -> str:
    return question[: place.start()] + (new.lower() if question.islower() else new) + question[place.end() :]


def _nearby_number(number: str, chooser: random.Random) -> str:
    """A number near `number`; what is not all digits, such as "1,200", stays as it is."""
    if not number.isdigit():
        return number
    return str(
        max(1, int(number) + chooser.choice((-1, 1)) * chooser.randint(1, min(_LARGEST_CHANGE, int(number) + 1)))
    )


def names_of(text: str) -> list[str]:
    """The names in `text`, sorted; a single capitalized word at the start of a sentence is not taken for one."""
    starts = {start for start, _ in sentences(text)}
    found = (place.group().removeprefix("The ") for place in _NAME.finditer(text) if _is_name(place, starts))
    return sorted(set(found))


def _is_name(place: re.Match[str], starts: set[int]) -> bool:
    return place.start() not in starts or " " in place.group()


def swap_name(question: str, context: str, names: Sequence[str], chooser: random.Random) -> str | None:
    """Replace a name or number that the question shares with the context; None if there is none, or no replacement.

    The replacement is from the context, from `names`, or a number near the old one.
    """
    question_lower, context_lower = question.lower(), context.lower()
    for number in chooser.sample((True, False), 2):
        inside = sorted(set(_NUMBER.findall(context))) if number else names_of(context)
        places = [(name, re.search(rf"\b{re.escape(name.lower())}\b", question_lower)) for name in inside]
        known = [(name, place) for name, place in places if place]
        if not known:
            continue
        old, place = chooser.choice(known)
        others = [name for name in inside if name.lower() not in question_lower]
        if not others or chooser.random() < _OUTSIDE_SHARE:
            outside = _nearby_number(old, chooser) if number else chooser.choice(names or [old])
            others = [] if outside.lower() in context_lower else [outside]
        if others:
            return _replaced(question, place, chooser.choice(others))
    return None


def negate(question: str, chooser: random.Random) -> str | None:
    """Replace a word by its opposite, or add a negation; None if the question has no word for either."""
    words = [found for found in re.finditer(r"\w+", question) if found.group().lower() in _OPPOSITE]
    if words and chooser.random() < 0.8:
        word = chooser.choice(words)
        return _replaced(question, word, _OPPOSITE[word.group().lower()])
    verb = _VERB.search(question)
    if verb is None:
        return None
    return question[: verb.end()] + chooser.choice((" not", "n't", " never")) + question[verb.end() :]


def replace_word(question: str, context: str, words: WordNeighbours, chooser: random.Random) -> str | None:
    """Replace a word, preferably one of the context, by a neighbour that the context does not hold, or None."""
    context_lower = context.lower()
    words_in = (found for found in _WORD.finditer(question) if not _ASKING.fullmatch(found.group()))
    places = [found for found in words_in if words.neighbours(found.group())]
    chooser.shuffle(places)
    for place in sorted(places, key=lambda found: found.group() not in context_lower):
        absent = [word for word in words.neighbours(place.group()) if word not in context_lower]
        if absent:
            return _replaced(question, place, chooser.choice(absent))
    return None


def edit_question(
    question: str, context: str, *, names: Sequence[str], words: WordNeighbours, chooser: random.Random
) -> str | None:
    """The question after one randomly chosen edit; None where no edit applies."""
    way = chooser.random()
    changed = None
    if way < 0.4:
        changed = swap_name(question, context, names, chooser)
    elif way < 0.6:
        changed = negate(question, chooser)
    changed = changed or replace_word(question, context, words, chooser) or negate(question, chooser)
    return None if changed == question else changed
