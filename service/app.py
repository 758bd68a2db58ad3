"""create_app(): wiring, lifespan, and the one place where errors become answers."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from service import __version__
from service.config import Settings
from service.errors import (
    InvalidInput,
    MalformedBody,
    MethodNotAllowed,
    NotFound,
    ServiceError,
    UnsupportedMediaType,
)
from service.metrics import REFUSALS
from service.middleware import BodyLimit, RequestMetrics
from service.registry import Registry
from service.routes import inference, operations

log = logging.getLogger(__name__)

_LONGEST_PATH = 200


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI app. Models are loaded when it starts; raises ArtifactError then if one cannot be served."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        registry = Registry(settings)
        registry.start()
        log.info("%d models, %d workers of one thread each", len(registry.models), registry.threads)
        app.state.registry = registry
        try:
            yield
        finally:
            registry.close()

    # Docs' scripts come from a package and are served by us: the page works with no internet.
    app = FastAPIOffline(
        title="Shoal",
        summary="Fine-tuned transformers on CPUs: classify, answer, summarize.",
        version=__version__,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.include_router(inference.router)
    app.include_router(operations.router)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(RequestMetrics)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _fault)
    return app


def _told(error: ServiceError) -> Response:
    """The one error body, which Hugging Face's, TEI's and Triton's clients all read."""
    REFUSALS.labels(error.code).inc()
    body = orjson.dumps({"error": str(error), "error_type": error.code})
    return Response(body, error.status, error.headers, media_type="application/json")


async def _service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return _told(error)


async def _fault(request: Request, error: Exception) -> Response:
    del error  # uvicorn logs it with its traceback
    return _told(ServiceError(f"A fault of the server in {request.method} {request.url.path}; its log says more."))


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "not JSON")
        return _told(MalformedBody(f"The body is not JSON: {reason} at character {first['loc'][-1]}."))
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/json" and not kind.endswith("+json"):
        return _told(
            UnsupportedMediaType(f"The body is {kind or 'of no type'}; send JSON with Content-Type: application/json.")
        )
    return _told(InvalidInput(_sentence(first, len(error.errors()))))


def _sentence(first: dict[str, Any], count: int) -> str:
    """What pydantic found, with the field's path: `inputs.0.question: Field required.`"""
    path = ".".join(str(part) for part in first["loc"] if part not in ("body", "one", "many"))
    path = path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}…"  # a field's name is the client's own text
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "string_pattern_mismatch":
        message = "The text is empty or blank"
    if first["type"] == "extra_forbidden":
        message = "There is no such field; see /docs for those there are"
    if first["type"] == "missing" and not path:
        message = 'The body is empty; send JSON such as {"inputs": "some text"}'
    more = f" ({count - 1} more like it.)" if count > 1 else ""
    return f"{path}: {message}.{more}" if path else f"{message}.{more}"


async def _http_exception(request: Request, error: Exception) -> Response:
    """Starlette's and FastAPI's own errors; a body that could not be read hides its cause in one of them."""
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ServiceError):
        return _told(error.__cause__)
    path = request.url.path
    if error.status_code == 404:
        return _told(NotFound(f"There is no {path} here; /docs lists what there is."))
    if error.status_code == 405:
        return _told(MethodNotAllowed(f"{path} does not take {request.method}; /docs says what it takes."))
    if error.status_code < 500:
        return _told(MalformedBody("The body cannot be read; send JSON in UTF-8."))
    return _told(ServiceError(str(error.detail)))
