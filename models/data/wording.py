"""How a summary is worded: its opening, and whether its names and numbers are its source's."""

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
    """Whether it says first that there is a paper, which its reader knows."""
    return _OPENING.match(summary) is not None


def repeats_words(summary: str) -> bool:
    """Whether some four words follow each other twice."""
    words = summary.lower().split()
    grams = [tuple(words[at : at + _REPEATED_WORDS]) for at in range(len(words) - _REPEATED_WORDS + 1)]
    return len(grams) != len(set(grams))


def is_clean(summary: str) -> bool:
    """Whether it is spaced cleanly, begins with no small letter, holds no LaTeX and ends in a full stop."""
    return summary == " ".join(summary.split()) and not (
        _LATEX.search(summary) or summary[:1].islower() or not summary.endswith(".")
    )


def about_its_subject(summary: str) -> str:
    """ "The paper introduces CARE, a benchmark …" as "CARE is a benchmark …"; what is not of that form as it is."""
    named = _NAMED.fullmatch(summary)
    return f"{named['name']} is {named['what']} {named['rest']}" if named else summary


def without_paper(summary: str) -> str:
    """ "This study compares …" as "Compares …"; what is not of that form as it is."""
    acting = _ACTING.fullmatch(summary)
    return acting["verb"].capitalize() + acting["rest"] if acting else summary


def worth_learning(summary: str, source: str) -> bool:
    """Whether a target, reworded, is worded as ours should be: about its subject, all names the source's own, clean."""
    return is_clean(summary) and not opens_with_paper(summary) and all(name in source for name in names_in(summary))
