from __future__ import annotations

from collections.abc import Hashable

import pytest
from prometheus_client import generate_latest

from service.engine.cache import ResultCache
from service.metrics import REGISTRY
from service.tasks.base import TaskResult
from service.tasks.classification import ClassificationResult, LabelScore
from tests.service.serving import samples, total


def result(label: str = "positive") -> TaskResult[ClassificationResult]:
    return TaskResult(ClassificationResult(label, 0.1 + 0.2, [LabelScore("é", 0.0)], False, None), 3, 1)


def cache_bytes() -> float:
    return total(samples(generate_latest(REGISTRY).decode()), "shoal_cache_bytes")


def test_without_a_budget_nothing_is_kept() -> None:
    cache = ResultCache(max_bytes=0)
    cache.add("a", result())
    assert cache.get("a") is None


def test_what_was_kept_is_equal_and_nobody_elses() -> None:
    cache = ResultCache(max_bytes=10_000)
    kept = result()
    cache.add("a", kept)
    first = cache.get("a")
    assert first == kept
    assert first is not None
    assert isinstance(first.result, ClassificationResult)
    first.result.scores.clear()
    assert cache.get("a") == result()
    assert cache.get("b") is None


def test_the_longest_unused_goes_when_the_budget_is_full() -> None:
    ResultCache(max_bytes=10**6).add("a", result())
    each_bytes = cache_bytes()
    cache = ResultCache(max_bytes=int(3 * each_bytes))
    for key in "abc":
        cache.add(key, result())
    assert cache_bytes() == 3 * each_bytes
    assert cache.get("a") == result()
    cache.add("d", result())
    assert cache_bytes() == 3 * each_bytes
    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]


def test_a_result_over_the_budget_is_not_kept_and_evicts_nothing() -> None:
    cache = ResultCache(max_bytes=2000)
    cache.add("a", result())
    cache.add("b" * 2000, result())
    cache.add("c", result("x" * 2000))
    assert [key for key in ("a", "b" * 2000, "c") if cache.get(key)] == ["a"]


@pytest.mark.parametrize(
    ("key", "label"),
    [("b" * 10_000, ""), (("model", ("d" * 5000, "e" * 5000)), ""), ("e", "x" * 10_000)],
    ids=["text", "texts", "result"],
)
def test_the_bytes_are_those_of_texts_and_results(key: Hashable, label: str) -> None:
    ResultCache(max_bytes=10**6).add(key, result(label))
    assert 10_000 < cache_bytes() < 11_500


def test_a_key_that_is_kept_is_counted_once() -> None:
    cache = ResultCache(max_bytes=10**6)
    cache.add("a", result())
    before = cache_bytes()
    cache.add("a", result())
    assert cache_bytes() == before
