from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import pytest
from prometheus_client import generate_latest

from service.api.schemas import ClassifyParameters, Question
from service.engine.in_flight import Answers, Computation, TaskResult
from service.errors import InferenceError
from service.metrics import REGISTRY
from tests.service.serving import samples, total

ANSWER = TaskResult({"label": "positive", "score": 0.1 + 0.2, "scores": [None, True, "é"]}, 3, 1)
FAILED = InferenceError("The model failed on this input.")


def begin(answers: Answers, key: Hashable, abandon: Callable[[], None]) -> Computation:
    """A computation that others may join."""
    computation = Computation(key, abandon)
    answers.begin(computation)
    return computation


def join(answers: Answers, key: Hashable) -> Computation | None:
    """As a request does that finds its input asked already."""
    computation = answers.under_way(key)
    if computation is not None:
        computation.waiting += 1
    return computation


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(story(), 20)

    asyncio.run(bounded())


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def never() -> None:
    raise AssertionError("somebody still waits")


def kept(answers: Answers, key: str, answer: TaskResult = ANSWER) -> None:
    answers.settle(begin(answers, key, never), answer)


def cache_bytes() -> float:
    return total(samples(generate_latest(REGISTRY).decode()), "shoal_cache_bytes")


# --- Together --------------------------------------------------------------------------------------------------------


def test_what_nobody_asks_cannot_be_joined() -> None:
    assert join(Answers(cache_bytes=0), "a") is None


def test_all_who_joined_get_the_one_answer_before_and_after_it_is_there() -> None:
    async def story() -> None:
        answers = Answers(cache_bytes=0)
        computation = begin(answers, "a", never)
        waiting = [asyncio.create_task(computation.answer())]
        for _ in range(3):
            joined = join(answers, "a")
            assert joined is computation
            waiting.append(asyncio.create_task(joined.answer()))
        await settle()
        assert not any(task.done() for task in waiting)
        answers.settle(computation, ANSWER)
        assert [await task for task in waiting] == [ANSWER] * 4
        assert await computation.answer() is ANSWER
        for _ in range(4):
            answers.leave(computation)
        assert join(answers, "a") is None, "it is over: whoever comes now asks anew"

    run(story)


def test_an_error_is_told_to_all() -> None:
    async def story() -> None:
        answers = Answers(cache_bytes=10_000)
        computation = begin(answers, "a", never)
        assert join(answers, "a") is computation
        waiting = [asyncio.create_task(computation.answer()) for _ in range(2)]
        await settle()
        answers.settle(computation, FAILED)
        assert await asyncio.gather(*waiting, return_exceptions=True) == [FAILED, FAILED]
        assert answers.cached("a") is None
        assert join(answers, "a") is None

    run(story)


def test_the_first_outcome_stays() -> None:
    async def story() -> None:
        answers = Answers(cache_bytes=0)
        computation = begin(answers, "a", never)
        answers.settle(computation, ANSWER)
        answers.settle(computation, FAILED)
        assert await computation.answer() is ANSWER

    run(story)


def test_one_who_is_cancelled_leaves_the_others_waiting() -> None:
    async def story() -> None:
        answers = Answers(cache_bytes=0)
        computation = begin(answers, "a", never)
        assert join(answers, "a") is computation
        leaving, staying = (asyncio.create_task(computation.answer()) for _ in range(2))
        await settle()
        leaving.cancel()
        await settle()
        answers.leave(computation)
        answers.settle(computation, ANSWER)
        assert leaving.cancelled()
        assert await staying is ANSWER

    run(story)


def test_when_the_last_has_left_it_is_abandoned_once_and_nobody_joins_it() -> None:
    abandoned: list[str] = []
    answers = Answers(cache_bytes=0)
    old = begin(answers, "a", lambda: abandoned.append("a"))
    assert join(answers, "a") is old
    answers.leave(old)
    assert abandoned == []
    answers.leave(old)
    assert abandoned == ["a"]
    assert join(answers, "a") is None
    new = begin(answers, "a", never)
    answers.settle(old, ANSWER)
    assert join(answers, "a") is new, "what is left of the old one does not end the new one"


