"""How a connection ends whose client has not stopped sending."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from tests.service.talking import Connection, answers, connect, run

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9000000\r\n\r\n"


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"no"})
    scope["state"]["answered"].set()


async def refused() -> Connection:
    """A connection that the server has closed on its side, while a body was announced."""
    connection = await connect(refuse)
    connection.protocol.app_state["answered"] = asyncio.Event()
    await connection.send(HEAD)
    await connection.protocol.app_state["answered"].wait()
    return connection


def test_the_last_answer_outlives_what_the_client_still_sends() -> None:
    async def talk() -> bytes:
        connection = await refused()
        await asyncio.get_running_loop().sock_sendall(connection.own, b"z" * 9_000_000)
        with connection.own:
            return await connection.rest()

    assert answers(run(talk())) == [(413, b"no")]


def test_a_client_that_is_only_waited_for_does_not_hold_up_a_shutdown() -> None:
    async def talk() -> None:
        connection = await refused()
        assert not connection.protocol.lost.is_set()
        connection.protocol.shutdown()
        assert connection.protocol.transport._transport.is_closing()
        await connection.protocol.lost.wait()
        with pytest.raises(OSError), connection.own:
            await asyncio.get_running_loop().sock_sendall(connection.own, b"z" * 9_000_000)

    run(talk())


def test_a_request_that_is_whole_is_answered_and_its_connection_closed_at_once() -> None:
    async def talk() -> None:
        connection = await connect(refuse)
        connection.protocol.app_state["answered"] = asyncio.Event()
        await connection.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        await connection.protocol.lost.wait()
        with connection.own:
            assert answers(await connection.rest()) == [(413, b"no")]

    run(talk())
