"""What every request passes through, as plain ASGI: Starlette's BaseHTTPMiddleware would hide disconnects."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import REQUESTS_IN_FLIGHT, answered


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
        status = 499  # nginx's code for a client that left before the answer

        def noted(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        REQUESTS_IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, noted)
        except Exception:
            status = 500  # Starlette answers a fault further out than any middleware
            raise
        finally:
            REQUESTS_IN_FLIGHT.dec()
            answered(_route(scope), status).observe(time.perf_counter() - began_s)


class RequestNormalizer:
    """Answers HEAD as GET without a body, and a path with a slash at its end as the path without."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        slash, head = len(path) > 1 and path.endswith("/"), scope["method"] == "HEAD"
        if not slash and not head:
            await self._app(scope, receive, send)
            return

        def without_body(message: Message) -> Awaitable[None]:
            return send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        changed = {**scope, "path": path[:-1] if slash else path, "method": "GET" if head else scope["method"]}
        try:
            await self._app(changed, receive, without_body if head else send)
        finally:
            scope["route"] = changed.get("route")  # for the metrics, which stand further out


class DirectRoutes:
    """Sends POST requests for some paths straight to their endpoints, with the route in the scope as a router has it.

    It stands inside of all other middleware, which applies to these requests too. It skips FastAPI's layers behind
    that: exception handlers, an exit stack and the search for the route. The endpoints need none of them, and they cost
    as much as all else that happens to a short request between the socket and the engine.
    """

    def __init__(self, app: ASGIApp, *, routes: Mapping[str, tuple[BaseRoute, ASGIApp]]) -> None:
        """`routes` are read at each request, by path."""
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            found = self._routes.get(scope["path"])
            if found is not None:
                scope["route"], endpoint = found
                await endpoint(scope, receive, send)
                return
        await self._app(scope, receive, send)
