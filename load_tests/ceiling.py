"""The raw limit of this machine: the same model on the same texts with no server around it.

    python -m load_tests.ceiling [short] [long] [qa]      (make ceiling)

Threads call `session.run` on ready-made batches, sorted by length, of the size that turns out best.
"""

from __future__ import annotations

import random
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import onnxruntime

from load_tests.texts import SETS
from service.artifact import Artifact
from service.config import ARTIFACTS
from service.process import cpus
from service.runtime.session import pad
from service.text.tokenizer import Encoding, Tokenizer

MODELS = {"classify": "sentiment", "answer": "qa"}
_SIZES = (1, 2, 4, 8, 16, 32)
Feeds = dict[str, Any]


@dataclass(frozen=True)
class Ceiling:
    """Texts a second, and the rows in a batch that gave it."""

    texts_per_s: float
    rows: int


def _encodings(folder: Path, inputs: Sequence[Any]) -> list[Encoding]:
    """One row an input; texts and questions longer than the model reads are cut."""
    tokenizer, limit = Tokenizer(folder), Artifact(folder).max_tokens
    if isinstance(inputs[0], str):
        return [tokenizer.encode(text, limit) for text in inputs]
    cut = [tokenizer.windows(each["question"], each["context"], max_tokens=limit, stride=128)[0] for each in inputs]
    return [windows[0].encoding for windows in cut]


def _session(graph: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(graph), options)


class Limit:
    """A model and a set's batches, ready to be run again and again."""

    def __init__(self, name: str, *, threads: int = 0, folder: Path | None = None) -> None:
        """`name` is one of texts.SETS; `folder` an artifact of the same tokenizer (default: the one that is served)."""
        route, make = SETS[name]
        folder = folder or ARTIFACTS / MODELS[route]
        self.threads = threads or cpus().usable
        self._graph = Artifact(folder).graphs[0]
        self._session = _session(self._graph, 1)
        self._rows = sorted(_encodings(folder, make()), key=len)
        self._names = {node.name for node in self._session.get_inputs()}

    def _batches(self, rows: int) -> list[Feeds]:
        parts = [self._rows[first : first + rows] for first in range(0, len(self._rows), rows)]
        padded = [pad(part, 0) for part in parts if len(part) == rows]
        return [{name: array for name, array in feeds.items() if name in self._names} for feeds in padded]

    def texts_per_s(self, rows: int, *, seconds: float) -> float:
        """All threads on batches of so many rows, lengths spread evenly over any stretch of time."""
        batches = self._batches(rows)
        stride = next(step for step in (7, 11, 13, 17) if len(batches) % step) if len(batches) > 1 else 1
        spread = cycle(islice(cycle(batches), 0, len(batches) * stride, stride))
        lock, done, until_s = threading.Lock(), [0] * self.threads, time.perf_counter() + seconds

        def work(thread: int) -> None:
            while time.perf_counter() < until_s:
                with lock:
                    feeds = next(spread)
                self._session.run(None, feeds)
                done[thread] += rows

        began_s = time.perf_counter()
        workers = [threading.Thread(target=work, args=(each,)) for each in range(self.threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return sum(done) / (time.perf_counter() - began_s)

    def best(self, *, seconds: float = 2.0) -> Ceiling:
        """The best of a few sizes, each run this long in two rounds, so that a slow moment rules none out."""
        rounds = [[self.texts_per_s(rows, seconds=seconds / 2) for rows in _SIZES] for _ in range(2)]
        means = [sum(pair) / 2 for pair in zip(*rounds, strict=True)]
        return max(map(Ceiling, means, _SIZES), key=lambda each: each.texts_per_s)

    def alone_ms(self, *, threads: int, rows: int = 300) -> float:
        """Median of passes of one row each, nothing else running, on so many cores."""
        session = _session(self._graph, threads)
        batches = self._batches(1)
        times_ms = []
        for feeds in random.Random("alone").sample(batches, min(rows, len(batches))):
            began_s = time.perf_counter()
            session.run(None, feeds)
            times_ms.append(1000 * (time.perf_counter() - began_s))
        return statistics.median(times_ms)


def main() -> None:
    for name in sys.argv[1:] or [name for name in SETS if name != "mixed"]:
        limit = Limit(name)
        for rows in _SIZES:
            print(f"{name:6} {rows:3} rows a batch: {limit.texts_per_s(rows, seconds=2):8.1f} texts/s", flush=True)


if __name__ == "__main__":
    main()
