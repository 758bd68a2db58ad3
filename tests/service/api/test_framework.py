"""FastAPI's and Starlette's part: middleware, dependencies and exceptions apply to the inference routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.body import BodyLimits
from service.api.v1 import add_routes
from service.app import create_app
from service.config import Settings
from service.engine.engine import Inference
from service.errors import Overloaded
from service.tasks import TASKS
from tests.service.api.doubles import StubRegistry, post_messages

LIMITS = BodyLimits(max_bytes=10_000, max_inputs=4, max_input_chars=1000)
ANSWER = Inference("moods", [], 1, 0)
HEADERS = {"WWW-Authenticate": "Bearer", "Retry-After": "7"}
WORDS = {401: "Unauthorized", 403: "Forbidden", 413: "Validation", 429: "Overloaded"}


class Refuses:
    """A middleware that raises."""

    def __init__(self, app: ASGIApp, error: Exception) -> None:
        self._app, self._error = app, error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise self._error


def unstarted() -> tuple[FastAPI, StubRegistry]:
    """The application without models."""
    app, registry = create_app(Settings()), StubRegistry(ANSWER)
    app.state.registry = registry
    return app, registry


def guarded(check: Callable[..., Any], registry: StubRegistry) -> TestClient:
    """Our routes in an application of which every route depends on `check`."""
    app = FastAPI(dependencies=[Depends(check)])
    app.state.registry = registry
    add_routes(app, LIMITS)
    return TestClient(app, raise_server_exceptions=False)


def classify(app: FastAPI) -> Any:
    return TestClient(app, raise_server_exceptions=False).post("/v1/classify", json={"inputs": "good"})


@pytest.mark.parametrize(("host", "status", "calls"), [("else.example", 400, 0), ("testserver", 200, 1)])
def test_a_host_that_is_not_trusted_is_refused_inference(host: str, status: int, calls: int) -> None:
    app, registry = unstarted()
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[host])
    assert classify(app).status_code == status
    assert len(registry.calls) == calls


@pytest.mark.parametrize("status", WORDS)
@pytest.mark.parametrize("route", ["/v1/classify", "/own"])
def test_what_a_middleware_or_route_raises_keeps_its_status_and_headers(route: str, status: int) -> None:
    app, registry = unstarted()
    error = HTTPException(status, "Not you.", HEADERS)
    if route == "/own":

        @app.post("/own")
        async def own() -> None:
            raise error

    else:
        app.add_middleware(Refuses, error=error)
    response = TestClient(app, raise_server_exceptions=False).post(route, json={"inputs": "good"})
    assert (response.status_code, response.json()) == (status, {"error": "Not you.", "error_type": WORDS[status]})
    assert {name: response.headers[name] for name in HEADERS} == HEADERS
    assert registry.calls == []


def test_an_error_of_ours_that_a_middleware_raises_is_that_error() -> None:
    app, registry = unstarted()
    app.add_middleware(Refuses, error=Overloaded("Full."))
    response = classify(app)
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert response.json() == {"error": "Full.", "error_type": "Overloaded"}
    assert registry.calls == []


def test_a_dependency_that_refuses_refuses_inference() -> None:
    async def refuse() -> None:
        raise HTTPException(401, "Who are you?", {"WWW-Authenticate": "Bearer"})

    registry = StubRegistry(ANSWER)
    for task in TASKS:
        response = guarded(refuse, registry).post(f"/v1/{task.route}", json={"inputs": "good"})
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert registry.calls == []


def test_a_dependency_that_reads_the_body_leaves_it_to_the_endpoint() -> None:
    async def read(request: Request) -> None:
        assert await request.json() == {"inputs": "good"}

    registry = StubRegistry(ANSWER)
    body = {"type": "http.request", "body": b'{"inputs": "good"}'}
    start, _ = post_messages(guarded(read, registry).app, "/v1/classify", body, {"type": "http.disconnect"})
    assert start["status"] == 200
    assert [inputs for _, inputs, *_ in registry.calls] == [["good"]]


def test_parameters_that_a_dependency_misses_are_told_in_our_body() -> None:
    app, _ = unstarted()

    @app.get("/own")
    async def own(key: int) -> None:
        del key

    response = TestClient(app).get("/own")
    assert (response.status_code, response.json()) == (
        422, {"error": "query.key: Field required.", "error_type": "Validation"},
    )  # fmt: skip
