"""The deadlines of all requests, kept by one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.engine.request import RequestState


class Deadlines:
    """Calls back when a request's time is over. Lives on the event loop.

    A timer of the event loop for each request would cost more than all other bookkeeping of a short one. Requests
    expire in about the order in which they came, so one timer, for the first, is enough.
    """

    def __init__(self, on_deadline: Callable[[RequestState], None]) -> None:
        self._on_deadline = on_deadline
        self._requests: dict[RequestState, None] = {}
        """In the order in which they came."""
        self._timer: asyncio.TimerHandle | None = None

    def add(self, request: RequestState) -> None:
        """Call back at the request's `expires_s`, unless it is removed before."""
        self._requests[request] = None
        if self._timer is None or request.expires_s < self._timer.when():
            self._set_timer(request.expires_s)

    def remove(self, request: RequestState) -> None:
        """Forget a request that is answered."""
        self._requests.pop(request, None)

    def _set_timer(self, expires_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(expires_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        for request in [each for each in self._requests if each.expires_s <= now_s]:
            del self._requests[request]
            self._on_deadline(request)
        if self._requests:
            self._set_timer(min(each.expires_s for each in self._requests))
