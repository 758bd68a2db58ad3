"""create_app(): routes, lifespan, exception handlers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from service import __version__
from service.api import operations, v1
from service.api.body import BodyLimits
from service.api.docs import add_docs
from service.api.error_response import error_response, http_error, internal_error, validation_error
from service.api.middleware import RequestMetrics, RequestNormalizer
from service.config import Settings
from service.engine.registry import Registry
from service.errors import ServiceError

log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None, registry: Registry | None = None) -> FastAPI:
    """The ASGI app, of a registry that is loaded already, or else loaded when it starts; raises StartupError then."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        models = registry or Registry(settings)
        models.start()
        log.info("%d models; %s", len(models.models), models.thread_plan())
        log.info("requests that name no model are answered: %s", models.default_plan())
        app.state.registry = models
        try:
            yield
        finally:
            # Off the event loop, which meanwhile tells those whose requests uvicorn has cancelled.
            await asyncio.to_thread(models.close)

    app = FastAPI(
        title="Shoal",
        summary="Fine-tuned transformers on CPUs: classify, answer, summarize.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        # FastAPI's own spans, metrics and logs of each request. Whether they are wanted it would look up for every one.
        telemetry={"tracing": settings.telemetry, "metrics": settings.telemetry, "logs": settings.telemetry},
        redirect_slashes=False,  # a redirect names the address that the server believes in, not the client's
        lifespan=lifespan,
    )
    limits = BodyLimits(
        max_bytes=settings.max_body_bytes,
        max_inputs=settings.max_inputs_per_request,
        max_input_chars=settings.max_input_chars,
    )
    app.add_middleware(RequestNormalizer)
    v1.add_routes(app, limits)
    add_docs(app)
    app.include_router(operations.router)
    app.add_middleware(RequestMetrics)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(Exception, _internal_error)
    return app


def _response(error: ServiceError) -> Response:
    encoded = error_response(error)
    headers = {name.decode(): value.decode() for name, value in encoded.headers}
    return Response(encoded.body, encoded.status, headers, media_type="application/json")


async def _service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return _response(error)


async def _internal_error(request: Request, error: Exception) -> Response:
    """What nobody else handles, such as what a middleware raises: Starlette runs the other handlers within it."""
    if isinstance(error, ServiceError):
        return _response(error)
    if isinstance(error, HTTPException):
        return await _http_exception(request, error)
    return _response(internal_error(request.method, request.url.path))  # uvicorn logs it with its traceback


async def _http_exception(request: Request, error: Exception) -> Response:
    """Errors of Starlette, FastAPI, dependencies and middleware keep their status and headers."""
    assert isinstance(error, HTTPException)
    path, message = request.url.path, str(error.detail)
    if error.status_code == 404:
        message = f"There is no {path} here; /docs lists what there is."
    elif error.status_code == 405:
        message = f"{path} does not take {request.method}; /docs says what it takes."
    return _response(http_error(error.status_code, message, error.headers or {}))


async def _invalid_request(_: Request, error: Exception) -> Response:
    """What FastAPI found wrong with the parameters of a dependency or of a route of its own."""
    assert isinstance(error, RequestValidationError)
    return _response(validation_error(error.errors()))
