"""Results kept by the content of their input, within a budget of bytes."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Hashable
from typing import NamedTuple

from cachetools import LRUCache

from service.metrics import CACHE_BYTES
from service.tasks.base import Result, TaskResult

_ENTRY_BYTES = 600
"""What an entry takes beside its texts: key, dictionary slots, objects."""


class _Entry(NamedTuple):
    pickled: bytes
    size: int


class ResultCache:
    """Keeps the results that were used last. Lives on the event loop; a budget of 0 bytes keeps nothing."""

    def __init__(self, *, max_bytes: int) -> None:
        self._entries: LRUCache[Hashable, _Entry] = LRUCache(max_bytes, getsizeof=lambda entry: entry.size)

    def get(self, key: Hashable) -> TaskResult[Result] | None:
        """The result of an input that was answered before, if it is still kept."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        result: TaskResult[Result] = pickle.loads(entry.pickled)  # made below, in this process
        return result

    def add(self, key: Hashable, result: TaskResult[Result]) -> None:
        """Keep a result, unless it alone exceeds the budget."""
        if not self._entries.maxsize or key in self._entries:
            return
        # Bytes, because their size is known exactly and is a fraction of the objects' size.
        pickled = pickle.dumps(result)
        size = len(pickled) + _ENTRY_BYTES + _text_bytes(key)
        if size <= self._entries.maxsize:
            self._entries[key] = _Entry(pickled, size)
            CACHE_BYTES.set(self._entries.currsize)


def _text_bytes(key: Hashable) -> int:
    """Memory of the texts in a key: strings, and tuples that hold them."""
    if isinstance(key, str):
        return sys.getsizeof(key)
    return sum(map(_text_bytes, key)) if isinstance(key, tuple) else 0
