"""From the socket to the registry and back, without the framework between: the way of every inference request.

FastAPI declares these routes (routes/inference.py), for /openapi.json and /docs; its own way from the socket to a
handler costs a request twice what all else outside the model does (docs/design.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.datastructures import State
from starlette.types import Receive, Scope, Send

from service.engine import Inference
from service.errors import InvalidInput, ServiceError, Unavailable, UnsupportedMediaType
from service.refusals import Refusal, fault, invalid, refusal
from service.registry import Registry
from service.routes.body import BodyLimits, ClientLeft, parse, read_body
from service.schemas import InferenceRequest, SummarizeRequest

log = logging.getLogger(__name__)

_JSON, _EVENTS = b"application/json", b"text/event-stream; charset=utf-8"
# A proxy that keeps events back until it has a bufferful would undo the stream.
_UNBUFFERED = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


_CLOSING = "The server is shutting down; send the request to another one."


class Lane:
    """One inference route as an ASGI application."""

    def __init__(self, route: str, schema: type[InferenceRequest], state: State, *, limits: BodyLimits) -> None:
        """`state` has the registry as soon as the application has started."""
        self.path = f"/v1/{route}"
        """The route's template, as a Starlette route has it."""
        self._route = route
        self._schema = schema
        self._state = state
        self._limits = limits
        # What takes seconds is stopped when its client leaves; what takes milliseconds is not worth a second task.
        self._takes_long = issubclass(schema, SummarizeRequest)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        try:
            await self._serve(scope, receive, send)
        except ClientLeft:
            pass
        except ServiceError as error:
            await _refuse(send, refusal(error))
        except Exception:  # a fault of ours: told as one, as the application does on its way
            log.exception("a fault in POST %s", self.path)
            await _refuse(send, refusal(fault("POST", self.path)))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind, length = _described(scope)
        body = await read_body(receive, length, self._limits)
        arrived_s = asyncio.get_running_loop().time()  # the deadline's clock: it counts what parsing takes too
        request = self._request(body, kind)
        if isinstance(request, SummarizeRequest) and request.stream:
            await _while_there(receive, self._stream(request, arrived_s, send))
            return
        answer = self._answer(request, arrived_s)
        content = await (_while_there(receive, answer) if self._takes_long else answer)
        headers = [(b"content-type", _JSON), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _request(self, body: bytes | bytearray, content_type: str) -> InferenceRequest:
        if content_type != "application/json" and not content_type.endswith("+json"):
            raise UnsupportedMediaType(
                f"The body is {content_type or 'of no type'}; send JSON with Content-Type: application/json."
            )
        if not body:
            raise InvalidInput('The body is empty; send JSON such as {"inputs": "some text"}.')
        try:
            return self._schema.model_validate(parse(body, self._limits))
        except ValidationError as error:
            raise invalid(error.errors(include_url=False, include_input=False)) from error

    async def _answer(self, request: InferenceRequest, arrived_s: float) -> bytes:
        registry: Registry = self._state.registry
        try:
            done = await registry.infer(
                self._route, _inputs(request), request.parameters, request.model, arrived_s=arrived_s
            )
        except asyncio.CancelledError as error:  # uvicorn's way to say that the time to drain is over
            raise Unavailable(_CLOSING) from error
        return _json(done)

    async def _stream(self, request: InferenceRequest, arrived_s: float, send: Send) -> None:
        """Server-sent events: pieces of text, then the whole answer. What fails before the first is a plain refusal."""
        registry: Registry = self._state.registry
        pieces = registry.stream(self._route, _inputs(request), request.parameters, request.model, arrived_s=arrived_s)
        try:
            async with aclosing(pieces):
                await self._send_events(pieces, send)
        except asyncio.CancelledError as error:  # as in _answer
            raise Unavailable(_CLOSING) from error

    async def _send_events(self, pieces: AsyncGenerator[str | Inference], send: Send) -> None:
        started = False
        try:
            async for piece in pieces:
                if not started:
                    headers = [(b"content-type", _EVENTS), *_UNBUFFERED]
                    await send({"type": "http.response.start", "status": 200, "headers": headers})
                    started = True
                last = isinstance(piece, Inference)
                content = _json(piece) if isinstance(piece, Inference) else orjson.dumps({"text": piece})
                body = b"data: " + content + b"\n\n"
                await send({"type": "http.response.body", "body": body, "more_body": not last})
        except (Exception, asyncio.CancelledError) as error:
            if not started:
                raise
            told = Unavailable(_CLOSING) if isinstance(error, asyncio.CancelledError) else error
            if not isinstance(told, ServiceError):
                log.exception("a fault in POST %s", self.path)
                told = fault("POST", self.path)
            await send({"type": "http.response.body", "body": b"data: " + refusal(told).content + b"\n\n"})


def _inputs(request: InferenceRequest) -> list[Any]:
    return request.inputs if isinstance(request.inputs, list) else [request.inputs]


def _json(done: Inference) -> bytes:
    usage = {"input_tokens": done.input_tokens, "output_tokens": done.output_tokens}
    # The results were made here, so they are serialized without being validated again.
    return orjson.dumps({"model": done.model, "results": done.results, "usage": usage})


async def _refuse(send: Send, told: Refusal) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in told.headers.items()]
    headers += [(b"content-type", _JSON), (b"content-length", str(len(told.content)).encode())]
    await send({"type": "http.response.start", "status": told.status, "headers": headers})
    await send({"type": "http.response.body", "body": told.content})


async def _while_there(receive: Receive, work: Coroutine[Any, Any, Any]) -> Any:
    """What `work` comes to, which is cancelled as soon as the client leaves; raises ClientLeft then."""
    task, left = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)  # how it ends is told to nobody
            raise ClientLeft
        return task.result()
    except asyncio.CancelledError:
        task.cancel()
        return await task
    finally:
        left.cancel()
        task.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _described(scope: Scope) -> tuple[str, bytes]:
    """The body's media type, without its parameters and in lower case, and its length as told; empty if left out."""
    kind = length = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind = kind or value
        elif name == b"content-length":
            length = value.lstrip(b"0")  # Python's int() refuses thousands of digits, HTTP does not
    if kind != _JSON:
        kind = kind.partition(b";")[0].strip().lower()
    return kind.decode("latin-1"), length
