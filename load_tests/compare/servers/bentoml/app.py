"""The app."""

from typing import Any

import bentoml

from load_tests.compare.chosen import BATCH, THREADS, WORKERS, chosen
from load_tests.compare.classifier import Classifier

_BATCHING = {"batchable": True, "max_batch_size": BATCH, "max_latency_ms": int(chosen("latency_ms", "1000"))}
_QUIET = {"access": {"enabled": False}}


class _Threaded:
    def __init__(self) -> None:
        self.classifier = Classifier(THREADS)

    @bentoml.api(**_BATCHING)
    def classify(self, texts: list[str]) -> list[dict[str, Any]]:
        return self.classifier(texts)


class _OnTheLoop:
    def __init__(self) -> None:
        self.classifier = Classifier(THREADS)

    @bentoml.api(**_BATCHING)
    async def classify(self, texts: list[str]) -> list[dict[str, Any]]:
        return self.classifier(texts)


_chosen = _Threaded if chosen("route", "def") == "def" else _OnTheLoop
Sentiment = bentoml.service(name="sentiment", workers=WORKERS, traffic={"timeout": 60}, logging=_QUIET)(_chosen)
