"""Key and value caches of texts that are written together: rows that come and go without the rest being copied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.runtime.session import Array


class KVCache:
    """One array a layer and kind, all of the same shape: [rows, heads, columns, width].

    The first `rows` rows and `columns` columns of a row count. Room for more of both is made by copying, in steps that
    make it rare; what was never written is zero, because onnxruntime multiplies what it then leaves out.
    """

    def __init__(self, arrays: dict[str, Array], rows: int) -> None:
        """Takes the arrays over, as they are; their first `rows` rows are in use."""
        self.arrays = arrays
        self.rows = rows

    @classmethod
    def empty(cls, names: Sequence[str], *, rows: int, heads: int, width: int) -> KVCache:
        """Rows in use, of no columns yet."""
        return cls({name: np.zeros((rows, heads, 0, width), np.float32) for name in names}, rows)

    @property
    def length(self) -> int:
        """That there is room for."""
        return int(next(iter(self.arrays.values())).shape[2])

    @property
    def capacity(self) -> int:
        """Rows that there is room for."""
        return len(next(iter(self.arrays.values())))

    def resize(self, *, capacity: int, length: int) -> None:
        """Take another shape, keeping what it still holds of each row in use."""
        if (capacity, length) == (self.capacity, self.length):
            return
        rows, kept = min(self.rows, capacity), min(length, self.length)
        for name, old in self.arrays.items():
            new = np.zeros((capacity, old.shape[1], length, old.shape[3]), np.float32)
            new[:rows, :, :kept] = old[:rows, :, :kept]
            self.arrays[name] = new

    def move(self, targets: list[int], sources: list[int], *, length: int) -> None:
        """Let row targets[i] be what row sources[i] was, for all i at once."""
        if targets != sources:
            for array in self.arrays.values():
                array[targets, :, :length] = array[sources, :, :length]

    def append(self, other: KVCache, *, length: int) -> None:
        """Take the rows of `other` behind the own ones; there must be room."""
        count = other.rows
        for name, array in self.arrays.items():
            array[self.rows : self.rows + count, :, :length] = other.arrays[name][:count, :, :length]
        self.rows += count

    def views(self) -> dict[str, Array]:
        """The rows in use."""
        return {name: array[: self.rows] for name, array in self.arrays.items()}
