"""A connection to our protocol in this process: a real socket, and packets that arrive one by one."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from service.protocol import HttpProtocol

PATIENCE_S = 30
T = TypeVar("T")


class WatchedProtocol(HttpProtocol):
    """Tells when it was given something, and when its connection was lost."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.fed, self.lost = asyncio.Event(), asyncio.Event()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.fed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set()


class Connection:
    """The client's end, and the server's protocol."""

    def __init__(self, own: socket.socket, protocol: WatchedProtocol) -> None:
        self.own = own
        self.protocol = protocol

    async def send(self, *packets: bytes) -> None:
        """Send each packet when the one before has been taken in."""
        for packet in packets:
            self.protocol.fed.clear()
            await asyncio.get_running_loop().sock_sendall(self.own, packet)
            await self.protocol.fed.wait()

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        received = b""
        while part := await asyncio.get_running_loop().sock_recv(self.own, 65536):
            received += part
        return received


async def connect(app: ASGIApp, *, keep_alive_s: float = PATIENCE_S) -> Connection:
    config = Config(app, http=HttpProtocol, ws="none", lifespan="off", log_config=None)
    config.timeout_keep_alive = keep_alive_s  # type: ignore[assignment]
    own, other = socket.socketpair()
    own.setblocking(False)
    _, protocol = await asyncio.get_running_loop().connect_accepted_socket(
        lambda: WatchedProtocol(config=config, server_state=ServerState(), app_state={}), other
    )
    return Connection(own, protocol)


def run(talk: Coroutine[Any, Any, T]) -> T:
    """Run it on the event loop that the service has, and for no longer than PATIENCE_S."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(asyncio.wait_for(talk, PATIENCE_S))


def say(app: ASGIApp, *packets: bytes) -> bytes:
    """What is received on a connection of its own, until the server closes it."""

    async def talk() -> bytes:
        connection = await connect(app)
        await connection.send(*packets)
        with connection.own:
            return await connection.rest()

    return run(talk())


def answers(received: bytes) -> list[tuple[int, bytes]]:
    """Statuses and bodies, each of which has its length told."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.1 (\d+) ", head)
        length = re.search(rb"content-length: (\d+)", head)
        assert status is not None, received
        assert length is not None, received
        found.append((int(status[1]), rest[: int(length[1])]))
        received = rest[int(length[1]) :]
    return found
