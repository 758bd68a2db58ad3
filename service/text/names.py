"""Which words are names, without a model: by their digits and capitals."""

from __future__ import annotations

import re

_NAME = re.compile(r"\d|[A-Z]\w*[A-Z]")


def is_name(word: str) -> bool:
    """Whether a word is a number or an acronym: it has a digit, or two capitals with only letters between them."""
    return _NAME.search(word) is not None


def is_salient(word: str, *, begins_sentence: bool) -> bool:
    """Whether a word is a number or any name: it has a digit or a capital.

    A capital at the beginning of a sentence alone makes no name.
    """
    return any(char.isdigit() for char in word) or any(
        char.isupper() for char in (word[1:] if begins_sentence else word)
    )