def test_who_leaves_when_all_is_done_abandons_nothing() -> None:
    answers = Answers(cache_bytes=0)
    computation = begin(answers, "a", never)
    answers.settle(computation, ANSWER)
    answers.leave(computation)
    assert computation.done


# --- Cache -----------------------------------------------------------------------------------------------------------


def test_without_a_budget_nothing_is_kept() -> None:
    answers = Answers(cache_bytes=0)
    kept(answers, "a")
    assert answers.cached("a") is None


def test_what_was_kept_is_equal_and_nobody_elses() -> None:
    answers = Answers(cache_bytes=10_000)
    kept(answers, "a")
    first = answers.cached("a")
    assert first == ANSWER
    assert first is not None
    first.result["label"] = "changed"
    assert answers.cached("a") == ANSWER
    assert answers.cached("b") is None


def test_keys_are_contents() -> None:
    answers = Answers(cache_bytes=100_000)
    keys = [
        ("model", text, ClassifyParameters(**parameters))
        for text in ("good", Question(question="a", context="b"))
        for parameters in ({}, {"top_k": 1})
    ]
    for number, key in enumerate(keys):
        answers.settle(begin(answers, key, never), TaskResult({"number": number}, 0, 0))
    again = [
        ("model", text, ClassifyParameters(**parameters))
        for text in ("good", Question(question="a", context="b"))
        for parameters in ({"top_k": None}, {"top_k": 1})
    ]
    found = [answers.cached(key) for key in again]
    assert [each and each.result["number"] for each in found] == [0, 1, 2, 3]
    assert answers.cached(("other", *keys[0][1:])) is None


def test_the_longest_unused_goes_when_the_budget_is_full() -> None:
    one = Answers(cache_bytes=10**6)
    kept(one, "a")
    each_bytes = cache_bytes()
    answers = Answers(cache_bytes=int(3 * each_bytes))
    for key in "abc":
        kept(answers, key)
    assert cache_bytes() == 3 * each_bytes
    assert answers.cached("a") == ANSWER
    kept(answers, "d")
    assert cache_bytes() == 3 * each_bytes
    assert [key for key in "abcd" if answers.cached(key)] == ["a", "c", "d"]


def test_an_answer_over_the_budget_is_not_kept_and_throws_nothing_out() -> None:
    answers = Answers(cache_bytes=2000)
    kept(answers, "a")
    kept(answers, "b" * 2000)
    kept(answers, "c", TaskResult({"summary": "x" * 2000}, 1, 1))
    assert [key for key in ("a", "b" * 2000, "c") if answers.cached(key)] == ["a"]


@pytest.mark.parametrize(
    ("key", "result"),
    [
        ("b" * 10_000, {}),
        (("model", Question(question="c", context="d" * 10_000), ClassifyParameters()), {}),
        (("model", ("d" * 5000, "e" * 5000)), {}),
        ("e", {"summary": "x" * 10_000}),
    ],
    ids=["text", "question", "texts", "answer"],
)
def test_the_bytes_are_those_of_texts_and_answers(key: Hashable, result: dict[str, Any]) -> None:
    answers = Answers(cache_bytes=10**6)
    answers.settle(begin(answers, key, never), TaskResult(result, 1, 1))
    assert 10_000 < cache_bytes() < 11_500


def test_a_key_that_is_kept_is_counted_once() -> None:
    answers = Answers(cache_bytes=10**6)
    kept(answers, "a")
    before = cache_bytes()
    kept(answers, "a")
    assert cache_bytes() == before


def test_a_computation_waits_for_one_from_the_start() -> None:
    assert Computation("a", never).waiting == 1


@pytest.mark.parametrize("outcome", [ANSWER, FAILED])
def test_settled_is_done(outcome: TaskResult | InferenceError) -> None:
    computation = Computation("a", never)
    assert not computation.done
    computation.settle(outcome)
    assert computation.done
