from __future__ import annotations

import asyncio
from typing import Any, cast

from service.engine.deadlines import Deadlines
from service.engine.loaded_model import LoadedModel
from service.engine.request import RequestState
from service.tasks.parameters import ClassifyParameters


def request(expires_s: float) -> RequestState:
    model = cast(LoadedModel, None)
    return RequestState(model, ClassifyParameters(), expires_s, streaming=False, chars=1, off_loop=False)


def rung(*offsets_s: float, removed: tuple[int, ...] = ()) -> list[int]:
    """Numbers of the requests whose deadline rang, in that order; `offsets_s` from now."""
    order: list[int] = []

    async def story() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        now_s = loop.time()
        requests = [request(now_s + offset_s) for offset_s in offsets_s]

        def ring(each: Any) -> None:
            order.append(requests.index(each))
            if len(order) + len(removed) == len(requests):
                ended.set()

        deadlines = Deadlines(ring)
        for each in requests:
            deadlines.add(each)
        for number in removed:
            deadlines.remove(requests[number])
        await asyncio.wait_for(ended.wait(), 20)
        assert deadlines._timer is None, "nothing is left to wait for"

    asyncio.run(story())
    return order


def test_each_request_rings_once_in_the_order_of_their_deadlines() -> None:
    assert rung(0.01, 0.02, 0.03) == [0, 1, 2]


def test_one_that_came_later_and_ends_earlier_rings_first() -> None:
    assert rung(0.05, 0.01) == [1, 0]


def test_what_is_past_already_rings_at_once() -> None:
    assert rung(-1.0) == [0]


def test_a_request_that_is_removed_does_not_ring_and_the_others_do() -> None:
    assert rung(0.01, 0.02, 0.03, removed=(0, 2)) == [1]
