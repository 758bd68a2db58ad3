"""The wording of summaries: openings, repetitions, names and numbers that the source does not have."""

from __future__ import annotations

import re

_OPENING = re.compile(
    r"(?:The|This|Our) (?:paper|study|work|article|research|survey|authors?)\b|In this (?:paper|work)\b"
)
_LATEX = re.compile(r"[$\\{}^]")
_NAME = re.compile(r"(?<![\w-])(?:\w*\d[\w.,-]*\w|\d|\w*[A-Z]\w*[A-Z]\w*(?:-\w+)*)(?!\w)")
"""A word with a digit or with two capitals: numbers and acronyms, `GPT-4` and `IoT` among them."""
_NAMED = re.compile(
    r"(?:The|This) (?:paper|study|work|article) (?:introduces|presents|proposes|develops|describes) "
    r"(?P<name>[A-Z][\w.+/-]*[A-Z0-9][\w.+/-]*(?: \([^()]{2,60}\))?), (?P<what>an?|the) (?P<rest>.+)"
)
_ACTING = re.compile(
    r"(?:The|This) (?:paper|study|work|article|research|survey) (?P<verb>(?!is|was|has|does)[a-z]+s)(?P<rest> .+)"
)
_REPEATED_WORDS = 4


def names_in(text: str) -> set[str]:
    """The numbers and acronyms of a text."""
    return set(_NAME.findall(text))


def opens_with_paper(summary: str) -> bool:
    """Whether the summary begins by mentioning the paper ("This paper …")."""
    return _OPENING.match(summary) is not None


def repeats_words(summary: str) -> bool:
    """Whether a sequence of four words occurs twice."""
    words = summary.lower().split()
    grams = [tuple(words[at : at + _REPEATED_WORDS]) for at in range(len(words) - _REPEATED_WORDS + 1)]
    return len(grams) != len(set(grams))


def is_clean(summary: str) -> bool:
    """Whether it has single spaces, no lower-case start, no LaTeX, and a full stop at the end."""
    return summary == " ".join(summary.split()) and not (
        _LATEX.search(summary) or summary[:1].islower() or not summary.endswith(".")
    )


def about_its_subject(summary: str) -> str:
    """ "The paper introduces CARE, a benchmark …" as "CARE is a benchmark …"; other summaries stay as they are."""
    named = _NAMED.fullmatch(summary)
    return f"{named['name']} is {named['what']} {named['rest']}" if named else summary


def without_paper(summary: str) -> str:
    """ "This study compares …" as "Compares …"; other summaries stay as they are."""
    acting = _ACTING.fullmatch(summary)
    return acting["verb"].capitalize() + acting["rest"] if acting else summary


def worth_learning(summary: str, source: str) -> bool:
    """Whether a reworded target is fit for training: clean, no mention of the paper, all names from the source."""
    return is_clean(summary) and not opens_with_paper(summary) and all(name in source for name in names_in(summary))
