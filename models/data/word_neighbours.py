"""Words that fit in another word's place but mean something else, found by the cosines of a model's word vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

_LEAST_LETTERS = 4
_CLOSEST, _FARTHEST = 0.48, 0.3
"""Range of cosines. Closer words are too often synonyms ("biggest", "largest": 0.7), farther ones are unrelated.
By MiniLM's vectors, less their mean: "queen" is at 0.63 from "king", "decrease" at 0.60 from "increase"."""
_MOST = 8
_STEM = 4
_INFLECTED = ("ed", "ing", "ly", "est", "s")


def _ending(word: str) -> str:
    return next((ending for ending in _INFLECTED if word.endswith(ending)), "")


class WordNeighbours:
    """The whole words of a vocabulary with their vectors [pieces, width], less the mean vector."""

    def __init__(self, vocabulary: dict[str, int], vectors: Any) -> None:
        centred = vectors - vectors.mean(axis=0)
        centred /= np.linalg.norm(centred, axis=1, keepdims=True) + 1e-9
        plain = [word for word in vocabulary if word.isascii() and word.isalpha() and len(word) >= _LEAST_LETTERS]
        self._words = sorted(plain)
        self._vectors = centred[[vocabulary[word] for word in self._words]]
        self._places = {word: place for place, word in enumerate(self._words)}
        self._found: dict[str, list[str]] = {}

    @classmethod
    def of(cls, model: Any, tokenizer: Any) -> WordNeighbours:
        """From the input embeddings of a transformers model."""
        vectors = model.get_input_embeddings().weight.detach().float().cpu().numpy()
        return cls(tokenizer.get_vocab(), vectors)

    def neighbours(self, word: str) -> list[str]:
        """The nearest words to `word` (in lower case) that are neither forms nor synonyms of it; often none."""
        if word not in self._found:
            self._found[word] = self._like(word)
        return self._found[word]

    def _like(self, word: str) -> list[str]:
        place = self._places.get(word)
        if place is None:
            return []
        cosines = self._vectors @ self._vectors[place]
        order = np.argsort(-cosines, kind="stable")[: 4 * _MOST]
        near = (self._words[index] for index in order if _FARTHEST <= cosines[index] <= _CLOSEST)
        return [other for other in near if other[:_STEM] != word[:_STEM] and _ending(other) == _ending(word)][:_MOST]
