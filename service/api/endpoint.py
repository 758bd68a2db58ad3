"""ASGI endpoint of the inference routes. FastAPI's request handling costs 60 us a request; this costs 8."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import TypeVar

from starlette.datastructures import State
from starlette.types import Receive, Scope, Send

from service.api.body import BodyLimits, ClientLeft, read_body
from service.api.dialect import Dialect, EncodedRequest, EncodedResponse, InferenceCall
from service.api.error_response import internal_error
from service.engine.engine import Inference
from service.engine.registry import Registry
from service.errors import SHUTTING_DOWN, ServiceError, Unavailable, UnsupportedMediaType

log = logging.getLogger(__name__)

_Done = TypeVar("_Done")

_CHARSET = re.compile(rb'\bcharset\s*=\s*"?([^\s;"]+)')
_CHARSETS = (b"utf-8", b"utf8", b"us-ascii", b"ascii")

# charset is the standard's default, but old clients guess Latin-1 without it. A proxy that collects events until it has
# a bufferful would undo the stream.
_EVENT_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class InferenceEndpoint:
    """Reads a request from the socket, runs it, and sends the answer, all in one dialect."""

    def __init__(self, dialect: Dialect, state: State, limits: BodyLimits) -> None:
        """`state` has the registry once the application has started."""
        self._dialect = dialect
        self._state = state
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._serve(scope, receive, send)
        except ClientLeft:
            pass
        except ServiceError as error:
            await _send(send, self._dialect.encode_error(error))
        except Exception:
            log.exception("a fault in POST %s", self._dialect.path)
            await _send(send, self._dialect.encode_error(internal_error("POST", self._dialect.path)))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        content_type, content_length = _body_headers(scope)
        body = await read_body(receive, content_length, self._limits)
        arrived_s = asyncio.get_running_loop().time()  # the deadline counts what parsing takes, but no slow upload
        call = self._dialect.decode(EncodedRequest(content_type, body))
        if call.stream:
            await _while_connected(receive, self._stream(call, arrived_s, send))
            return
        answer = self._answer(call, arrived_s)
        await _send(send, await (_while_connected(receive, answer) if self._dialect.watches_client else answer))

    async def _answer(self, call: InferenceCall, arrived_s: float) -> EncodedResponse:
        registry: Registry = self._state.registry
        try:
            inference = await registry.infer(
                call.route, call.inputs, call.parameters, call.model, arrived_s=arrived_s, per_item=call.per_item
            )
        except asyncio.CancelledError as error:  # uvicorn cancels when the time for shutting down is over
            raise Unavailable(SHUTTING_DOWN) from error
        return self._dialect.encode(call, inference)

    async def _stream(self, call: InferenceCall, arrived_s: float, send: Send) -> None:
        """Send events as they come. What fails before the first is answered as any other error."""
        registry: Registry = self._state.registry
        events = registry.stream(call.route, call.inputs, call.parameters, call.model, arrived_s=arrived_s)
        try:
            async with aclosing(events):
                await self._send_events(call, events, send)
        except asyncio.CancelledError as error:  # as in _answer
            raise Unavailable(SHUTTING_DOWN) from error

    async def _send_events(self, call: InferenceCall, events: AsyncGenerator[str | Inference], send: Send) -> None:
        started = False
        try:
            async for event in events:
                if not started:
                    await send({"type": "http.response.start", "status": 200, "headers": _EVENT_STREAM_HEADERS})
                    started = True
                await _send_event(send, self._dialect.encode_event(call, event), last=isinstance(event, Inference))
        except (Exception, asyncio.CancelledError) as error:
            if not started:
                raise
            failure = Unavailable(SHUTTING_DOWN) if isinstance(error, asyncio.CancelledError) else error
            if not isinstance(failure, ServiceError):
                log.exception("a fault in POST %s", self._dialect.path)
                failure = internal_error("POST", self._dialect.path)
            await _send_event(send, self._dialect.encode_error(failure).body, last=True)


async def _send(send: Send, response: EncodedResponse) -> None:
    headers = [
        *response.headers,
        (b"content-type", response.content_type),
        (b"content-length", str(len(response.body)).encode()),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _send_event(send: Send, data: bytes, *, last: bool) -> None:
    await send({"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": not last})


async def _while_connected(receive: Receive, work: Coroutine[None, None, _Done]) -> _Done:
    """Return what `work` returns; cancel it and raise ClientLeft as soon as the client disconnects."""
    task, left = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)  # nobody is there to read how it ends
            raise ClientLeft
        return task.result()
    except asyncio.CancelledError:
        task.cancel()
        return await task
    finally:
        left.cancel()
        task.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _body_headers(scope: Scope) -> tuple[str, bytes]:
    """Content-Type, in lower case without parameters, and Content-Length; empty where they are missing.

    Raises UnsupportedMediaType for a body that is compressed or not in UTF-8.
    """
    kind = length = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind = kind or value
        elif name == b"content-length":
            length = value.lstrip(b"0")  # Python's int() refuses thousands of digits, HTTP does not
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise UnsupportedMediaType(f"The body is compressed ({value.decode('latin-1')}); send it as it is.")
    if kind != b"application/json":
        kind, _, parameters = kind.partition(b";")
        kind = kind.strip().lower()
        charset = _CHARSET.search(parameters.lower())
        if charset is not None and charset[1] not in _CHARSETS:
            raise UnsupportedMediaType(f"The body's charset is {charset[1].decode('latin-1')}; send UTF-8.")
    return kind.decode("latin-1"), length
