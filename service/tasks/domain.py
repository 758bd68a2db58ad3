"""Whether a text is of the kind that a model was trained on, by the tokens that occur in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from service.errors import ArtifactError
from service.text.tokenizer import Tokenizer

_CHARS_PER_TOKEN = 8


class DomainClassifier:
    """A linear model over the distinct tokens of a text, as `python -m models domain` writes it.

    Its weights are integers, so that the decision does not depend on the order in which they are added.
    """

    def __init__(self, path: Path, *, vocabulary: int) -> None:
        """Read domain.json for a tokenizer of `vocabulary` tokens; raises ArtifactError if it does not fit."""
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self.texts = str(content["texts"])
            """What the training data are, in words."""
            self._threshold = float(content["threshold"])
            self._weights = np.full(vocabulary, int(content["other"]), np.int64)
            for token, weight in zip(content["tokens"], content["weights"], strict=True):
                self._weights[token] = weight
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ArtifactError(f"{path}: not a domain classifier of this model ({error!r})") from error

    def accepts(self, ids: Sequence[int]) -> bool:
        """Whether the text with these token ids is like those of the training data. A few microseconds."""
        return self.score(ids) >= self._threshold

    def score(self, ids: Sequence[int]) -> float:
        """The sum of the distinct tokens' weights, divided by the square root of their number; 0.0 for no tokens."""
        distinct = np.unique(np.asarray(ids, np.int64))
        return int(self._weights[distinct].sum()) / sqrt(max(1, len(distinct)))


def domain_ids(tokenizer: Tokenizer, text: str, max_tokens: int) -> Sequence[int]:
    """Token ids for `DomainClassifier`: of the text's beginning, with single spaces for any white space."""
    beginning = text[: _CHARS_PER_TOKEN * max_tokens]  # so that a long text takes no longer
    return tokenizer.encode(" ".join(beginning.split()), max_tokens).ids
