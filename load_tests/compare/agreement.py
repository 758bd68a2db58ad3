"""Whether a server gives the answers that the artifact gives."""

from __future__ import annotations

from functools import cache
from typing import Any

from load_tests.compare.chosen import FP32, UNTRAINED
from load_tests.compare.classifier import Classifier
from load_tests.compare.contender import Contender
from load_tests.compare.running import ask
from load_tests.texts import long_texts, short_texts

_INT8, _FP32 = 0.02, 0.15
"""How far a probability may lie from ours: another order of sums; float activations."""


@cache
def _expected() -> list[tuple[str, float]]:
    classifier = Classifier()
    return [(text, _positive(classifier([text])[0])) for text in (*short_texts(24), *long_texts(8))]


def _positive(answer: dict[str, Any]) -> float:
    return float(answer["score"] if answer["label"] == "positive" else 1 - answer["score"])


def largest_difference(contender: Contender, url: str) -> float:
    """In the probability of "positive", over a sample of texts. Raises RuntimeError if it is no rounding error."""
    found = max(abs(_positive(ask(contender, url, text)) - score) for text, score in _expected())
    if contender.fp32 and (FP32 / UNTRAINED).is_file():
        return found
    if found > (_FP32 if contender.fp32 else _INT8):
        raise RuntimeError(f"its scores differ from the artifact's by up to {found:.3f}")
    return found
