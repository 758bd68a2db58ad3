"""From the scores of tokens to entities, as transformers' TokenClassificationPipeline aggregates them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from service.runtime.session import Array
from service.tasks.parameters import AggregationStrategy


class Units(NamedTuple):
    """What gets one tag, a token or a word; all arrays are [units]."""

    firsts: Array
    """Number of each unit's first token."""
    labels: Array
    scores: Array


class Group(NamedTuple):
    """Neighbouring units that are one entity."""

    name: str
    score: float
    first: int
    """Number of the first unit."""
    stop: int


def softmax(logits: Array) -> Array:
    """Scores [tokens, labels] in float32, in which transformers computes: equal scores must be equal here too."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))


def tagged(scores: Array, begins_word: Array, strategy: AggregationStrategy) -> Units:
    """Every token (none, simple) or every word with its best label.

    `scores` is [tokens, labels], `begins_word` [tokens]; the first token begins a word.
    """
    if strategy in ("none", "simple"):
        return _tagged(np.arange(len(scores)), scores)
    firsts = np.flatnonzero(begins_word)
    if not len(firsts) or strategy == "first":
        return _tagged(firsts, scores[firsts])
    sizes = np.diff(firsts, append=len(scores))
    if strategy == "average":
        averages = np.add.reduceat(scores, firsts, axis=0) / sizes[:, None]
        return _tagged(firsts, averages.astype(scores.dtype))
    best = scores.max(axis=1)
    # The first token of each word that has its highest score.
    highest = np.flatnonzero(best == np.repeat(np.maximum.reduceat(best, firsts), sizes))
    return _tagged(firsts, scores[highest[np.searchsorted(highest, firsts)]])


def _tagged(firsts: Array, scores: Array) -> Units:
    labels = scores.argmax(axis=1)
    return Units(firsts, labels, scores[np.arange(len(labels)), labels])


class EntityLabels:
    """A model's labels: B-PER begins an entity, I-PER goes on with one of PER; a label without either does as I- does.

    An entity that begins with I- is one all the same.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._groups = [name.split("-", 1)[-1] for name in names]
        tags = [name[2:] if name.startswith(("B-", "I-")) else name for name in names]
        self._tags = np.array([tags.index(tag) for tag in tags])
        self._begins = np.array([name.startswith("B-") for name in names])

    def single(self, units: Units, ignored: Collection[str]) -> Iterator[Group]:
        """Each unit by itself, under its label's whole name, but for those whose name is ignored."""
        kept = np.array([name not in ignored for name in self.names])[units.labels]
        for unit in np.flatnonzero(kept).tolist():
            yield Group(self.names[units.labels[unit]], float(units.scores[unit]), unit, unit + 1)

    def groups(self, units: Units, ignored: Collection[str]) -> Iterator[Group]:
        """Neighbours of one entity together, with their average score, but for groups whose name is ignored."""
        begins, tags = self._begins[units.labels], self._tags[units.labels]
        begins[1:] |= tags[1:] != tags[:-1]
        begins[:1] = True
        firsts = np.flatnonzero(begins)
        if not len(firsts):
            return
        stops = np.append(firsts[1:], len(begins))
        scores = np.add.reduceat(units.scores, firsts, dtype=np.float64) / (stops - firsts)
        labels = units.labels[firsts]
        kept = np.flatnonzero(np.array([name not in ignored for name in self._groups])[labels])
        for label, score, first, stop in zip(
            *(values[kept].tolist() for values in (labels, scores, firsts, stops)), strict=True
        ):
            yield Group(self._groups[label], score, first, stop)
