"""Key and value caches of texts that are written together. Rows come and go without the rest being copied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.runtime.session import Array


class KVCache:
    """The caches of all layers: arrays by input name, all of the same shape [capacity, heads, length, width].

    The first `rows` rows are in use. More rows or positions are allocated by copying, in steps that make it rare.
    Positions that were never written are zero, because onnxruntime multiplies also what it then leaves out.
    """

    def __init__(self, arrays: dict[str, Array], rows: int) -> None:
        """Takes the arrays over without a copy; their first `rows` rows are in use."""
        self.arrays = arrays
        self.rows = rows

    @classmethod
    def empty(cls, names: Sequence[str], *, rows: int, heads: int, width: int) -> KVCache:
        """A cache with `rows` rows in use and no positions."""
        return cls({name: np.zeros((rows, heads, 0, width), np.float32) for name in names}, rows)

    @property
    def length(self) -> int:
        """Allocated columns (sequence positions) per row."""
        return int(next(iter(self.arrays.values())).shape[2])

    @property
    def capacity(self) -> int:
        """Allocated rows."""
        return len(next(iter(self.arrays.values())))

    def resize(self, *, capacity: int, length: int) -> None:
        """Reallocate with another shape, keeping the rows in use and of each row the positions that still fit."""
        if (capacity, length) == (self.capacity, self.length):
            return
        rows, kept = min(self.rows, capacity), min(length, self.length)
        for name, old in self.arrays.items():
            new = np.zeros((capacity, old.shape[1], length, old.shape[3]), np.float32)
            new[:rows, :, :kept] = old[:rows, :, :kept]
            self.arrays[name] = new

    def move(self, targets: list[int], origins: list[int], *, length: int) -> None:
        """Copy row origins[i] to row targets[i], for all i at once; only the first `length` positions."""
        if targets != origins:
            for array in self.arrays.values():
                array[targets, :, :length] = array[origins, :, :length]

    def append(self, other: KVCache, *, length: int) -> None:
        """Copy the rows of `other` behind the own ones, up to `length` positions. `capacity` must allow for them."""
        count = other.rows
        for name, array in self.arrays.items():
            array[self.rows : self.rows + count, :, :length] = other.arrays[name][:count, :, :length]
        self.rows += count

    def views(self) -> dict[str, Array]:
        """The rows in use, without a copy."""
        return {name: array[: self.rows] for name, array in self.arrays.items()}
