"""Word vectors with chosen cosines, for tests of what is made of them."""

from __future__ import annotations

import numpy as np

from models.data.word_neighbours import WordNeighbours

NONE_ALIKE = WordNeighbours({"nothing": 0, "other": 1}, np.eye(2))


def like_words(*groups: dict[str, float]) -> WordNeighbours:
    """Each group's words have these cosines to its first, whose own is 1; words of two groups have none.

    A word's rest goes a way of its own, and each vector's opposite is there too, so that their mean is nothing.
    """
    words = [(number, word, cosine) for number, group in enumerate(groups) for word, cosine in group.items()]
    vectors = np.zeros((2 * len(words), len(groups) + len(words)))
    for place, (number, _, cosine) in enumerate(words):
        vectors[place, number], vectors[place, len(groups) + place] = cosine, (1 - cosine**2) ** 0.5
        vectors[place + len(words)] = -vectors[place]
    return WordNeighbours({word: place for place, (_, word, _) in enumerate(words)}, vectors)
