"""Decoder steps: passes that give the logits of one token for every row, and the caches that they read and write."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from service.runtime.session import Array, BoundSession, Session, tensor
from service.seq2seq.kv_cache import KVCache

# Positions by which a past grows: its copying is then rare, and attention reads few positions that are masked.
_PAST_MULTIPLE = 16
# The same for cross-attention caches, which come and go with their texts.
_SOURCE_MULTIPLE = 32
# A cache is reallocated when it needs only this share of its length; a smaller gain is not worth the copy.
_SHRINK_BELOW = 0.75


class Steps(Protocol):
    """The decoder's state for texts that are written together: `beams` rows for each, those of a text side by side."""

    source_lengths: list[int]
    """Tokens of each text's source."""

    def run(self, tokens: list[int], positions: list[int]) -> Array:
        """One pass over a token of each row, which stands at the row's position: logits [rows, vocabulary].

        The logits may be overwritten by the next pass.
        """

    def keep(self, order: list[int], parents: list[list[int]]) -> None:
        """Make text order[i] text i, whose beam j continues its former beam parents[i][j].

        Texts that are not in `order` leave. A text moves to the place of one that left, or stays: order[i] >= i.
        """

    def merge(self, other: Steps) -> bool:
        """Append the texts of `other`; returns False if they cannot share a pass."""


def _round_up(number: int, multiple: int) -> int:
    return number + -number % multiple


def _parent_rows(order: list[int], parents: list[list[int]], beams: int) -> list[int]:
    return [text * beams + parent for text, of_text in zip(order, parents, strict=True) for parent in of_text]


class StaticSteps:
    """Steps of our form of the decoder: rows may be at different positions, and caches are written in place."""

    def __init__(self, graph: Session, cross: KVCache, source_lengths: list[int], past: KVCache, beams: int) -> None:
        self.source_lengths = source_lengths
        self._graph = graph
        self._cross = cross
        self._past = past
        self._beams = beams
        self._bound: BoundSession | None = None
        self._ids = self._positions = self._logits = np.zeros(0)

    def run(self, tokens: list[int], positions: list[int]) -> Array:
        length = _round_up(max(positions) + 1, _PAST_MULTIPLE)
        if length > self._past.length or length <= self._past.length * _SHRINK_BELOW:
            self._past.resize(capacity=self._past.capacity, length=length)
            self._bound = None
        bound = self._bound or self._bind(len(tokens))
        self._ids[:, 0] = tokens
        self._positions[:] = positions
        bound.run()
        return self._logits[:, 0]

    def _bind(self, rows: int) -> BoundSession:
        self._ids, self._positions = np.zeros((rows, 1), np.int64), np.zeros(rows, np.int64)
        self._logits = np.empty((rows, 1, self._graph.shapes["logits"][-1]), np.float32)
        past = self._past.views()
        inputs = {
            "input_ids": self._ids,
            "positions": self._positions,
            "source_lengths": np.array(self.source_lengths, np.int64),
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
            longest = max(self.source_lengths[order[place]] for place in moved)
            self._cross.move(moved, [order[place] for place in moved], length=_round_up(longest, _SOURCE_MULTIPLE))
        origins = _parent_rows(order, parents, beams)
        changed = [row for row, origin in enumerate(origins) if origin != row]
        if changed:
            self._past.move(changed, [origins[row] for row in changed], length=self._past.length)
        if len(order) < len(self.source_lengths):
            self._cross.rows, self._past.rows = len(order), len(order) * beams
            self._bound = None
        self.source_lengths = [self.source_lengths[text] for text in order]

    def merge(self, other: Steps) -> bool:
        if not isinstance(other, StaticSteps) or other._beams != self._beams:
            return False
        source_lengths = self.source_lengths + other.source_lengths
        length = _round_up(max(source_lengths), _SOURCE_MULTIPLE)
        if self._cross.length * _SHRINK_BELOW < length <= self._cross.length:
            length = self._cross.length
        _allocate(self._cross, len(source_lengths), length)
        self._cross.append(other._cross, length=min(length, other._cross.length))
        _allocate(self._past, len(source_lengths) * self._beams, max(self._past.length, other._past.length))
        self._past.append(other._past, length=other._past.length)
        self.source_lengths = source_lengths
        self._bound = None
        return True


def _allocate(cache: KVCache, rows: int, length: int) -> None:
    """Resize for `rows` rows of `length` positions; capacity grows fourfold, so that joining texts rarely copy."""
    capacity = cache.capacity if rows <= cache.capacity else max(rows, 4 * cache.capacity)
    cache.resize(capacity=capacity, length=length)


class GrowingSteps:
    """Steps of a decoder as Optimum exports it: each step copies the past, and all rows are at the same position."""

    def __init__(self, graph: Session, cross: KVCache, source_lengths: list[int], past: KVCache, beams: int) -> None:
        self.source_lengths = source_lengths
        self._graph = graph
        self._beams = beams
        # Arrays before the first pass, then onnxruntime's tensors, for which it has no types.
        self._past: dict[str, Any] = dict(past.arrays)
        mask = np.arange(cross.length) < np.array(source_lengths)[:, None]
        arrays = {"encoder_attention_mask": mask.astype(np.int64)}
        arrays |= cross.views()
        self._source_inputs = {name: array.repeat(beams, axis=0) for name, array in arrays.items()}
        self._presents = {name.replace("past_key_values", "present"): name for name in self._past}

    def run(self, tokens: list[int], positions: list[int]) -> Array:
        del positions  # the graph takes them from the past's length
        ids = np.array(tokens, np.int64)[:, None]
        feeds = {"input_ids": ids, **self._source_inputs, **self._past}
        if "use_cache_branch" in self._graph.inputs:  # the merged form, which holds the first step's decoder too
            hidden = self._graph.shapes["encoder_hidden_states"][-1]
            width = hidden if isinstance(hidden, int) else self._hidden_width()
            shape = (*self._source_inputs["encoder_attention_mask"].shape, width)
            feeds |= {"encoder_hidden_states": np.zeros(shape, np.float32), "use_cache_branch": np.array([True])}
        outputs = self._graph.run(feeds, ["logits", *self._presents])
        self._past = {name: outputs[present] for present, name in self._presents.items()}
        return np.asarray(outputs["logits"].numpy()[:, -1], np.float32)

    def _hidden_width(self) -> int:
        past = next(array for name, array in self._source_inputs.items() if name.startswith("past_key_values"))
        return int(past.shape[1] * past.shape[3])

    def keep(self, order: list[int], parents: list[list[int]]) -> None:
        origins = _parent_rows(order, parents, self._beams)
        if origins != list(range(len(self.source_lengths) * self._beams)):
            self._past = {name: tensor(value.numpy()[origins]) for name, value in self._past.items()}
        if len(order) < len(self.source_lengths):
            self._source_inputs = {name: array[origins] for name, array in self._source_inputs.items()}
        self.source_lengths = [self.source_lengths[text] for text in order]

    def merge(self, other: Steps) -> bool:
        del other  # its rows are at other positions
        return False
