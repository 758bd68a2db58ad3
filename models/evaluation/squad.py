"""SQuAD's exact match and F1 of one answer, with "no answer" as its version 2.0 counts it.

Rajpurkar et al. 2018, "Know What You Don't Know: Unanswerable Questions for SQuAD", and its evaluation script.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import Any

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
    """Lower case, without punctuation, articles and doubled spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def _f1(given: str, wanted: str) -> float:
    given_words, wanted_words = normalized(given).split(), normalized(wanted).split()
    if not given_words or not wanted_words:
        return float(given_words == wanted_words)
    shared = sum((Counter(given_words) & Counter(wanted_words)).values())
    return 2 * shared / (len(given_words) + len(wanted_words))


def answer_f1(given: str, answers: dict[str, Any]) -> float:
    """F1 of the words, 0 to 1, with the nearest of the references; "" is right where there are none."""
    return max(_f1(given, wanted) for wanted in answers["text"] or [""])


def answer_exact(given: str, answers: dict[str, Any]) -> bool:
    """Whether it is one of the references; "" is right where there are none."""
    return any(normalized(given) == normalized(wanted) for wanted in answers["text"] or [""])
