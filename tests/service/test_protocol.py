"""What a client may send, in whatever packets, and what it gets."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.protocol import MAX_HEAD_BYTES, MAX_HEADERS
from tests.service.talking import Connection, answers, connect, run, say

POST = b"POST /a HTTP/1.1\r\nHost: x\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
ANSWERED_LAST = (200, b"GET /last ")
OFFERS = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "websocket": b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n",
    "unheard of": b"connection: upgrade\r\nupgrade: foo\r\n",
}
BODIES = {
    "with its length": b"Content-Length: 5\r\n\r\nhello",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
}


async def respond(send: Send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Receive) -> bytearray | None:
    """The body; nothing if the client left before its end."""
    body = bytearray()
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await read(receive)
    if body is not None:
        await respond(send, f"{scope['method']} {scope['path']} ".encode() + body)


async def headers(scope: Scope, receive: Receive, send: Send) -> None:
    await read(receive)
    await respond(send, json.dumps([name.decode() for name, _ in scope["headers"]]).encode())


async def early(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers before it has read a body."""
    await respond(send, scope["path"].encode(), 413)


class Gate:
    """An application whose requests wait until they are let through, and which remembers who left."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read(receive)
        left = asyncio.ensure_future(receive())
        opened = asyncio.ensure_future(self.opened.wait())
        await asyncio.wait((left, opened), return_when=asyncio.FIRST_COMPLETED)
        if not self.opened.is_set():
            assert left.result()["type"] == "http.disconnect"
            self.left.set()
            return
        left.cancel()
        await respond(send, f"{scope['method']} {scope['path']} ".encode() + (body or b""))


# --- Offers of an upgrade --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("offer", OFFERS)
def test_an_offer_of_an_upgrade_is_ignored_wherever_its_packets_are_cut(offer: str, body: str) -> None:
    request = POST + OFFERS[offer] + BODIES[body]

    async def talk() -> None:
        for cut in range(1, len(request)):
            connection = await connect(echo)
            await connection.send(request[:cut], request[cut:], LAST)
            with connection.own:
                assert answers(await connection.rest()) == [(200, b"POST /a hello"), ANSWERED_LAST], cut

    run(talk())


@pytest.mark.parametrize("offer", OFFERS)
def test_a_body_is_never_read_as_the_next_request(offer: str) -> None:
    inner = b"GET /secret HTTP/1.1\r\nHost: x\r\n\r\n"
    head = POST + OFFERS[offer] + b"Content-Length: %d\r\n\r\n" % len(inner)
    wanted = [(200, b"POST /a " + inner), ANSWERED_LAST]
    assert answers(say(echo, head + inner + LAST)) == wanted
    assert answers(say(echo, head, inner, LAST)) == wanted


def test_pipelined_offers_are_answered_in_order() -> None:
    requests = [b"POST /%d HTTP/1.1\r\n" % number + OFFERS["h2c"] + BODIES["with its length"] for number in range(200)]
    wanted = [(200, b"POST /%d hello" % number) for number in range(200)]
    assert answers(say(echo, b"".join(requests) + LAST)) == [*wanted, ANSWERED_LAST]


def test_an_offer_leaves_the_other_headers() -> None:
    received = say(headers, POST + OFFERS["h2c"] + b"X-Own: 1\r\nConnection: close\r\n\r\n")
    ((_, body),) = answers(received)
    assert json.loads(body) == ["host", "connection", "http2-settings", "x-own", "connection"]


@pytest.mark.parametrize("extra", [b"", OFFERS["h2c"]])
def test_connect_is_refused(extra: bytes) -> None:
    ((status, body),) = answers(say(echo, b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n" + extra + b"\r\n" + LAST))
    assert status == 405
    assert json.loads(body)["error_type"] == "MethodNotAllowed"


# --- Heads without end -----------------------------------------------------------------------------------------------

CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
TOO_LARGE = {
    "one header": POST + b"X: " + b"y" * 100_000,
    "one header's name": POST + b"X" * 100_000,
    "a target": b"GET /" + b"y" * 100_000,
    "many headers": POST + b"a:\r\n" * 25_000,
    "one trailer": CHUNKED + b"0\r\nX: " + b"y" * 100_000,
    "many trailers": CHUNKED + b"0\r\n" + b"a:\r\n" * 25_000,
    "an extension of a chunk": CHUNKED + b"5;" + b"y" * 100_000,
    "empty lines": b"\r\n" * 50_000,
}


@pytest.mark.parametrize("size", [1000, 16_384, 10_000_000])
@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_has_no_end_is_refused_after_the_answers_before_it(name: str, size: int) -> None:
    request = POST + BODIES["with its length"] + TOO_LARGE[name]
    packets = [request[begin : begin + size] for begin in range(0, len(request), size)]
    first, (status, body) = answers(say(echo, *packets))
    assert first == (200, b"POST /a hello")
    assert status == 431
    assert list(json.loads(body)) == ["error", "error_type"]


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_has_no_end_is_not_kept(name: str) -> None:
    async def talk() -> None:
        connection = await connect(echo)
        await connection.send(TOO_LARGE[name])
        for _ in range(50):
            await connection.send(b"y" * 10_000)
        assert not connection.protocol._unparsed
        with connection.own:
            assert answers(await connection.rest())[-1][0] == 431

    run(talk())


def test_as_many_headers_as_the_limit_are_taken() -> None:
    many = b"".join(b"X-%d: y\r\n" % number for number in range(MAX_HEADERS - 2))
    assert answers(say(echo, POST + many + b"Connection: close\r\n\r\n")) == [(200, b"POST /a ")]
    ((status, _),) = answers(say(echo, POST + many + b"Y: y\r\nConnection: close\r\n\r\n"))
    assert status == 431


def test_a_head_as_large_as_the_limit_is_taken() -> None:
    head = POST + b"Connection: close\r\nX: "
    head += b"y" * (MAX_HEAD_BYTES - len(head) - 4) + b"\r\n\r\n"
    assert answers(say(echo, head)) == [(200, b"POST /a ")]
    assert answers(say(echo, *(head[begin : begin + 100] for begin in range(0, len(head), 100)))) == [
        (200, b"POST /a ")
    ]


def test_trailers_are_not_headers() -> None:
    received = say(headers, CHUNKED + b"0\r\nX-Trailer: y\r\n\r\n" + LAST)
    assert json.loads(answers(received)[0][1]) == ["host", "transfer-encoding"]


def test_a_large_body_in_many_chunks_is_no_head() -> None:
    chunks = b"".join(b"1;e=%d\r\nz\r\n" % number for number in range(30_000))
    received = say(echo, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n" + LAST)
    assert answers(received) == [(200, b"POST /a " + b"z" * 30_000), ANSWERED_LAST]


# --- Pipelined requests ----------------------------------------------------------------------------------------------


async def pipelined_behind_a_gate(more: bytes) -> tuple[Connection, Gate, asyncio.Task[None]]:
    """A request that waits, and as much of `more` sent as the server takes before it stops reading."""
    gate = Gate()
    connection = await connect(gate)
    await connection.send(POST + b"\r\n")
    sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(connection.own, more))
    while not connection.protocol.flow.held:
        connection.protocol.fed.clear()
        await connection.protocol.fed.wait()
    return connection, gate, sending


def test_pipelined_requests_wait_unread_and_are_all_answered_in_order() -> None:
    count = 10_000

    async def talk() -> None:
        requests = b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(count))
        large = b"z" * 5_000_000
        last = POST + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(large) + large
        connection, gate, sending = await pipelined_behind_a_gate(requests + last)
        assert connection.protocol.flow.read_paused
        assert len(connection.protocol.pipeline) < 300
        assert not sending.done()
        gate.opened.set()
        with connection.own:
            found = answers(await connection.rest())
        assert found[0] == (200, b"POST /a ")
        assert found[1:-1] == [(200, b"GET /%d " % number) for number in range(count)]
        assert found[-1] == (200, b"POST /a " + large)

    run(talk())


def test_the_body_of_a_request_that_waits_is_left_unread() -> None:
    async def talk() -> None:
        large = b"z" * 20_000_000
        more = POST + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(large) + large
        connection, gate, sending = await pipelined_behind_a_gate(more)
        assert len(connection.protocol.cycle.body) < 5000
        assert not sending.done()
        gate.opened.set()
        with connection.own:
            assert answers(await connection.rest()) == [(200, b"POST /a "), (200, b"POST /a " + large)]

    run(talk())


def test_a_client_that_leaves_is_noticed_by_the_request_that_runs_not_only_by_the_newest() -> None:
    async def talk() -> None:
        gate = Gate()
        connection = await connect(gate)
        await connection.send(POST + b"\r\n" + POST + b"\r\n")
        connection.own.close()
        await gate.left.wait()

    run(talk())


# --- What is not HTTP ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "nonsense",
    [b"nonsense\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"GET http://[ HTTP/1.1\r\n\r\n", b"GET http://x HTTP/1.1\r\n\r\n",
     POST + b"Content-Length: x\r\n\r\n",
     POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
     POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"],
)  # fmt: skip
def test_what_is_not_http_is_refused_after_the_answers_before_it(nonsense: bytes) -> None:
    *before, (status, body) = answers(say(echo, POST + BODIES["chunked"] + POST + BODIES["chunked"] + nonsense))
    assert before == [(200, b"POST /a hello")] * 2
    assert status == 400
    assert list(json.loads(body)) == ["error", "error_type"]
    assert json.loads(body)["error_type"] == "Validation"


def test_a_request_whose_body_turns_out_malformed_gets_the_refusal_as_its_only_answer() -> None:
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    assert [status for status, _ in answers(say(echo, head, b"zz\r\n"))] == [400]
    assert [status for status, _ in answers(say(early, head, b"zz\r\n"))] == [413]


def test_an_answer_that_has_begun_is_cut_off_not_mixed_with_a_refusal() -> None:
    async def begun(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        await read(receive)

    async def talk() -> bytes:
        connection = await connect(begun)
        loop = asyncio.get_running_loop()
        await connection.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        received = b""
        while not received.endswith(b"some"):
            received += await loop.sock_recv(connection.own, 65536)
        await connection.send(b"zz\r\n")
        with connection.own:
            return await connection.rest()

    assert run(talk()) == b""


def test_a_body_that_is_announced_and_refused_is_not_waited_for() -> None:
    head = POST + b"Expect: 100-continue\r\nContent-Length: 99\r\n\r\n"
    assert answers(say(early, head)) == [(413, b"/a")]


def test_a_body_that_is_announced_is_asked_for() -> None:
    async def talk() -> bytes:
        connection = await connect(echo)
        await connection.send(POST + OFFERS["h2c"] + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        wanted = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert await asyncio.get_running_loop().sock_recv(connection.own, 100) == wanted
        await connection.send(b"hello", LAST)
        with connection.own:
            return await connection.rest()

    assert answers(run(talk())) == [(200, b"POST /a hello"), ANSWERED_LAST]


# --- Waiting for the client ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packets", "count"), [([], 0), ([b"GET / HT"], 0), ([POST + b"X: ", b"y", b"y"], 0), ([POST + b"\r\n"], 1)]
)
def test_a_connection_that_is_idle_too_long_is_closed(packets: list[bytes], count: int) -> None:
    async def talk() -> bytes:
        connection = await connect(echo, keep_alive_s=0.05)
        await connection.send(*packets)
        with connection.own:
            return await connection.rest()

    assert len(answers(run(talk()))) == count


def test_a_request_that_runs_is_not_idle_and_its_clients_next_may_have_begun() -> None:
    async def talk() -> bytes:
        gate = Gate()
        connection = await connect(gate, keep_alive_s=0.01)
        await connection.send(POST + b"\r\n", LAST[:10])
        await asyncio.sleep(0.1)  # ten times what an idle connection gets
        gate.opened.set()
        await connection.send(LAST[10:])
        with connection.own:
            return await connection.rest()

    assert answers(run(talk()))[0] == (200, b"POST /a ")


def test_a_client_that_reads_nothing_is_given_up() -> None:
    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not lost.is_set():
            await send({"type": "http.response.body", "body": b"z" * 10_000, "more_body": True})
            await asyncio.sleep(0)

    lost = asyncio.Event()

    async def talk() -> None:
        connection = await connect(endless, keep_alive_s=0.05)
        await connection.send(POST + b"\r\n")
        await connection.protocol.lost.wait()
        lost.set()
        connection.own.close()

    run(talk())
