from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from service.engine.in_flight import InFlight, InputState, Wait
from service.engine.loaded_model import LoadedModel
from service.errors import InferenceError
from service.scheduling.job import ModelInput
from service.tasks.base import TaskResult
from service.tasks.classification import ClassificationResult, LabelScore

RESULT = TaskResult(ClassificationResult("positive", 0.3, [LabelScore("positive", 0.3)], False, None), 3, 1)
FAILED = InferenceError("The model failed on this input.")


def begun(in_flight: InFlight, key: str) -> InputState:
    """A computation that others may join."""
    rounds: Any = iter(())
    state = InputState(key, cast(LoadedModel, None), rounds, streaming=True, off_loop=False)
    in_flight.register(state)
    return state


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(story(), 20)

    asyncio.run(bounded())


def test_what_nobody_computes_cannot_be_joined() -> None:
    assert InFlight().get("a", streaming=True) is None


def test_all_who_joined_get_the_one_result_and_who_comes_then_starts_anew() -> None:
    async def story() -> None:
        in_flight = InFlight()
        state = begun(in_flight, "a")
        assert in_flight.get("a", streaming=True) is state
        waits = [state.join() for _ in range(3)]
        waiting = [asyncio.ensure_future(wait.future) for wait in waits]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        in_flight.complete(state, RESULT)
        assert [await task for task in waiting] == [RESULT] * 3
        assert in_flight.get("a", streaming=True) is None
        assert len(in_flight) == 0

    run(story)


def test_all_who_joined_get_the_one_error() -> None:
    async def story() -> None:
        in_flight = InFlight()
        state = begun(in_flight, "a")
        waits = [state.join() for _ in range(2)]
        in_flight.complete(state, FAILED)
        assert [await wait.future for wait in waits] == [FAILED] * 2

    run(story)


def test_the_first_outcome_stays() -> None:
    async def story() -> None:
        wait = begun(InFlight(), "a").join()
        wait.settle(RESULT)
        wait.settle(FAILED)
        assert await wait.future is RESULT

    run(story)


def test_only_the_last_who_leaves_an_unfinished_computation_is_told_so() -> None:
    async def story() -> None:
        in_flight = InFlight()
        state = begun(in_flight, "a")
        waits = [state.join() for _ in range(3)]
        assert [in_flight.release(wait) for wait in waits] == [False, False, True]
        assert state.abandoned
        assert in_flight.get("a", streaming=True) is None, "and nobody joins it any more"

    run(story)


@pytest.mark.parametrize("outcome", [RESULT, FAILED])
def test_who_leaves_when_the_outcome_is_there_abandons_nothing(outcome: Any) -> None:
    async def story() -> None:
        in_flight = InFlight()
        state = begun(in_flight, "a")
        wait = state.join()
        in_flight.complete(state, outcome)
        assert not in_flight.release(wait)

    run(story)


def test_what_is_left_of_an_abandoned_computation_does_not_end_its_successor() -> None:
    async def story() -> None:
        in_flight = InFlight()
        old = begun(in_flight, "a")
        in_flight.release(old.join())
        new = begun(in_flight, "a")
        wait = new.join()
        in_flight.complete(old, FAILED)
        assert in_flight.get("a", streaming=True) is new
        assert not wait.future.done()

    run(story)


def test_the_stage_says_what_it_waits_for() -> None:
    async def story() -> None:
        state = begun(InFlight(), "a")
        assert state.stage == "its inputs were still being tokenized"
        state.begin([ModelInput("row", 1), ModelInput("row", 1)])
        assert state.job is not None
        state.job.queued = 2
        assert state.stage == "it was still waiting behind other work"
        state.job.queued = 1
        assert state.stage == "the model was still at work on it"

    run(story)


@pytest.mark.parametrize(("tokens", "off_loop"), [(500, False), (501, True)])
def test_a_round_of_many_tokens_is_finished_off_the_event_loop(tokens: int, off_loop: bool) -> None:
    async def story() -> None:
        state = begun(InFlight(), "a")
        state.begin([ModelInput("row", 500), ModelInput("row", tokens)])
        assert state.off_loop == off_loop

    run(story)


def test_rows_stream_where_the_request_and_the_row_do() -> None:
    async def story() -> None:
        state = begun(InFlight(), "a")
        rows = state.begin([ModelInput("a", 1, streams=True), ModelInput("b", 1)])
        assert [row.streaming for row in rows] == [True, False]

    run(story)


def test_a_stream_is_woken_by_progress_and_by_the_end() -> None:
    async def story() -> None:
        in_flight = InFlight()
        state = begun(in_flight, "a")
        wait: Wait = state.join()
        state.report_progress([1, 2])
        assert await wait.partial_outputs() == [1, 2]
        going_on = asyncio.create_task(wait.partial_outputs())
        state.report_progress([1, 2])
        await asyncio.sleep(0)
        assert not going_on.done(), "nothing new"
        state.report_progress([1, 2, 3])
        assert await going_on == [1, 2, 3]
        in_flight.complete(state, RESULT)
        assert await wait.partial_outputs() is None

    run(story)
