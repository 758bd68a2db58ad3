"""Our own dialect: POST /v1/classify, /v1/answer, /v1/summarize and so on, one path a task."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeGuard

import orjson
from fastapi import Body, FastAPI
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.body import BodyLimits, parse
from service.api.dialect import EncodedRequest, EncodedResponse, InferenceCall
from service.api.endpoint import InferenceEndpoint
from service.api.error_response import error_response, validation_error
from service.api.examples import EXAMPLES, STREAM_EXAMPLE
from service.api.middleware import DirectRoutes
from service.api.schemas import (
    ErrorBody,
    InferenceRequest,
    StreamingRequest,
    item_type,
    request_schema,
    response_schema,
)
from service.engine.engine import Inference
from service.errors import InvalidInput, ServiceError, UnsupportedMediaType
from service.tasks import TASKS
from service.tasks.base import AnyTask, streams

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "Not JSON"},
    404: {"model": ErrorBody, "description": "No such model"},
    413: {"model": ErrorBody, "description": "Too large"},
    415: {"model": ErrorBody, "description": "Not sent as JSON"},
    422: {"model": ErrorBody, "description": "Wrong input"},
    429: {"model": ErrorBody, "description": "Too many requests are waiting; try again"},
    500: {"model": ErrorBody, "description": "The model failed on this input"},
    503: {"model": ErrorBody, "description": "Shutting down"},
    504: {"model": ErrorBody, "description": "Accepted, but not answered in time"},
}


class V1Dialect:
    """The path of one task. Result dataclasses are serialized as they are, so their fields are the wire's."""

    def __init__(self, task: type[AnyTask], limits: BodyLimits) -> None:
        self.path = f"/v1/{task.route}"
        self.watches_client = streams(task)
        self._route = task.route
        self._limits = limits
        self.request_schema = request_schema(task)
        self._item: TypeAdapter[object] = TypeAdapter(item_type(task))

    def decode(self, request: EncodedRequest) -> InferenceCall:
        given = self._parsed(request)
        try:
            body = self.request_schema.model_validate(given)
            items = body.items
        except ValidationError as error:
            if not _is_per_item(given):
                raise _refusal(error) from error
            body, items = self._validated_by_item(given)
        stream = isinstance(body, StreamingRequest) and body.stream
        return InferenceCall(self._route, body.model, items, body.parameters, stream, body.on_error == "item")

    def _validated_by_item(self, given: dict[str, Any]) -> tuple[InferenceRequest, list[object]]:
        """A body that is right but for some of its inputs, and its inputs, with an error in the place of each of those.

        Raises InvalidInput if no input is right, or something else is wrong.
        """
        items = [self._item_or_error(item) for item in given["inputs"]]
        right = [item for item in items if not isinstance(item, InvalidInput)]
        try:
            # Without any, validating all of them gives the error of the first.
            return self.request_schema.model_validate(given | {"inputs": right or given["inputs"]}), items
        except ValidationError as error:
            raise _refusal(error) from error

    def _item_or_error(self, item: object) -> object:
        try:
            return self._item.validate_python(item)
        except ValidationError as error:
            return _refusal(error)

    def _parsed(self, request: EncodedRequest) -> object:
        content_type = request.content_type
        if content_type != "application/json" and not content_type.endswith("+json"):
            raise UnsupportedMediaType(
                f"The body is {content_type or 'of no type'}; send JSON with Content-Type: application/json."
            )
        if not request.body:
            raise InvalidInput('The body is empty; send JSON such as {"inputs": "some text"}.')
        return parse(request.body, self._limits)

    def encode(self, call: InferenceCall, inference: Inference) -> EncodedResponse:
        del call
        return EncodedResponse(200, _json(inference))

    def encode_event(self, call: InferenceCall, event: str | Inference) -> bytes:
        del call
        return orjson.dumps({"text": event}) if isinstance(event, str) else _json(event)

    def encode_error(self, error: ServiceError) -> EncodedResponse:
        return error_response(error)


def _is_per_item(given: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(given, dict) and given.get("on_error") == "item" and isinstance(given.get("inputs"), list)


def _refusal(error: ValidationError) -> InvalidInput:
    return validation_error(error.errors(include_url=False, include_input=False))


def _json(inference: Inference) -> bytes:
    usage = {"input_tokens": inference.input_tokens, "output_tokens": inference.output_tokens}
    return orjson.dumps({"model": inference.model, "results": inference.results, "usage": usage})


class InferenceRoute(APIRoute):
    """A route that FastAPI documents and whose dependencies it runs, and that an ASGI endpoint serves."""

    def __init__(self, path: str, documentation: Callable[..., Any], *, served_by: ASGIApp, **options: Any) -> None:
        """`documentation` is the function whose signature and docstring /openapi.json shows; it is never called."""
        super().__init__(path, documentation, methods=["POST"], **options)
        self.app = served_by
        if self.dependencies:  # only then FastAPI's handling is worth what it costs

            async def endpoint() -> Response:
                return _Served(served_by)

            checked = APIRoute(path, endpoint, methods=["POST"], dependencies=self.dependencies).app

            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                await checked(scope, _RepeatableReceive(receive), send)

            self.app = app


class _RepeatableReceive:
    """Receives a request; what a dependency has read of its body, such as to check a signature, can be read again."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._received: list[Message] = []

    async def __call__(self) -> Message:
        message = await self._receive()
        self._received.append(message)
        return message

    def from_beginning(self) -> Receive:
        received, self._received = iter(self._received), []

        async def receive() -> Message:
            return next(received, None) or await self._receive()

        return receive


class _Served(Response):
    """What an ASGI application answers, as a response that FastAPI can return."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive.from_beginning() if isinstance(receive, _RepeatableReceive) else receive, send)


def add_routes(app: FastAPI, limits: BodyLimits) -> None:
    """Give an application the path of every task. Call it before middleware is added, for it adds the innermost."""
    direct: dict[str, tuple[BaseRoute, ASGIApp]] = {}
    app.add_middleware(DirectRoutes, routes=direct)
    for task in TASKS:
        dialect = V1Dialect(task, limits)
        endpoint = InferenceEndpoint(dialect, app.state, limits)
        response: dict[str, Any] = {"model": response_schema(task)}
        if streams(task):
            response["content"] = {"text/event-stream": {"schema": {"type": "string"}, "example": STREAM_EXAMPLE}}
        route = InferenceRoute(
            dialect.path,
            _documentation(task, dialect.request_schema),
            served_by=endpoint,
            name=task.route,
            tags=["inference"],
            dependencies=app.router.dependencies,
            responses={200: response, **_ERRORS},
        )
        app.router.routes.append(route)
        if not route.dependencies:
            direct[dialect.path] = (route, endpoint)


def _documentation(task: type[AnyTask], schema: type[InferenceRequest]) -> Callable[..., Any]:
    async def documentation(body: InferenceRequest) -> None:
        raise NotImplementedError(body)

    documentation.__doc__ = inspect.cleandoc(task.description)
    documentation.__name__ = task.route
    documentation.__annotations__["body"] = Annotated[schema, Body(openapi_examples=EXAMPLES.get(task.route))]
    return documentation
