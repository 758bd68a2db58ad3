"""What every request passes through, as plain ASGI: Starlette's BaseHTTPMiddleware would hide disconnects."""

from __future__ import annotations

import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import InputTooLong
from service.metrics import REQUEST_DURATION, REQUESTS_IN_FLIGHT


def _route(scope: Scope) -> str:
    """The route's template; one word for all paths that have none, so that labels stay bounded."""
    return getattr(scope.get("route"), "path", "unmatched")


class RequestMetrics:
    """Counts and times requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.perf_counter()
        status = "499"  # nginx's code for a client that left before the answer

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        REQUESTS_IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, noted)
        except Exception:
            status = "500"  # Starlette answers a fault further out than any middleware
            raise
        finally:
            REQUESTS_IN_FLIGHT.dec()
            REQUEST_DURATION.labels(_route(scope), status).observe(time.perf_counter() - began_s)


class BodyLimit:
    """Refuses a body over the limit, by its Content-Length before any of it is read, or as it comes in."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    def _refusal(self, size: str) -> InputTooLong:
        return InputTooLong(
            f"A body of {size} bytes; the limit is {self._max_bytes}. Send the inputs in several requests."
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = 0
        told = dict(scope["headers"]).get(b"content-length", b"").decode("latin-1")
        too_large = told.isdigit() and int(told) > self._max_bytes

        async def counted() -> Message:
            nonlocal seen
            if too_large:
                raise self._refusal(told)
            message: dict[str, Any] = dict(await receive())
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                raise self._refusal(f"more than {self._max_bytes}")
            return message

        await self._app(scope, counted, send)
