"""create_app(): wiring, lifespan, and errors on FastAPI's way; those on a lane's way are told by the lane."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from service import __version__
from service.config import Settings
from service.errors import MethodNotAllowed, NotFound, ServiceError
from service.middleware import RequestMetrics, RequestNormalizer
from service.refusals import fault, refusal
from service.registry import Registry
from service.routes import inference, operations
from service.routes.body import BodyLimits
from service.routes.docs import add_docs
from service.routes.lane import Lane

log = logging.getLogger(__name__)


class Application(FastAPI):
    """FastAPI, with a way past it for the routes that requests by the thousand take."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.lanes: dict[str, ASGIApp] = {}
        """By path, with and without a slash at its end; they take its POST requests, FastAPI all others."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            lane = self.lanes.get(scope["path"].removeprefix(scope.get("root_path", "")))
            if lane is not None:
                await lane(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


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
        # What was made so far stays: the collector need not look at it again and again, and what requests make is freed
        # by its counts. A tenth of the event loop's time went there.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        try:
            yield
        finally:
            # Off the event loop, which meanwhile tells those whose requests uvicorn has cancelled.
            await asyncio.to_thread(models.close)

    app = Application(
        title="Shoal",
        summary="Fine-tuned transformers on CPUs: classify, answer, summarize.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect names the address that the server believes in, not the client's
        lifespan=lifespan,
    )
    limits = BodyLimits(
        max_bytes=settings.max_body_bytes, max_inputs=settings.max_inputs, max_input_chars=settings.max_input_chars
    )
    for route, schema in inference.SCHEMAS.items():
        lane = Lane(route, schema, app.state, limits=limits)
        app.lanes[lane.path] = app.lanes[f"{lane.path}/"] = RequestMetrics(lane)
    add_docs(app)
    app.include_router(inference.router)
    app.include_router(operations.router)
    app.add_middleware(RequestMetrics)
    app.add_middleware(RequestNormalizer)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _fault)
    return app


def _told(error: ServiceError) -> Response:
    told = refusal(error)
    return Response(told.content, told.status, told.headers, media_type="application/json")


async def _service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return _told(error)


async def _fault(request: Request, error: Exception) -> Response:
    del error  # uvicorn logs it with its traceback
    return _told(fault(request.method, request.url.path))


async def _http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own errors."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 404:
        return _told(NotFound(f"There is no {path} here; /docs lists what there is."))
    if error.status_code == 405:
        return _told(MethodNotAllowed(f"{path} does not take {request.method}; /docs says what it takes."))
    return _told(ServiceError(str(error.detail)))
