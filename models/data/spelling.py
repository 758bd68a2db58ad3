"""Tokenised text ("it 's great ! !") as people write it ("it's great!!")."""

from __future__ import annotations

import random

from nltk.tokenize.treebank import TreebankWordDetokenizer

from models.data.rows import Row

_DETOKENIZER = TreebankWordDetokenizer()
# Telephones write ’ for ', and word pieces know the two as different tokens.
_CURLY_SHARE = 0.3


def as_people_write(text: str) -> str:
    """Undo the Penn treebank's tokenisation: contractions joined, quotes and punctuation where they belong."""
    written: str = _DETOKENIZER.detokenize(text.split())
    return written.replace("` ", "'")  # the opening single quote, which the library leaves as it is


def respell(rows: list[Row], share: float, seed: int) -> list[Row]:
    """`rows` with about `share` of the texts as people write them, so that a model learns both spellings."""
    chooser = random.Random(seed)
    made = []
    for row in rows:
        if chooser.random() >= share:
            made.append(row)
            continue
        text = as_people_write(row["text"])
        made.append({**row, "text": text.replace("'", "’") if chooser.random() < _CURLY_SHARE else text})
    return made
