"""Answers by content: worked out once for all who ask at the same time, and kept where that is asked for."""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import orjson

from service.metrics import CACHE_BYTES

_ENTRY_BYTES = 600
"""What an entry takes beside its text: key, dictionary slots, the answer's own object."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one input, and the tokens that it took."""

    result: dict[str, Any]
    input_tokens: int
    output_tokens: int


def _nothing() -> None:
    pass


def _unknown() -> str:
    return "it was still being worked on"


class Computation:
    """An answer in the making, and who waits for it. Lives on the event loop."""

    __slots__ = ("_outcome", "_sleepers", "abandon", "key", "stage", "waiting", "watch", "watched", "written")

    def __init__(
        self,
        key: Hashable,
        abandon: Callable[[], None],
        watch: Callable[[], None] = _nothing,
        stage: Callable[[], str] = _unknown,
    ) -> None:
        """`abandon` is called when nobody waits any more, `watch` when somebody wants to see it being written.

        `stage` says what it waits for, to whom gives up.
        """
        self.key = key
        self.abandon = abandon
        self.watch = watch
        self.stage = stage
        self.waiting = 1
        self.watched = False
        self.written: list[int] = []
        """Token ids of the answer's text that stand by now, as far as anybody watches."""
        self._outcome: Answer | BaseException | None = None
        self._sleepers: list[asyncio.Future[None]] = []

    @property
    def done(self) -> bool:
        return self._outcome is not None

    def settle(self, outcome: Answer | BaseException) -> None:
        """Wake all who wait, once."""
        self._outcome = outcome
        self.let_go()
        self._wake()

    def let_go(self) -> None:
        """Nobody's leaving or watching matters any more. What is called then would keep the request, and it this."""
        self.abandon = self.watch = _nothing
        self.stage = _unknown

    def _wake(self) -> None:
        sleepers, self._sleepers = self._sleepers, []
        for sleeper in sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    async def _sleep(self) -> None:
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.append(sleeper)
        await sleeper

    async def answer(self) -> Answer:
        """Wait for it; raises what it was settled with, if that is an error."""
        while self._outcome is None:
            await self._sleep()
        outcome = self._outcome
        if not isinstance(outcome, BaseException):
            return outcome
        try:
            raise outcome
        finally:
            del self, outcome  # the error keeps this frame, and this would keep the error

    def progress(self, written: list[int]) -> None:
        """More of it is written."""
        if len(written) > len(self.written):
            self.written = written
            self._wake()

    async def progressed(self) -> bool:
        """Wait until it goes on or is settled; whether it is not settled yet."""
        if not self.watched:
            self.watched = True
            self.watch()
        if self._outcome is None:
            await self._sleep()
        return self._outcome is None


class Answers:
    """Computations under way by their content, and an LRU cache of answers within a budget of bytes (0: none)."""

    def __init__(self, *, cache_bytes: int) -> None:
        self._under_way: dict[Hashable, Computation] = {}
        self._cache: OrderedDict[Hashable, tuple[bytes, int, int, int]] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._used_bytes = 0

    def cached(self, key: Hashable) -> Answer | None:
        """What was answered before, if it is kept."""
        entry = self._cache.get(key)
        if entry is None:
            return None
        self._cache.move_to_end(key)
        result, read, written, _ = entry
        return Answer(orjson.loads(result), read, written)

    def under_way(self, key: Hashable) -> Computation | None:
        """The computation that others wait for already."""
        return self._under_way.get(key)

    def begin(self, computation: Computation) -> None:
        """Others may join from now on."""
        self._under_way[computation.key] = computation

    def settle(self, computation: Computation, outcome: Answer | BaseException) -> None:
        """It is over: tell all who wait. An answer is kept for those who come; after an error they try anew."""
        if computation.done:
            return
        self._end(computation)
        computation.settle(outcome)
        if self._cache_bytes and isinstance(outcome, Answer):
            self._keep(computation.key, outcome)

    def leave(self, computation: Computation) -> None:
        """One waits no longer."""
        computation.waiting -= 1
        if computation.waiting == 0 and not computation.done:
            self._end(computation)
            computation.abandon()
            computation.let_go()

    def _end(self, computation: Computation) -> None:
        if self._under_way.get(computation.key) is computation:
            del self._under_way[computation.key]

    def _keep(self, key: Hashable, answer: Answer) -> None:
        result = orjson.dumps(answer.result)
        size = len(result) + _ENTRY_BYTES + _text_bytes(key)
        if size > self._cache_bytes or key in self._cache:
            return
        self._cache[key] = (result, answer.input_tokens, answer.output_tokens, size)
        self._used_bytes += size
        while self._used_bytes > self._cache_bytes:
            _, (*_, oldest_bytes) = self._cache.popitem(last=False)
            self._used_bytes -= oldest_bytes
        CACHE_BYTES.set(self._used_bytes)


def _text_bytes(key: Hashable) -> int:
    """Memory of the texts in a key: strings, and tuples and models that hold them."""
    if isinstance(key, str):
        return sys.getsizeof(key)
    parts = key if isinstance(key, tuple) else vars(key).values() if hasattr(key, "__dict__") else ()
    return sum(_text_bytes(part) for part in parts)
