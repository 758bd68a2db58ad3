"""A registry without models, and a request's socket without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from service.engine.engine import Inference
from tests.service.serving import PATIENCE_S


class StubRegistry:
    """Answers every request with the same events, of which the last is the answer or an error."""

    def __init__(self, *events: str | Inference | BaseException) -> None:
        self._events = events
        self.calls: list[tuple[str, list[object], Any, str | None]] = []

    async def infer(
        self,
        route: str,
        inputs: Sequence[object],
        parameters: Any,
        model: str | None,
        *,
        arrived_s: float,
        per_item: bool,
    ) -> Inference:
        del arrived_s, per_item
        self.calls.append((route, list(inputs), parameters, model))
        last = self._events[-1]
        if isinstance(last, BaseException):
            raise last
        assert isinstance(last, Inference)
        return last

    async def stream(
        self, route: str, inputs: Sequence[object], parameters: Any, model: str | None, *, arrived_s: float
    ) -> AsyncGenerator[str | Inference]:
        del arrived_s
        self.calls.append((route, list(inputs), parameters, model))
        for event in self._events:
            if isinstance(event, BaseException):
                raise event
            yield event


def post_messages(app: ASGIApp, path: str, *received: Message) -> list[Message]:
    """What an application sends for a POST that a server delivers in these messages."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    messages: Iterator[Message] = iter(received)
    sent: list[Message] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await app(scope, receive, send)

    asyncio.run(run())
    return sent
