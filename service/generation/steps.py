"""One token for every row of a batch: a decoder's passes, and the caches that they read and write."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from service.generation.caches import Cache
from service.model import Array, Bound, Graph, tensor

_PAST_COLUMNS = 16
"""A past grows by so much: its copying is then rare, and attention looks at few columns that don't count."""
_SOURCE_COLUMNS = 32
"""The same for sources, which come and go."""
_WORTH_SHRINKING = 0.75


class Steps(Protocol):
    """Texts under way, `beams` rows each, those of a text side by side."""

    lengths: list[int]
    """Tokens of each text's source."""

    def run(self, tokens: list[int], places: list[int]) -> Array:
        """One pass: logits [rows, vocabulary] after each row's token, which is its text's number places[row]."""

    def keep(self, order: list[int], parents: list[list[int]]) -> None:
        """Text order[i] is number i from now on, and its beam j goes on from what was its beam parents[i][j].

        Who is not in `order` leaves. A text moves to the place of one that left, or stays: order[i] >= i.
        """

    def absorb(self, other: Steps) -> bool:
        """Take the texts of `other` behind the own ones; False where they cannot share a pass."""


def _up(number: int, multiple: int) -> int:
    return number + -number % multiple


def _row_sources(order: list[int], parents: list[list[int]], beams: int) -> list[int]:
    return [text * beams + parent for text, mine in zip(order, parents, strict=True) for parent in mine]


class StaticSteps:
    """Our form of the decoder, whose rows may stand at different places. Nothing is copied in a step."""

    def __init__(self, graph: Graph, cross: Cache, lengths: list[int], past: Cache, beams: int) -> None:
        self.lengths = lengths
        self._graph = graph
        self._cross = cross
        self._past = past
        self._beams = beams
        self._bound: Bound | None = None
        self._ids = self._places = self._logits = np.zeros(0)

    def run(self, tokens: list[int], places: list[int]) -> Array:
        columns = _up(max(places) + 1, _PAST_COLUMNS)
        if columns > self._past.columns or columns <= self._past.columns * _WORTH_SHRINKING:
            self._past.fit(room=self._past.room, columns=columns)
            self._bound = None
        bound = self._bound or self._bind(len(tokens))
        self._ids[:, 0] = tokens
        self._places[:] = places
        bound.run()
        return self._logits[:, 0]

    def _bind(self, rows: int) -> Bound:
        self._ids, self._places = np.zeros((rows, 1), np.int64), np.zeros(rows, np.int64)
        self._logits = np.empty((rows, 1, self._graph.shapes["logits"][-1]), np.float32)
        past = self._past.views()
        inputs = {
            "input_ids": self._ids,
            "positions": self._places,
            "source_lengths": np.array(self.lengths, np.int64),
            **self._cross.views(),
            **past,
        }
        presents = {name.replace("past_key_values", "present"): array for name, array in past.items()}
        self._bound = self._graph.bind(inputs, {"logits": self._logits, **presents})
        return self._bound

    def keep(self, order: list[int], parents: list[list[int]]) -> None:
        beams = self._beams
        moved = [place for place, text in enumerate(order) if text != place]
        if moved:
            longest = max(self.lengths[order[place]] for place in moved)
            self._cross.move(moved, [order[place] for place in moved], columns=_up(longest, _SOURCE_COLUMNS))
        sources = _row_sources(order, parents, beams)
        changed = [row for row, source in enumerate(sources) if source != row]
        if changed:
            self._past.move(changed, [sources[row] for row in changed], columns=self._past.columns)
        if len(order) < len(self.lengths):
            self._cross.rows, self._past.rows = len(order), len(order) * beams
            self._bound = None
        self.lengths = [self.lengths[text] for text in order]

    def absorb(self, other: Steps) -> bool:
        if not isinstance(other, StaticSteps) or other._beams != self._beams:
            return False
        lengths = self.lengths + other.lengths
        columns = _up(max(lengths), _SOURCE_COLUMNS)
        if self._cross.columns * _WORTH_SHRINKING < columns <= self._cross.columns:
            columns = self._cross.columns
        _make_room(self._cross, len(lengths), columns)
        self._cross.append(other._cross, columns=min(columns, other._cross.columns))
        _make_room(self._past, len(lengths) * self._beams, max(self._past.columns, other._past.columns))
        self._past.append(other._past, columns=other._past.columns)
        self.lengths = lengths
        self._bound = None
        return True


def _make_room(cache: Cache, rows: int, columns: int) -> None:
    room = cache.room if rows <= cache.room else max(rows, 4 * cache.room)
    cache.fit(room=room, columns=columns)


class GrowingSteps:
    """A decoder as Optimum writes it: its past grows by a copy at each step, and all rows stand at the same place."""

    def __init__(self, graph: Graph, cross: Cache, lengths: list[int], past: Cache, beams: int) -> None:
        self.lengths = lengths
        self._graph = graph
        self._beams = beams
        self._past: dict[str, Any] = dict(past.arrays)
        mask = np.arange(cross.columns) < np.array(lengths)[:, None]
        arrays = {"encoder_attention_mask": mask.astype(np.int64)}
        arrays |= cross.views()
        self._source = {name: array.repeat(beams, axis=0) for name, array in arrays.items()}
        self._presents = {name.replace("past_key_values", "present"): name for name in self._past}

    def run(self, tokens: list[int], places: list[int]) -> Array:
        del places  # counted by the past's length
        feeds = {"input_ids": np.array(tokens, np.int64)[:, None], **self._source, **self._past}
        if "use_cache_branch" in self._graph.inputs:  # the merged form, which has two decoders in it
            hidden = self._graph.shapes["encoder_hidden_states"][-1]
            width = hidden if isinstance(hidden, int) else self._hidden()
            shape = (*self._source["encoder_attention_mask"].shape, width)
            feeds |= {"encoder_hidden_states": np.zeros(shape, np.float32), "use_cache_branch": np.array([True])}
        outputs = self._graph.run(feeds, ["logits", *self._presents])
        self._past = {name: outputs[present] for present, name in self._presents.items()}
        return np.asarray(outputs["logits"].numpy()[:, -1], np.float32)

    def _hidden(self) -> int:
        past = next(array for name, array in self._source.items() if name.startswith("past_key_values"))
        return int(past.shape[1] * past.shape[3])

    def keep(self, order: list[int], parents: list[list[int]]) -> None:
        sources = _row_sources(order, parents, self._beams)
        if sources != list(range(len(self.lengths) * self._beams)):
            self._past = {name: tensor(value.numpy()[sources]) for name, value in self._past.items()}
        if len(order) < len(self.lengths):
            self._source = {name: array[sources] for name, array in self._source.items()}
        self.lengths = [self.lengths[text] for text in order]

    def absorb(self, other: Steps) -> bool:
        del other
        return False
