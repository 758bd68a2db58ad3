"""From the socket to the registry and back, without the framework between: the way of every inference request.

FastAPI declares these routes (routes/inference.py), for /openapi.json and /docs; its own way from the socket to a
handler costs a request twice what all else outside the model does (docs/design.md).
"""

from __future__ import annotations

import asyncio
import codecs
import logging
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.datastructures import State
from starlette.types import Receive, Scope, Send

from service.errors import InvalidInput, ServiceError, Unavailable, UnsupportedMediaType
from service.refusals import fault, invalid, refusal
from service.registry import Registry
from service.schemas import InferenceRequest

log = logging.getLogger(__name__)


class Lane:
    """One inference route as an ASGI application."""

    def __init__(self, route: str, schema: type[InferenceRequest], state: State) -> None:
        """`state` has the registry as soon as the application has started."""
        self.path = f"/v1/{route}"
        """The route's template, as a Starlette route has it."""
        self._route = route
        self._schema = schema
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        status, headers = 200, [(b"content-type", b"application/json")]
        try:
            body = await _body(receive)
            if body is None:
                return
            content = await self._answer(body, _content_type(scope))
        except ServiceError as error:
            told = refusal(error)
            status, content = told.status, told.content
            headers += [(name.lower().encode(), value.encode()) for name, value in told.headers.items()]
        except Exception:  # a fault of ours: told as one, as the application does on its way
            log.exception("a fault in POST %s", self.path)
            told = refusal(fault("POST", self.path))
            status, content = told.status, told.content
        headers.append((b"content-length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, body: bytes, content_type: str) -> bytes:
        if content_type != "application/json" and not content_type.endswith("+json"):
            raise UnsupportedMediaType(
                f"The body is {content_type or 'of no type'}; send JSON with Content-Type: application/json."
            )
        if not body:
            raise InvalidInput('The body is empty; send JSON such as {"inputs": "some text"}.')
        try:
            request = self._schema.model_validate_json(body.removeprefix(codecs.BOM_UTF8))
        except ValidationError as error:
            raise invalid(error.errors(include_url=False, include_input=False)) from error
        inputs = request.inputs if isinstance(request.inputs, list) else [request.inputs]
        registry: Registry = self._state.registry
        try:
            done = await registry.infer(self._route, inputs, request.parameters, request.model)
        except asyncio.CancelledError as error:  # uvicorn's way to say that the time to drain is over
            raise Unavailable("The server is shutting down; send the request to another one.") from error
        usage = {"input_tokens": done.input_tokens, "output_tokens": done.output_tokens}
        # The results were made here, so they are serialized without being validated again.
        return orjson.dumps({"model": done.model, "results": done.results, "usage": usage})


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if the client left before its end."""
    parts: list[bytes] = []
    while True:
        message: Mapping[str, Any] = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _content_type(scope: Scope) -> str:
    """The media type without its parameters, in lower case; empty if there is none."""
    value: bytes = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    return value.partition(b";")[0].strip().lower().decode("latin-1")
